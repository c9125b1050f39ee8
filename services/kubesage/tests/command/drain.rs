//! `kubesage drain`, on the quick start's cluster.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::started::Started;

async fn drain(arguments: &[&str]) -> Result<(Option<i32>, String, String)> {
    let mut command = Command::new(testkit::program("kubesage")?);
    let ended = command.arg("drain").args(arguments).env_clear().output().await?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((ended.status.code(), text(ended.stdout), text(ended.stderr)))
}

#[tokio::test]
async fn a_node_is_drained_from_the_command_line() -> Result<()> {
    let directory = TempDir::new()?;
    let kubesage = Started::new(directory.path(), &[]).await?;
    let kubeconfig = directory.path().join("demo.kubeconfig").display().to_string();
    let node = "ip-10-0-32-11.ec2.internal";
    let on = |more: &[&'static str]| [&[node, "--kubeconfig", &kubeconfig][..], more].concat().join(" ");
    let run = async |line: String| drain(&line.split(' ').collect::<Vec<_>>()).await;

    let (code, output, error) = run(on(&["--dry-run"])).await?;
    ensure!(
        code == Some(1) && output.starts_with("POD") && output.contains("--ignore-daemonsets"),
        "{output}{error}"
    );
    let (code, _, error) = run(on(&[])).await?;
    ensure!(code == Some(1) && error.contains("was not started"), "{error}");
    let consents = ["--ignore-daemonsets", "--delete-emptydir-data", "--force", "--output", "json"];
    let (code, output, error) = run(on(&consents)).await?;
    ensure!(code == Some(0) && error.contains(&format!("node/{node} cordoned")), "{output}{error}");
    let report: Value = serde_json::from_str(&output)?;
    ensure!(report["outcome"] == "drained" && report["cordoned"] == true, "{report}");
    let pods = report["pods"].as_array().context("pods")?;
    let fates = |fate: &str| pods.iter().filter(|pod| pod["fate"] == fate).count();
    ensure!(fates("evicted") > 0 && fates("stays") > 0 && fates("remains") == 0, "{report}");

    for (line, code, says) in [
        (format!("nope --kubeconfig {kubeconfig}"), 4, "there is no node nope"),
        (format!("{node} --kubeconfig /nowhere"), 2, "/nowhere"),
        (format!("{node} --timeout soon"), 2, "90s or 10m"),
    ] {
        let (ended, _, error) = run(line).await?;
        ensure!(ended == Some(code) && error.contains(says), "{ended:?} {error}");
    }
    kubesage.stop().await
}
