//! Emptying nodes.

use std::{sync::Mutex, time::Duration};

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use optimizer::{cluster::cluster_role_rules, reach::Drained};
use serde_json::json;
use sim::{CloudOptions, Seed, cloud::Operation};
use testkit::eventually_within;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::stage::{PATIENCE, Stage};

const SAGA: Uuid = Uuid::from_u128(7);

fn why(drained: Drained) -> String {
    match drained {
        Drained::Not(why) => why,
        Drained::Empty(_) => panic!("it is empty"),
    }
}

/// So often an eviction was asked for.
fn evictions(stage: &Stage) -> u64 {
    let requests = stage.sim().requests();
    requests.iter().filter(|(line, _)| line.resource == "pods/eviction").map(|(_, count)| count).sum()
}

#[tokio::test]
async fn what_can_run_elsewhere_leaves_a_node() -> Result<()> {
    let stage = Stage::empty().await?;
    let (here, other) = stage.two_nodes().await?;
    stage.run("web", 4, (&here, &other)).await?;
    stage.budget("web", json!({ "maxUnavailable": 1 })).await?;
    let changes = stage.eks().changes(SAGA);
    assert_eq!(changes.forecast(&here).await?.to_evict, 4);
    changes.cordon(&here).await?;
    let drained = changes.drain(&here, PATIENCE, &CancellationToken::new(), &|_| {}).await?;
    assert_eq!(drained, Drained::Empty(4));
    stage.until_ready("web", &other, 4).await?;
    ensure!(stage.is_cordoned(&here).await?, "it stays so");
    assert_eq!(changes.forecast(&here).await?.to_evict, 0);
    // After a crash it is asked for again.
    assert_eq!(changes.drain(&here, PATIENCE, &CancellationToken::new(), &|_| {}).await?, Drained::Empty(0));
    Ok(())
}

#[tokio::test]
async fn what_asks_not_to_be_moved_is_not() -> Result<()> {
    let stage = Stage::empty().await?;
    let (here, other) = stage.two_nodes().await?;
    stage.run("batch", 1, (&here, &other)).await?;
    let name = stage.pods_on(&here).await?[0].name_any();
    let pods: Api<Pod> = Api::namespaced(stage.cluster.client(), stage.cluster.namespace());
    let asks = json!({"metadata": {"annotations": {"karpenter.sh/do-not-disrupt": "true"}}});
    pods.patch(&name, &PatchParams::default(), &Patch::Merge(asks)).await?;
    let changes = stage.eks().changes(SAGA);
    let foreseen = changes.forecast(&here).await?.hindrances;
    ensure!(foreseen.len() == 1 && foreseen[0].contains("karpenter.sh/do-not-disrupt"), "{foreseen:?}");
    let why = why(changes.drain(&here, PATIENCE, &CancellationToken::new(), &|_| {}).await?);
    ensure!(why.contains(&name) && evictions(&stage) == 0, "{why}");
    Ok(())
}

#[tokio::test]
async fn a_budget_that_holds_a_pod_is_named() -> Result<()> {
    let stage = Stage::empty().await?;
    let (here, other) = stage.two_nodes().await?;
    stage.held((&here, &other)).await?;
    let changes = stage.eks().changes(SAGA);
    changes.cordon(&here).await?;
    assert_eq!(changes.forecast(&here).await?.hindrances, [""; 0], "it may come to allow one");
    let why = why(changes.drain(&here, Duration::from_secs(3), &CancellationToken::new(), &|_| {}).await?);
    let budget = format!("its budget {}/held allowed no disruption", stage.cluster.namespace());
    ensure!(why.contains(&budget) && why.contains("within"), "{why}");
    ensure!(why.contains(&format!("pod {}/held-", stage.cluster.namespace())), "{why}");
    ensure!(stage.is_cordoned(&here).await?, "it was so before");
    stage.until_ready("held", &here, 2).await
}

#[tokio::test]
async fn a_drain_is_cancelled() -> Result<()> {
    let stage = Stage::empty().await?;
    let (here, other) = stage.two_nodes().await?;
    stage.held((&here, &other)).await?;
    let (changes, cancel) = (stage.eks().changes(SAGA), CancellationToken::new());
    let drain = changes.drain(&here, PATIENCE, &cancel, &|_| {});
    let cancelling = async {
        let cordoned = async || stage.is_cordoned(&here).await.ok()?.then_some(());
        let seen = eventually_within(PATIENCE, "the drain to begin", cordoned).await;
        cancel.cancel();
        seen
    };
    let (drained, seen) = tokio::join!(drain, cancelling);
    seen?;
    let told = why(drained?);
    ensure!(told.contains("it was cancelled"), "{told}");
    ensure!(!stage.is_cordoned(&here).await?, "it was this drain that cordoned it");
    let told = why(changes.drain(&here, PATIENCE, &cancel, &|_| {}).await?);
    ensure!(told.contains("cancelled"), "{told}");
    ensure!(!stage.is_cordoned(&here).await? && evictions(&stage) == 0);
    Ok(())
}

