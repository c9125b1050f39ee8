//! `kubesage drain`, on the quick start's cluster.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sim::{Delays, Fault, Options, Seed};
use tempfile::TempDir;
use testkit::{Cluster, Process};
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
    ensure!(error.contains(&format!("node/{node} cannot be drained; pods in the way: ")), "{error}");
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

/// As an orchestrator ends it, while a pod's budget holds it up.
#[tokio::test]
async fn a_drain_that_is_terminated_opens_the_node_again() -> Result<()> {
    let (cluster, node) = held_up().await?;
    let mut drain = drained_in_vain(&cluster, &node).await?;
    drain.terminate().await?;
    let status = drain.wait().await?;
    let log = drain.log();
    ensure!(
        status.code() == Some(1) && log.contains("as it was interrupted; it is not cordoned"),
        "{status} {log}"
    );
    ensure!(log.contains(&format!("node/{node} uncordoned")), "{log}");
    let (_, node) = cluster.get(&format!("/api/v1/nodes/{node}")).await?;
    ensure!(node["spec"]["unschedulable"] != true, "{node}");
    Ok(())
}

#[tokio::test]
async fn a_drain_that_is_terminated_twice_ends_at_once() -> Result<()> {
    let (cluster, node) = held_up().await?;
    let mut drain = drained_in_vain(&cluster, &node).await?;
    let silence = |resource: &str| Fault {
        resource: Some(resource.to_owned()),
        latency_millis: 3_600_000,
        ..Fault::default()
    };
    cluster
        .sim()
        .context("the cluster is simulated")?
        .change_faults(|plan| plan.requests.push(silence("nodes")))?;
    drain.terminate().await?;
    drain.logged("no further pod is evicted").await?;
    drain.terminate().await?;
    let (status, log) = (drain.wait().await?, drain.log());
    ensure!(status.code() == Some(143), "{status} {log}");
    ensure!(log.contains(&format!("may still be cordoned: kubectl uncordon {node}")), "{log}");
    Ok(())
}

/// A node with a pod that its budget does not let go.
async fn held_up() -> Result<(Cluster, String)> {
    let options = Options { seed: Seed::Empty, delays: Delays::none(), ..Options::default() };
    let cluster = Cluster::simulated(options).await?;
    let node = cluster.node("a", &[]).await?;
    let labels = json!({"app": "held"});
    let mut spec = cluster.for_own_nodes();
    spec["containers"] = json!([{"name": "c", "image": "registry.k8s.io/pause:3.10"}]);
    spec["nodeName"] = node.as_str().into();
    let pod = json!({"metadata": {"name": "held", "labels": labels}, "spec": spec});
    cluster.post(&cluster.core("pods"), pod).await?;
    let budget = json!({
        "metadata": {"name": "held"},
        "spec": {"maxUnavailable": 0, "selector": {"matchLabels": labels}},
    });
    cluster.post(&cluster.path("policy/v1", "poddisruptionbudgets"), budget).await?;
    let pod = format!("{}/held", cluster.core("pods"));
    testkit::eventually("the pod to run", async || {
        let (_, pod) = cluster.get(&pod).await.ok()?;
        (pod["status"]["phase"] == "Running").then_some(())
    })
    .await?;
    Ok((cluster, node))
}

/// A drain that waits for the budget.
async fn drained_in_vain(cluster: &Cluster, node: &str) -> Result<Process> {
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let arguments = ["drain", node, "--kubeconfig", &kubeconfig, "--force", "--despite-forecast"];
    let drain = Process::start("kubesage", arguments, [])?;
    drain.logged("waiting to evict pod").await?;
    Ok(drain)
}
