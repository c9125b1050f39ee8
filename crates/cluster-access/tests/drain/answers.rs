//! Answers to evictions that come late, not at all, or from somebody else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use cluster_access::drain::{DrainOptions, Drainer, Fate, Outcome, Progress};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    between::{self, is_eviction, said, send},
    stage::{Stage, of, why},
};

/// The watch tells of the pod's end before the eviction is answered.
#[tokio::test]
async fn a_pod_that_is_gone_before_the_answer_was_evicted() -> Result<()> {
    let stage = Stage::simulated().await?;
    stage.run("Deployment", "web", 1).await?;
    let gone = Arc::new(Notify::new());
    let is_gone = gone.clone();
    let client = between::client(stage.cluster.client(), move |request, to| {
        let gone = gone.clone();
        async move {
            let is_late = is_eviction(&request);
            let answer = send(request, &to).await;
            if is_late {
                gone.notified().await;
            }
            answer
        }
    });
    let tell = |progress: &Progress| {
        if matches!(progress, Progress::Gone(_)) {
            is_gone.notify_one();
        }
    };
    let never = CancellationToken::new();
    let report = Drainer::new(client).drain(&stage.node, &stage.options(), &never, tell).await?;
    ensure!(report.outcome == Outcome::Drained, "{report:?}");
    ensure!(
        of(&report, "web").iter().all(|pod| pod.fate == Fate::Evicted && pod.evictions == 1),
        "{report:?}"
    );
    Ok(())
}

#[tokio::test]
async fn an_eviction_without_an_answer_does_not_outlast_the_deadline() -> Result<()> {
    let stage = Stage::simulated().await?;
    stage.run("Deployment", "web", 1).await?;
    let client = between::client(stage.cluster.client(), |request, to| async move {
        if is_eviction(&request) { std::future::pending().await } else { send(request, &to).await }
    });
    let options = DrainOptions { deadline: Duration::from_secs(1), ..stage.options() };
    let never = CancellationToken::new();
    let report = Drainer::new(client).drain(&stage.node, &options, &never, |_| {}).await?;
    ensure!(report.outcome == Outcome::TimedOut && report.cordoned == Some(false), "{report:?}");
    ensure!(why(&report, "web").contains("not answered") && !stage.is_cordoned().await?, "{report:?}");
    Ok(())
}

/// The first answer is none of an API server, whether the eviction has come to it or not.
#[tokio::test]
async fn what_is_no_answer_of_an_api_server_is_no_eviction() -> Result<()> {
    for text in ["<html>welcome</html>", "{}"] {
        for arrives in [false, true] {
            let stage = Stage::simulated().await?;
            stage.run("Deployment", "web", 1).await?;
            let evictions = AtomicUsize::new(0);
            let client = between::client(stage.cluster.client(), move |request, to| {
                let is_first = is_eviction(&request) && evictions.fetch_add(1, Ordering::Relaxed) == 0;
                async move {
                    if is_first && !arrives {
                        return said(200, text);
                    }
                    let answer = send(request, &to).await;
                    if is_first { said(200, text) } else { answer }
                }
            });
            let mut retried = 0;
            let tell = |progress: &Progress| {
                retried += usize::from(matches!(progress, Progress::Retried(..)));
            };
            let never = CancellationToken::new();
            let report = Drainer::new(client).drain(&stage.node, &stage.options(), &never, tell).await?;
            ensure!(report.outcome == Outcome::Drained, "{report:?}");
            if !arrives {
                ensure!(retried == 1 && report.pods[0].evictions == 2, "{report:?}");
                ensure!(report.pods[0].fate == Fate::Evicted, "{report:?}");
            }
            stage.moved("web", 1).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_panic_is_a_failure_with_a_reason() -> Result<()> {
    let stage = Stage::simulated().await?;
    stage.run("Deployment", "web", 1).await?;
    let client = between::client(stage.cluster.client(), |request, to| async move {
        assert!(!is_eviction(&request), "on purpose");
        send(request, &to).await
    });
    let never = CancellationToken::new();
    let report = Drainer::new(client).drain(&stage.node, &stage.options(), &never, |_| {}).await?;
    ensure!(report.outcome == Outcome::Failed && report.cordoned == Some(false), "{report:?}");
    ensure!(why(&report, "web").contains("panicked"), "{report:?}");
    Ok(())
}
