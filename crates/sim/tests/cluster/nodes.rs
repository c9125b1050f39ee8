//! Nodes that are cordoned, silent or gone. What makes a node silent is a fault, which only a simulator can have.

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

/// The keys of the taints that the cluster gives.
fn given_taints(node: &Value) -> Vec<&str> {
    taints(node).into_iter().filter(|taint| taint.starts_with("node.kubernetes.io/")).collect()
}

/// Simulated: only its nodes have a kubelet from the start.
#[tokio::test]
async fn a_new_node_is_completed_by_its_kubelet() -> Result<()> {
    let cluster = Cluster::simulated(at_once()).await?;
    let labels = json!({ "kubernetes.io/arch": "arm64", "team": "a" });
    let node =
        json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "fresh", "labels": labels } });
    create(&cluster, node).await?;
    let nodes = cluster_objects(&cluster, "v1", "Node");
    let node = until(&nodes, "fresh", |node| is_true(node, "Ready")).await?;
    let expected = json!({
        "beta.kubernetes.io/arch": "arm64",
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "arm64",
        "kubernetes.io/hostname": "fresh",
        "kubernetes.io/os": "linux",
        "team": "a",
    });
    assert_eq!(node["metadata"]["labels"], expected);
    let status = &node["status"];
    let addresses: Vec<_> = status["addresses"].as_array().unwrap().iter().map(|it| &it["type"]).collect();
    assert_eq!(addresses, ["InternalIP", "Hostname"]);
    assert_eq!(status["addresses"][1]["address"], "fresh");
    assert_eq!(status["nodeInfo"]["architecture"], "arm64");
    assert!(status["nodeInfo"]["kubeletVersion"].is_string());
    assert!(status["capacity"]["cpu"].is_string() && status["allocatable"]["memory"].is_string());
    Ok(())
}

#[tokio::test]
async fn a_cordon_is_a_taint_a_moment_later() -> Result<()> {
    let cluster = Cluster::simulated_or_real(at_once()).await?;
    let name = cluster.node("a", &[]).await?;
    let nodes = cluster_objects(&cluster, "v1", "Node");
    let is_fresh = |node: &Value| {
        let ttl = &node["metadata"]["annotations"]["node.alpha.kubernetes.io/ttl"];
        is_true(node, "Ready") && given_taints(node).is_empty() && ttl.is_string()
    };
    until(&nodes, &name, is_fresh).await?;
    let cordon = async |value: Value| {
        let patch = Patch::Merge(json!({ "spec": { "unschedulable": value } }));
        nodes.patch(&name, &PatchParams::default(), &patch).await
    };
    cordon(true.into()).await?;
    let cordoned = until(&nodes, &name, |node| !given_taints(node).is_empty()).await?;
    assert_eq!(given_taints(&cordoned), ["node.kubernetes.io/unschedulable"]);
    let taints = cordoned["spec"]["taints"].as_array().unwrap();
    let taint = taints.iter().find(|taint| taint["key"] == "node.kubernetes.io/unschedulable").unwrap();
    assert_eq!(taint["effect"], "NoSchedule");
    assert!(taint["timeAdded"].is_string());
    cordon(Value::Null).await?;
    until(&nodes, &name, |node| given_taints(node).is_empty()).await?;
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
    let cluster = Cluster::simulated_or_real(at_once()).await?;
    let (nodes, pods) = (cluster_objects(&cluster, "v1", "Node"), objects(&cluster, "v1", "Pod"));
    let name = cluster.node("a", &[]).await?;
    create(&cluster, pod("orphan", cluster.for_own_nodes())).await?;
    until(&pods, "orphan", |pod| pod["spec"]["nodeName"] == *name).await?;
    nodes.delete(&name, &DeleteParams::default()).await?;
    until_gone(&nodes, &name).await?;
    assert!(pods.get_opt("orphan").await?.is_some(), "it is left alone for forty seconds");
    // A real controller looks at them every twenty seconds.
    for _ in 0..12 {
        cluster.pass(Duration::from_secs(10)).await;
        if pods.get_opt("orphan").await?.is_none() {
            return Ok(());
        }
    }
    until_gone(&pods, "orphan").await
}