/// Each is good for two seconds, after which there is another one.
#[tokio::test]
async fn a_drain_outlives_its_tokens() -> Result<()> {
    let cloud = CloudOptions { session: Duration::from_secs(62), ..CloudOptions::at_once() };
    let stage = Stage::without_rights(Seed::Empty, cloud).await?;
    stage.bind(&cluster_role_rules()).await?;
    goes_on(&stage, async |begun_with| {
        eventually_within(PATIENCE, "two more tokens", async || {
            (stage.asked(Operation::EksCluster) >= begun_with + 2).then_some(())
        })
        .await
    })
    .await
}

/// All sessions end, so that its token is none: it begins again with another.
#[tokio::test]
async fn a_drain_whose_token_is_not_known_any_more_goes_on() -> Result<()> {
    let stage = Stage::empty().await?;
    goes_on(&stage, async |_| {
        stage.account().end_sessions();
        stage.sim().drop_watches();
        Ok(())
    })
    .await
}

/// A drain ends well although that happens while it waits.
async fn goes_on(stage: &Stage, happens: impl AsyncFn(u64) -> Result<()>) -> Result<()> {
    let (here, other) = stage.two_nodes().await?;
    stage.held((&here, &other)).await?;
    let (changes, never) = (stage.eks().changes(SAGA), CancellationToken::new());
    let told = Mutex::new(String::new());
    let tell = |why: String| *told.lock().unwrap() = why;
    let drain = changes.drain(&here, PATIENCE, &never, &tell);
    let meanwhile = async {
        let is_told = async || {
            let told = told.lock().unwrap().clone();
            (told.starts_with("still to leave: ") && told.contains("its budget")).then_some(())
        };
        eventually_within(PATIENCE, "it to be told what is waited for", is_told).await?;
        happens(stage.asked(Operation::EksCluster)).await?;
        stage.release().await
    };
    let (drained, happened) = tokio::join!(drain, meanwhile);
    happened?;
    assert_eq!(drained?, Drained::Empty(2));
    stage.until_ready("held", &other, 3).await
}

#[tokio::test]
async fn nothing_begins_that_cannot_end_well() -> Result<()> {
    let stage = Stage::empty().await?;
    let (here, other) = stage.two_nodes().await?;
    stage.run("web", 2, (&here, &other)).await?;
    stage.budget("web", json!({ "maxUnavailable": 0 })).await?;
    let mut lonely = stage.template("lonely");
    lonely["metadata"]["name"] = "lonely".into();
    lonely["spec"]["nodeName"] = here.as_str().into();
    stage.create("v1", "pods", lonely).await?;
    stage.until_ready("lonely", &here, 1).await?;
    let changes = stage.eks().changes(SAGA);
    let hindrances = changes.forecast(&here).await?.hindrances;
    let namespace = stage.cluster.namespace();
    let told = hindrances.join("\n");
    ensure!(told.contains(&format!("its budget {namespace}/web never allows a disruption")), "{told}");
    ensure!(told.contains(&format!("pod {namespace}/lonely: it has no controller")), "{told}");
    let told = why(changes.drain(&here, PATIENCE, &CancellationToken::new(), &|_| {}).await?);
    assert_eq!(told, hindrances.join("; "));
    ensure!(!stage.is_cordoned(&here).await? && evictions(&stage) == 0);
    Ok(())
}

/// When a drain begins the new node is there: what it does not take would wait for ever.
#[tokio::test]
async fn a_pod_that_no_node_would_take_stays() -> Result<()> {
    let stage = Stage::empty().await?;
    let (here, other) = stage.two_nodes().await?;
    stage.run("web", 2, (&here, &other)).await?;
    stage.nodes().cordon(&other).await?;
    let changes = stage.eks().changes(SAGA);
    assert_eq!(changes.forecast(&here).await?.hindrances, [""; 0], "another node may come");
    let told = why(changes.drain(&here, PATIENCE, &CancellationToken::new(), &|_| {}).await?);
    ensure!(told.contains("/web-") && told.contains("no other node would take it"), "{told}");
    ensure!(!stage.is_cordoned(&here).await? && evictions(&stage) == 0);
    Ok(())
}
