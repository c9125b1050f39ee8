use anyhow::{Result, ensure};
use cluster_access::drain::{DrainError, Fate, Outcome};
use serde_json::json;

use crate::stage::{Stage, of};

/// Every pod runs elsewhere afterwards, the replacements keep their names where they have them, and each is told of.
#[tokio::test]
async fn a_node_is_drained() -> Result<()> {
    let stage = Stage::new().await?;
    stage.run("Deployment", "web", 3).await?;
    stage.run("StatefulSet", "db", 2).await?;
    stage.budget("web", "web", json!({"minAvailable": 2})).await?;

    let forecast = stage.drainer().forecast(&stage.node, &stage.options()).await?;
    ensure!(forecast.can_end_well() && forecast.pods.len() == 5, "{forecast:?}");
    ensure!(forecast.pods.iter().all(|pod| pod.notes.is_empty()), "{forecast:?}");
    ensure!(!stage.is_cordoned().await?);

    let (report, told) = stage.told(&stage.options()).await?;
    ensure!(report.outcome == Outcome::Drained && report.why.is_empty(), "{report:?}");
    ensure!(report.cordoned == Some(true) && stage.is_cordoned().await?);
    ensure!(of(&report, "web").len() == 3 && of(&report, "db").len() == 2, "{report:?}");
    ensure!(
        report.pods.iter().all(|pod| pod.fate == Fate::Evicted && pod.gone_after.is_some()),
        "{report:?}"
    );
    ensure!(told[..2] == ["forecast", "cordoned"], "{told:?}");
    for event in ["evicted db-0", "gone db-0", "evicted db-1", "gone db-1"] {
        ensure!(told.iter().any(|told| told == event), "{told:?}");
    }
    stage.moved("web", 3).await?;
    stage.moved("db", 2).await?;

    // Once more there is nothing to do, and it stays cordoned.
    let again = stage.drain(&stage.options()).await?;
    ensure!(again.outcome == Outcome::Drained && again.pods.is_empty(), "{again:?}");
    stage.end().await
}

/// On the simulated cluster, whose requests can be counted: two for a pod would be one too many.
#[tokio::test]
async fn a_pod_costs_one_request() -> Result<()> {
    let stage = Stage::simulated().await?;
    stage.run("Deployment", "web", 40).await?;
    let (gets, lists) = (stage.requests("get", "pods"), stage.requests("list", "pods"));
    let report = stage.drain(&stage.options()).await?;
    ensure!(report.outcome == Outcome::Drained && report.pods.len() == 40, "{report:?}");
    assert_eq!(stage.requests("create", "pods/eviction"), 40);
    assert_eq!(stage.requests("get", "pods"), gets);
    assert_eq!(stage.requests("list", "pods"), lists + 2);
    Ok(())
}

#[tokio::test]
async fn a_node_that_is_not_there_is_said() -> Result<()> {
    let stage = Stage::new().await?;
    let missing = stage.drainer().forecast("nope", &stage.options()).await;
    ensure!(matches!(&missing, Err(DrainError::NoSuchNode(node)) if node == "nope"), "{missing:?}");
    stage.end().await
}
