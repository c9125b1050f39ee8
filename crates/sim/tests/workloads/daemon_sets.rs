//! Daemon sets: nodes that come, go and are not for everyone, and updates.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result};
use kube::api::DeleteParams;
use serde_json::{Value, json};
use testkit::Cluster;

use crate::common::{self, Objects, template};

fn daemon_set(name: &str) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": {
            "selector": { "matchLabels": { "app": name } },
            "template": template(name, "registry.k8s.io/pause:3.10"),
        },
    })
}

/// A set for the nodes of the cluster that are at work, and how many they are. Others may come and go meanwhile.
async fn for_workers(cluster: &Cluster, strategy: Value) -> Result<(Value, i64)> {
    let workers = common::workers(cluster).await?;
    let among = json!({ "key": "kubernetes.io/hostname", "operator": "In", "values": workers });
    let mut set = daemon_set("agent");
    set["spec"]["updateStrategy"] = strategy;
    set["spec"]["template"]["spec"]["affinity"]["nodeAffinity"] = json!({
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{ "matchExpressions": [among] }],
        },
    });
    Ok((set, i64::try_from(workers.len())?))
}

fn daemon_sets(cluster: &Cluster) -> Objects {
    Objects::of(cluster, "apps/v1", "DaemonSet")
}

fn nodes_of(pods: &[Value]) -> BTreeSet<&str> {
    pods.iter().filter_map(|pod| pod["spec"]["nodeName"].as_str()).collect()
}

fn is_settled(set: &Value, pods: i64) -> bool {
    let status = &set["status"];
    let counts = [
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "numberAvailable",
        "updatedNumberScheduled",
    ];
    status["observedGeneration"] == set["metadata"]["generation"]
        && counts.iter().all(|count| status[*count] == pods)
}

/// A set for the nodes of the test's own, whose pods may never run: they end at once.
fn for_own_nodes(cluster: &Cluster) -> Value {
    let mut set = daemon_set("agent");
    let spec = &mut set["spec"]["template"]["spec"];
    json_patch::merge(spec, &cluster.for_own_nodes());
    spec["terminationGracePeriodSeconds"] = 0.into();
    set
}

/// Whether there is one pod on each of these nodes, and none elsewhere.
fn are_on<'a>(pods: &[Value], nodes: impl IntoIterator<Item = &'a String>) -> bool {
    let nodes: BTreeSet<&str> = nodes.into_iter().map(String::as_str).collect();
    pods.len() == nodes.len() && nodes_of(pods) == nodes
}

fn is_scheduled(set: &Value, pods: i64) -> bool {
    let status = &set["status"];
    status["observedGeneration"] == set["metadata"]["generation"]
        && ["desiredNumberScheduled", "currentNumberScheduled"].iter().all(|count| status[*count] == pods)
}

#[tokio::test]
async fn every_node_has_its_pod() -> Result<()> {
    let cluster = common::cluster().await?;
    let (sets, pods) = (daemon_sets(&cluster), Objects::of(&cluster, "v1", "Pod"));
    let nodes = Objects::all(&cluster, "v1", "Node");
    let (a, b, c) =
        (cluster.node("a", &[]).await?, cluster.node("b", &[]).await?, cluster.node("c", &[]).await?);
    sets.create(for_own_nodes(&cluster)).await?;
    sets.until("agent", |set| is_scheduled(set, 3)).await?;
    let all = pods.until_all("app=agent", |pods| are_on(pods, [&a, &b, &c])).await?;
    let tolerations = all[0]["spec"]["tolerations"].as_array().context("tolerations")?;
    assert!(tolerations.iter().any(|toleration| toleration["key"] == "node.kubernetes.io/unschedulable"));
    common::until_told(&cluster, "DaemonSet", "agent", "SuccessfulCreate", "Created pod: agent-").await?;

    let d = cluster.node("d", &[]).await?;
    pods.until_all("app=agent", |pods| are_on(pods, [&a, &b, &c, &d])).await?;
    nodes.patch(&b, json!({ "spec": { "unschedulable": true } })).await?;
    nodes.delete(&c, &DeleteParams::default()).await?;
    // Pods of a node that is gone are left alone for forty seconds.
    cluster.pass(Duration::from_secs(60)).await;
    pods.until_all("app=agent", |pods| are_on(pods, [&a, &b, &d])).await?;
    sets.until("agent", |set| is_scheduled(set, 3)).await?;
    Ok(())
}

