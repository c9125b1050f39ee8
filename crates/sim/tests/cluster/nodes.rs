use std::time::Duration;

use anyhow::Result;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use testkit::Cluster;

use crate::common::{
    at_once, cluster_objects, condition, create, is_true, node, objects, pod, until, until_gone,
};

fn taints(node: &Value) -> Vec<&str> {
    let taints = node["spec"]["taints"].as_array().into_iter().flatten();
    taints.filter_map(|taint| taint["key"].as_str()).collect()
}

#[tokio::test]
async fn a_cordon_is_a_taint_a_moment_later() -> Result<()> {
    let cluster = Cluster::simulated(at_once()).await?;
    let name = node(&cluster, "a").await?;
    let nodes = cluster_objects(&cluster, "v1", "Node");
    let fresh =
        until(&nodes, &name, |node| is_true(node, "Ready") && node["spec"]["taints"].is_null()).await?;
    assert_eq!(fresh["metadata"]["annotations"]["node.alpha.kubernetes.io/ttl"], "0");
    let cordon = async |value: Value| {
        let patch = Patch::Merge(json!({ "spec": { "unschedulable": value } }));
        nodes.patch(&name, &PatchParams::default(), &patch).await
    };
    cordon(true.into()).await?;
    let cordoned = until(&nodes, &name, |node| !taints(node).is_empty()).await?;
    let taint = &cordoned["spec"]["taints"][0];
    assert_eq!(taint["key"], "node.kubernetes.io/unschedulable");
    assert_eq!(taint["effect"], "NoSchedule");
    assert!(taint["timeAdded"].is_string());
    cordon(Value::Null).await?;
    until(&nodes, &name, |node| node["spec"]["taints"].is_null()).await?;
    Ok(())
}

#[tokio::test]
async fn a_silent_node_loses_its_pods_in_time() -> Result<()> {
    let cluster = Cluster::simulated(at_once()).await?;
    let sim = cluster.sim().unwrap();
    let (nodes, pods) = (cluster_objects(&cluster, "v1", "Node"), objects(&cluster, "v1", "Pod"));
    let (name, other) = (node(&cluster, "dead").await?, node(&cluster, "alive").await?);
    let tolerations = |seconds: Option<u32>| {
        ["not-ready", "unreachable"].map(|taint| {
            json!({
                "key": format!("node.kubernetes.io/{taint}"),
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": seconds,
            })
        })
    };
    for (pod_name, seconds) in [("leaves", Some(300)), ("stays", None)] {
        create(&cluster, pod(pod_name, json!({ "nodeName": name, "tolerations": tolerations(seconds) })))
            .await?;
        until(&pods, pod_name, |pod| is_true(pod, "Ready")).await?;
    }
    sim.change_faults(|plan| plan.dead_nodes.extend([name.clone()]))?;
    sim.api().clock().advance(Duration::from_secs(41));
    let unknown = until(&nodes, &name, |node| taints(node).len() == 2).await?;
    let ready = condition(&unknown, "Ready").unwrap();
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("Unknown"), &json!("NodeStatusUnknown")));
    assert_eq!(ready["message"], "Kubelet stopped posting node status.");
    assert_eq!(taints(&unknown), ["node.kubernetes.io/unreachable"; 2]);
    until(&pods, "leaves", |pod| !is_true(pod, "Ready")).await?;
    assert!(is_true(&until(&nodes, &other, |_| true).await?, "Ready"));

    sim.api().clock().advance(Duration::from_secs(301));
    let leaving = until(&pods, "leaves", |pod| pod["metadata"]["deletionTimestamp"].is_string()).await?;
    assert_eq!(condition(&leaving, "DisruptionTarget").unwrap()["reason"], "DeletionByTaintManager");
    let stays = pods.get("stays").await?;
    assert!(stays.metadata.deletion_timestamp.is_none());

    // Its kubelet speaks again.
    sim.change_faults(|plan| plan.dead_nodes.clear())?;
    until(&nodes, &name, |node| is_true(node, "Ready") && node["spec"]["taints"].is_null()).await?;
    until_gone(&pods, "leaves").await?;
    until(&pods, "stays", |pod| is_true(pod, "Ready")).await?;
    Ok(())
}

#[tokio::test]
async fn pods_go_with_their_node() -> Result<()> {
    let cluster = Cluster::simulated(at_once()).await?;
    let sim = cluster.sim().unwrap();
    let (nodes, pods) = (cluster_objects(&cluster, "v1", "Node"), objects(&cluster, "v1", "Pod"));
    let name = node(&cluster, "a").await?;
    create(&cluster, pod("orphan", json!({ "nodeName": name }))).await?;
    until(&pods, "orphan", |pod| is_true(pod, "Ready")).await?;
    sim.change_faults(|plan| plan.dead_nodes.extend([name.clone()]))?;
    pods.delete("orphan", &DeleteParams::default()).await?;
    nodes.delete(&name, &DeleteParams::default()).await?;
    until_gone(&nodes, &name).await?;
    assert!(pods.get_opt("orphan").await?.is_some());
    // The node's leave may be noted a moment later than the clock is moved.
    sim.api().clock().advance(Duration::from_secs(60));
    sim.api().clock().advance(Duration::from_secs(60));
    testkit::eventually("the pod is gone", async || {
        sim.api().clock().advance(Duration::from_secs(10));
        pods.get_opt("orphan").await.ok()?.is_none().then_some(())
    })
    .await
}
