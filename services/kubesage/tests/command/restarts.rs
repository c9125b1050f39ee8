//! Processes that are killed, and those that go on in their place.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;
use testkit::{Process, eventually, eventually_within};

use crate::{
    administrator::{Administrator, is_ready},
    started::Started,
};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/cart/pods";

#[tokio::test]
async fn the_quick_starts_cluster_outlives_its_process() -> Result<()> {
    let directory = TempDir::new()?;
    let kubeconfig = directory.path().join("demo.kubeconfig");
    let mut first = Started::new(directory.path(), &[]).await?;
    let administrator = Administrator::new(&kubeconfig)?;
    let nodes = administrator.ids("/api/v1/nodes").await?;
    let before = administrator.ids(PODS).await?;
    ensure!(nodes.len() == 4 && before.len() == 4, "{nodes:?} {before:?}");
    let deleted = &before[0].0;
    administrator.ask(Method::DELETE, &format!("/api/v1/namespaces/cart/pods/{deleted}"), None).await?;
    let replaced = eventually_within(Duration::from_secs(60), "a replacement", async || {
        let pods = administrator.ids(PODS).await.ok()?;
        (pods.len() == 4 && pods.iter().all(|(name, _)| name != deleted)).then_some(pods)
    })
    .await?;
    let file = std::fs::read_to_string(&kubeconfig)?;
    first.process.kill().await?;

    let second = Started::new(directory.path(), &[]).await?;
    // The kubeconfig is the same, and so the administrator of the first process goes on as well.
    assert_eq!(std::fs::read_to_string(&kubeconfig)?, file);
    assert_eq!(administrator.ids("/api/v1/nodes").await?, nodes);
    assert_eq!(administrator.ids(PODS).await?, replaced);
    for node in administrator.items("/api/v1/nodes").await? {
        ensure!(is_ready(&node), "{node}");
    }
    eventually("the agent's answer", async || {
        second.namespaces().await.is_ok_and(|answer| answer["success"] == true).then_some(())
    })
    .await?;
    second.stop().await
}

#[tokio::test]
async fn every_write_that_was_answered_is_there_after_a_kill() -> Result<()> {
    let directory = TempDir::new()?;
    let (state, kubeconfig) = (directory.path().join("state"), directory.path().join("k.yaml"));
    let start = async || -> Result<Process> {
        let (state, kubeconfig) = (state.display().to_string(), kubeconfig.display().to_string());
        let arguments = ["sim", "--seed", "empty", "--state-dir", &state, "--kubeconfig-out", &kubeconfig];
        let process = Process::start("kubesage", arguments, [])?;
        process.output_with(|output| output.contains("Stop it with Ctrl-C").then_some(())).await?;
        Ok(process)
    };
    let mut written = Vec::new();
    for round in 0..3 {
        let mut process = start().await?;
        let administrator = Administrator::new(&kubeconfig)?;
        let present = administrator.ids(CONFIG_MAPS).await?;
        let missing: Vec<_> = written.iter().filter(|id| !present.contains(id)).collect();
        ensure!(missing.is_empty(), "{missing:?} were answered before kill {round}");
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let writing = tokio::spawn(async move {
            for number in 0.. {
                let name = format!("round-{round}-{number}");
                let object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } });
                // The process is gone.
                let Ok(made) = administrator.ask(Method::POST, CONFIG_MAPS, Some(&object)).await else {
                    return;
                };
                let uid = made["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
                if told.send((name, uid)).is_err() {
                    return;
                }
            }
        });
        for _ in 0..50 {
            written.push(heard.recv().await.context("a write was refused")?);
        }
        process.kill().await?;
        writing.await?;
        while let Some(id) = heard.recv().await {
            written.push(id);
        }
    }
    ensure!(written.len() >= 150, "{}", written.len());

    // What is no such file is told, with what to do.
    std::fs::write(state.join("cluster.log"), "something else\n")?;
    let arguments = ["sim", "--state-dir", &state.display().to_string()];
    let mut process = Process::start("kubesage", arguments, [])?;
    assert!(!process.wait().await?.success());
    let log = process.log();
    ensure!(log.contains("delete the directory") && log.contains(&state.display().to_string()), "{log}");
    Ok(())
}
