//! What a real cluster cannot be made to show.

use std::time::Duration;

use anyhow::{Result, ensure};
use cluster_access::{
    AccessError,
    drain::{DrainError, DrainOptions, Fate, Outcome, Progress},
};
use k8s_openapi::api::{core::v1::Pod, policy::v1::PodDisruptionBudget};
use kube::{Api, api::DeleteParams};
use serde_json::json;
use sim::Fault;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::stage::{Stage, forbidden_list, of, why};

fn of_evictions(status: u16, times: u32) -> Fault {
    Fault {
        verb: Some("create".to_owned()),
        resource: Some("pods/eviction".to_owned()),
        status: Some(status),
        times: Some(times),
        ..Fault::default()
    }
}

/// Only where one of the pods is of one.
#[tokio::test]
async fn daemon_sets_need_not_be_read_where_there_is_none() -> Result<()> {
    let stage = Stage::simulated().await?;
    stage.run("Deployment", "web", 1).await?;
    let sim = stage.cluster.sim().unwrap();
    sim.change_faults(|plan| plan.requests.push(forbidden_list("daemonsets")))?;
    let report = stage.drain(&stage.options()).await?;
    ensure!(report.outcome == Outcome::Drained, "{report:?}");
    stage.drainer().uncordon(&stage.node).await?;
    stage.run("DaemonSet", "logs", 1).await?;
    let refused = stage.drain(&stage.options()).await;
    let Err(DrainError::Access(error)) = refused else { panic!("{refused:?}") };
    ensure!(matches!(error, AccessError::Refused { status: 403, .. }), "{error}");
    Ok(())
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

/// Meanwhile somebody else deletes what the drain may not evict, and then there is nothing to wait for.
#[tokio::test]
async fn a_pod_that_goes_by_other_means_is_not_waited_for() -> Result<()> {
    let stage = Stage::simulated().await?;
    stage.held().await?;
    let pods: Api<Pod> = stage.cluster.namespaced();
    let mut deletions = JoinSet::new();
    let delete = |progress: &Progress| {
        if let Progress::Blocked(pod, _) = progress {
            let (pods, name) = (pods.clone(), pod.name.clone());
            deletions.spawn(async move { pods.delete(&name, &DeleteParams::default()).await.map(drop) });
        }
    };
    let despite = stage.despite();
    let report = stage.drainer().drain(&stage.node, &despite, &CancellationToken::new(), delete).await?;
    ensure!(report.outcome == Outcome::Drained, "{report:?}");
    ensure!(of(&report, "held").iter().all(|pod| pod.fate == Fate::Left && pod.evictions == 0), "{report:?}");
    stage.moved("held", 1).await
}

/// It is deleted while the watch is cut, so that only a new list shows it.
#[tokio::test]
async fn a_budget_that_ends_unseen_holds_nobody_up() -> Result<()> {
    let stage = Stage::simulated().await?;
    stage.run("Deployment", "web", 8).await?;
    stage.budget("web", "web", json!({"maxUnavailable": 0})).await?;
    let budgets: Api<PodDisruptionBudget> = stage.cluster.namespaced();
    let sim = stage.cluster.sim().unwrap();
    let (mut deletions, mut is_first) = (JoinSet::new(), true);
    let delete = |progress: &Progress| {
        if matches!(progress, Progress::Blocked(..)) && std::mem::take(&mut is_first) {
            let budgets = budgets.clone();
            sim.drop_watches();
            deletions.spawn(async move { budgets.delete("web", &DeleteParams::default()).await.map(drop) });
            sim.compact();
        }
    };
    let despite = stage.despite();
    let report = stage.drainer().drain(&stage.node, &despite, &CancellationToken::new(), delete).await?;
    ensure!(report.outcome == Outcome::Drained, "{report:?}");
    stage.moved("web", 8).await
}

/// Its pods come while the node is drained; evicted, they would come back at once.
#[tokio::test]
async fn a_daemon_set_that_comes_meanwhile_stays() -> Result<()> {
    let stage = Stage::simulated().await?;
    stage.held().await?;
    let cancel = CancellationToken::new();
    let options = DrainOptions { ignore_daemon_sets: true, ..stage.despite() };
    let (drainer, blocked) = (stage.drainer(), tokio::sync::Notify::new());
    let tell = |progress: &Progress| {
        if matches!(progress, Progress::Blocked(..)) {
            blocked.notify_one();
        }
    };
    let drain = drainer.drain(&stage.node, &options, &cancel, tell);
    let meanwhile = async {
        blocked.notified().await;
        stage.run("DaemonSet", "logs", 1).await?;
        cancel.cancel();
        anyhow::Ok(())
    };
    let (report, made) = tokio::join!(drain, meanwhile);
    made?;
    let report = report?;
    ensure!(report.outcome == Outcome::Cancelled, "{report:?}");
    let logs = of(&report, "logs");
    ensure!(logs.iter().all(|pod| matches!(pod.fate, Fate::Stays { .. })), "{report:?}");
    Ok(())
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
    ensure!(report.outcome == Outcome::Cancelled && report.cordoned == Some(false), "{report:?}");
    ensure!(!stage.is_cordoned().await?);
    Ok(())
}