#[tokio::test]
async fn taints_and_selectors_keep_pods_away() -> Result<()> {
    let cluster = common::cluster().await?;
    let (sets, pods) = (daemon_sets(&cluster), Objects::of(&cluster, "v1", "Pod"));
    let (a, b, c) =
        (cluster.node("a", &[]).await?, cluster.node("b", &[]).await?, cluster.node("c", &[]).await?);
    cluster.taint(&a, "only", "NoSchedule").await?;
    let mut wanted = for_own_nodes(&cluster);
    sets.create(wanted.clone()).await?;
    pods.until_all("app=agent", |pods| are_on(pods, [&b, &c])).await?;
    cluster.taint(&b, "only", "NoExecute").await?;
    pods.until_all("app=agent", |pods| are_on(pods, [&c])).await?;
    sets.until("agent", |set| is_scheduled(set, 1)).await?;

    let spec = &mut wanted["spec"]["template"]["spec"];
    spec["nodeSelector"]["kubernetes.io/hostname"] = a.clone().into();
    let tolerations = spec["tolerations"].as_array_mut().context("tolerations")?;
    tolerations.push(json!({ "key": "only", "operator": "Exists" }));
    sets.patch("agent", json!({ "spec": { "template": { "spec": spec } } })).await?;
    pods.until_all("app=agent", |pods| are_on(pods, [&a])).await?;
    Ok(())
}

async fn update(cluster: &Cluster, strategy: Value, is_bounded: fn(&Value) -> bool) -> Result<()> {
    let sets = daemon_sets(cluster);
    let strategy = json!({ "type": "RollingUpdate", "rollingUpdate": strategy });
    let (wanted, many) = for_workers(cluster, strategy).await?;
    sets.create(wanted).await?;
    sets.until("agent", |set| is_settled(set, many)).await?;
    let container = json!({ "name": "main", "image": "registry.k8s.io/pause:3.9" });
    sets.patch("agent", json!({ "spec": { "template": { "spec": { "containers": [container] } } } })).await?;
    sets.until("agent", |set| {
        assert!(is_bounded(&set["status"]), "{}", set["status"]);
        is_settled(set, many)
    })
    .await?;
    let pods = Objects::of(cluster, "v1", "Pod");
    let pods = pods.until_all("app=agent", |pods| i64::try_from(pods.len()) == Ok(many)).await?;
    assert!(pods.iter().all(|pod| pod["spec"]["containers"][0]["image"] == "registry.k8s.io/pause:3.9"));
    let revisions = Objects::of(cluster, "apps/v1", "ControllerRevision").list("app=agent").await?;
    let mut numbers: Vec<_> = revisions.iter().filter_map(|revision| revision["revision"].as_i64()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2]);
    Ok(())
}

#[tokio::test]
async fn an_update_takes_one_node_at_a_time() -> Result<()> {
    let cluster = common::cluster().await?;
    let is_bounded = |status: &Value| status["numberUnavailable"].as_i64().unwrap_or(0) <= 1;
    update(&cluster, json!({ "maxUnavailable": 1 }), is_bounded).await
}

/// The controller counts the older pod of a node, which a real kubelet may call unready on its way out.
#[tokio::test]
async fn an_update_with_surge_leaves_no_node_without() -> Result<()> {
    let cluster = common::simulated().await?;
    let is_bounded = |status: &Value| status["numberUnavailable"].is_null();
    update(&cluster, json!({ "maxUnavailable": 0, "maxSurge": 1 }), is_bounded).await
}

#[tokio::test]
async fn with_on_delete_only_deleted_pods_are_updated() -> Result<()> {
    let cluster = common::cluster().await?;
    let (sets, pods) = (daemon_sets(&cluster), Objects::of(&cluster, "v1", "Pod"));
    let (wanted, many) = for_workers(&cluster, json!({ "type": "OnDelete" })).await?;
    sets.create(wanted).await?;
    sets.until("agent", |set| is_settled(set, many)).await?;
    let container = json!({ "name": "main", "image": "registry.k8s.io/pause:3.9" });
    sets.patch("agent", json!({ "spec": { "template": { "spec": { "containers": [container] } } } })).await?;
    sets.until("agent", |set| set["status"]["observedGeneration"] == 2).await?;
    let first = common::names(&pods.list("app=agent").await?).remove(0);
    pods.delete(&first, &DeleteParams::default()).await?;
    sets.until("agent", |set| {
        set["status"]["updatedNumberScheduled"] == 1 && set["status"]["numberReady"] == many
    })
    .await?;
    Ok(())
}
