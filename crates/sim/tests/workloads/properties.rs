//! What holds when everything has settled, whatever was done before.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result};
use kube::api::DeleteParams;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use testkit::Cluster;

use crate::common::{self, Objects, names, template};

/// Simulated: nodes come and go, and each case starts with a cluster of its own.
const CASES: u32 = 12;

#[derive(Debug, Clone)]
enum Operation {
    Create(u8, i64),
    Scale(u8, i64),
    Roll(u8, u8),
    DeletePod(u8),
    Relabel(u8),
    AddNode(u8),
    DeleteNode(u8),
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        3 => (0..3u8, 0..5i64).prop_map(|(name, replicas)| Operation::Create(name, replicas)),
        2 => (0..3u8, 0..5i64).prop_map(|(name, replicas)| Operation::Scale(name, replicas)),
        2 => (0..3u8, 1..4u8).prop_map(|(name, image)| Operation::Roll(name, image)),
        2 => any::<u8>().prop_map(Operation::DeletePod),
        1 => any::<u8>().prop_map(Operation::Relabel),
        1 => (3..5u8).prop_map(Operation::AddNode),
        // The first one stays, so that there always is room.
        1 => (1..5u8).prop_map(Operation::DeleteNode),
    ]
}

fn app(name: u8) -> String {
    format!("app-{name}")
}

/// The pod that a number stands for, where there are any.
async fn some_pod(pods: &Objects, number: u8) -> Result<Option<String>> {
    let all = names(&pods.list("app").await?);
    Ok(all.get(usize::from(number) % all.len().max(1)).cloned())
}

/// Whether it succeeds does not matter: what it is about may not be there.
async fn apply(cluster: &Cluster, operation: &Operation) -> Result<()> {
    let deployments = Objects::of(cluster, "apps/v1", "Deployment");
    let (pods, nodes) = (Objects::of(cluster, "v1", "Pod"), Objects::all(cluster, "v1", "Node"));
    match *operation {
        Operation::Create(name, replicas) => {
            let name = app(name);
            let spec = json!({
                "replicas": replicas,
                "selector": { "matchLabels": { "app": name } },
                "template": template(&name, "registry.k8s.io/pause:3.10"),
            });
            drop(deployments.create(json!({ "metadata": { "name": name }, "spec": spec })).await);
        }
        Operation::Scale(name, replicas) => {
            drop(deployments.patch(&app(name), json!({ "spec": { "replicas": replicas } })).await);
        }
        Operation::Roll(name, image) => {
            let containers = json!([{ "name": "main", "image": format!("registry.k8s.io/pause:3.{image}") }]);
            let patch = json!({ "spec": { "template": { "spec": { "containers": containers } } } });
            drop(deployments.patch(&app(name), patch).await);
        }
        Operation::DeletePod(number) => {
            if let Some(name) = some_pod(&pods, number).await? {
                drop(pods.delete(&name, &DeleteParams::default()).await);
            }
        }
        Operation::Relabel(number) => {
            if let Some(name) = some_pod(&pods, number).await? {
                drop(pods.patch(&name, json!({ "metadata": { "labels": { "app": null } } })).await);
            }
        }
        Operation::AddNode(number) => drop(nodes.create(common::node(&format!("node-{number}"))).await),
        Operation::DeleteNode(number) => {
            drop(nodes.delete(&format!("node-{number}"), &DeleteParams::default()).await);
        }
    }
    Ok(())
}

/// Waits until every deployment has what it asks for, and looks at whose each pod is.
async fn check(cluster: &Cluster) -> Result<()> {
    // Pods of a node that is gone are left alone for forty seconds.
    cluster.sim().context("a simulator")?.api().clock().advance(Duration::from_secs(60));
    let deployments = Objects::of(cluster, "apps/v1", "Deployment");
    let mut wanted = 0;
    for name in names(&deployments.list("").await?) {
        let is_settled = |deployment: &Value| {
            let (status, replicas) = (&deployment["status"], deployment["spec"]["replicas"].as_i64());
            let counts = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"];
            status["observedGeneration"] == deployment["metadata"]["generation"]
                && counts.iter().all(|count| Some(status[*count].as_i64().unwrap_or_default()) == replicas)
        };
        let settled = deployments.until(&name, is_settled).await?;
        wanted += settled["spec"]["replicas"].as_u64().unwrap_or_default();
    }
    let pods = Objects::of(cluster, "v1", "Pod");
    let pods = pods.until_all("app", |pods| u64::try_from(pods.len()) == Ok(wanted)).await?;
    let sets = Objects::of(cluster, "apps/v1", "ReplicaSet").list("").await?;
    let owners: BTreeSet<_> = sets.iter().filter_map(|set| set["metadata"]["uid"].as_str()).collect();
    for pod in &pods {
        let owner = pod["metadata"]["ownerReferences"][0]["uid"].as_str();
        assert!(owner.is_some_and(|owner| owners.contains(owner)), "nobody has {pod:#}");
    }
    Ok(())
}

#[test]
fn the_cluster_settles_whatever_happens() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let config = Config { cases: CASES, max_shrink_iters: 20, ..Config::default() };
    let operations = prop::collection::vec(operation(), 1..12);
    let outcome = TestRunner::new(config).run(&operations, |operations| {
        let run = async {
            let cluster = common::simulated().await?;
            for operation in &operations {
                apply(&cluster, operation).await?;
            }
            check(&cluster).await
        };
        runtime.block_on(run).map_err(|error| TestCaseError::fail(format!("{error:#}")))
    });
    outcome.map_err(|error| anyhow::anyhow!("{error}"))
}
