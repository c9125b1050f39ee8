//! What a real cluster cannot be made to show.

use std::time::Duration;

use anyhow::{Result, ensure};
use cluster_access::drain::{DrainOptions, Fate, Outcome, Progress};
use sim::Fault;
use tokio_util::sync::CancellationToken;

use crate::stage::{Stage, of, why};

fn of_evictions(status: u16, times: u32) -> Fault {
    Fault {
        verb: Some("create".to_owned()),
        resource: Some("pods/eviction".to_owned()),
        status: Some(status),
        times: Some(times),
        ..Fault::default()
    }
}

#[tokio::test]
async fn an_eviction_that_fails_is_asked_for_again() -> Result<()> {
    for status in [429, 500, 503] {
        let stage = Stage::simulated().await?;
        stage.run("Deployment", "web", 2).await?;
        stage.cluster.sim().unwrap().change_faults(|plan| plan.requests.push(of_evictions(status, 3)))?;
        let (report, told) = stage.told(&stage.options()).await?;
        ensure!(report.outcome == Outcome::Drained, "{report:?}");
        ensure!(report.pods.iter().map(|pod| pod.evictions).sum::<u32>() == 5, "{report:?}");
        ensure!(told.iter().filter(|told| told.starts_with("retried")).count() == 3, "{told:?}");
        stage.moved("web", 2).await?;
    }
    Ok(())
}

/// What cannot work is not tried until the deadline, and nobody else is disturbed for it.
#[tokio::test]
async fn an_eviction_that_is_not_allowed_ends_the_drain() -> Result<()> {
    let stage = Stage::simulated().await?;
    stage.run("Deployment", "web", 1).await?;
    stage.cluster.sim().unwrap().change_faults(|plan| plan.requests.push(of_evictions(403, 1)))?;
    let report = stage.drain(&stage.options()).await?;
    ensure!(report.outcome == Outcome::Failed && !stage.is_cordoned().await?, "{report:?}");
    ensure!(why(&report, "web").contains("403") && report.why.len() == 1, "{report:?}");
    Ok(())
}

/// Watches end, and what they had to tell is too old to be told again.
#[tokio::test]
async fn a_watch_that_breaks_off_misses_nothing() -> Result<()> {
    let stage = Stage::simulated().await?;
    stage.run("Deployment", "web", 20).await?;
    let sim = stage.cluster.sim().unwrap();
    let mut seen = 0;
    let break_off = |progress: &Progress| {
        if matches!(progress, Progress::Evicted(_)) {
            seen += 1;
            if seen % 5 == 0 {
                sim.drop_watches();
                sim.compact();
            }
        }
    };
    let report =
        stage.drainer().drain(&stage.node, &stage.options(), &CancellationToken::new(), break_off).await?;
    ensure!(report.outcome == Outcome::Drained && report.pods.len() == 20, "{report:?}");
    stage.moved("web", 20).await
}

#[tokio::test]
async fn a_pod_that_does_not_end_is_told_of() -> Result<()> {
    let stage = Stage::simulated().await?;
    stage.run("StatefulSet", "db", 1).await?;
    stage.run("Deployment", "web", 2).await?;
    let stuck = format!("{}/db-0", stage.cluster.namespace());
    stage.cluster.sim().unwrap().change_faults(|plan| plan.stuck_pods.extend([stuck]))?;
    let options = DrainOptions { deadline: Duration::from_secs(3), keep_cordoned: true, ..stage.options() };
    let report = stage.drain(&options).await?;
    ensure!(report.outcome == Outcome::TimedOut && stage.is_cordoned().await?, "{report:?}");
    ensure!(why(&report, "db").contains("being deleted"), "{report:?}");
    ensure!(of(&report, "web").iter().all(|pod| pod.fate == Fate::Evicted), "{report:?}");
    Ok(())
}

#[tokio::test]
async fn who_ends_it_gets_the_node_back() -> Result<()> {
    let stage = Stage::simulated().await?;
    stage.run("Deployment", "web", 1).await?;
    let cancel = CancellationToken::new();
    let after_cordon = |progress: &Progress| {
        if matches!(progress, Progress::Cordoned) {
            cancel.cancel();
        }
    };
    let report = stage.drainer().drain(&stage.node, &stage.options(), &cancel, after_cordon).await?;
    ensure!(report.outcome == Outcome::Cancelled && !report.cordoned, "{report:?}");
    ensure!(!stage.is_cordoned().await?);
    Ok(())
}
