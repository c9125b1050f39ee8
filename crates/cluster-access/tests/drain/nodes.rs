//! Which node is a machine, and whether it can do its work.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use cluster_access::drain::{DrainError, InstanceError, Readiness};
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use testkit::eventually_within;

use crate::stage::{PATIENCE, Stage};

async fn change(stage: &Stage, node: &str, change: Value) -> Result<()> {
    let nodes: Api<Node> = Api::all(stage.cluster.client());
    nodes.patch(node, &PatchParams::default(), &Patch::Merge(change)).await?;
    Ok(())
}

/// Simulated: what a node's machine is can be said once.
#[tokio::test]
async fn the_node_of_an_instance_is_found() -> Result<()> {
    let stage = Stage::simulated().await?;
    let drainer = stage.drainer();
    change(&stage, &stage.node, json!({"spec": {"providerID": "aws:///us-east-1a/i-0abc"}})).await?;
    let found = drainer.node_of_instance("i-0abc").await?;
    ensure!(
        found.as_ref().is_some_and(|found| found.name == stage.node && found.ready && found.schedulable),
        "{found:?}"
    );
    drainer.cordon(&stage.node).await?;
    ensure!(drainer.node_of_instance("i-0abc").await?.is_some_and(|found| !found.schedulable));
    for other in ["abc", "i-0def", ""] {
        ensure!(drainer.node_of_instance(other).await?.is_none(), "{other}");
    }
    ensure!(drainer.nodes().await?.iter().any(|node| node.name == stage.other));

    change(&stage, &stage.other, json!({"spec": {"providerID": "aws:///us-east-1b/i-0abc"}})).await?;
    let several = drainer.node_of_instance("i-0abc").await;
    ensure!(
        matches!(&several, Err(InstanceError::Ambiguous { nodes, .. }) if nodes.len() == 2),
        "{several:?}"
    );
    Ok(())
}

/// Simulated: taints and pods that are never ready would disturb others.
#[tokio::test]
async fn what_a_node_lacks_is_said() -> Result<()> {
    let stage = Stage::simulated().await?;
    let (drainer, node) = (stage.drainer(), &stage.node);
    stage.run("DaemonSet", "logs", 1).await?;
    // It runs elsewhere only.
    let mut pinned = stage.template("pinned");
    pinned["spec"]["nodeSelector"]["kubernetes.io/hostname"] = "nowhere".into();
    stage.run_with("DaemonSet", "pinned", 0, pinned).await?;
    let ready = drainer.readiness(node).await?;
    let well = Readiness {
        node: node.clone(),
        ready: true,
        schedulable: true,
        startup_taints: BTreeSet::new(),
        missing_daemon_sets: Vec::new(),
    };
    assert_eq!(ready, well);
    ensure!(ready.is_complete());

    // A taint of the start holds it up, and what waits for that taint to go is missing until then.
    stage.cluster.taint(node, "ebs.csi.aws.com/agent-not-ready", "NoSchedule").await?;
    let mut never = stage.template("never");
    never["metadata"]["annotations"] = json!({"sim.kubesage.io/behaviour": "never-ready"});
    stage.run_with("DaemonSet", "never", 0, never).await?;
    drainer.cordon(node).await?;
    let lacking = drainer.readiness(node).await?;
    assert_eq!(lacking.startup_taints, BTreeSet::from(["ebs.csi.aws.com/agent-not-ready".to_owned()]));
    let missing: Vec<_> = lacking.missing_daemon_sets.iter().map(|set| set.name.as_str()).collect();
    assert_eq!(missing, ["never"]);
    ensure!(!lacking.schedulable && !lacking.is_complete() && lacking.missing().len() == 3, "{lacking:?}");

    let broken = json!({"metadata": {"annotations": {"sim.kubesage.io/behaviour": "not-ready"}}});
    change(&stage, node, broken).await?;
    eventually_within(PATIENCE, "the node not to be ready", async || {
        let readiness = drainer.readiness(node).await.ok()?;
        (!readiness.ready).then_some(())
    })
    .await?;
    ensure!(matches!(drainer.readiness("nope").await, Err(DrainError::NoSuchNode(_))));
    Ok(())
}
