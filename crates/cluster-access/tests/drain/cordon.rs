//! Who has cordoned a node, and who opens it again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use cluster_access::drain::{DrainError, DrainOptions, Drainer, Outcome, Progress};
use http::{Method, Request};
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
    client::Body,
};
use serde_json::json;
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use crate::{
    between::{self, is_change_of_node, lost, send},
    stage::Stage,
};

/// Another process of the same name sees that it was done on its behalf, others see that it was not on theirs.
#[tokio::test]
async fn a_cordon_may_be_repeated_and_says_whose_it_is() -> Result<()> {
    let stage = Stage::new().await?;
    let saga = stage.drainer().on_behalf_of("saga-1");
    let first = saga.cordon(&stage.node).await?;
    ensure!(first.changed && first.by.as_deref() == Some("saga-1"), "{first:?}");
    for drainer in [stage.drainer().on_behalf_of("saga-1"), stage.drainer()] {
        let again = drainer.cordon(&stage.node).await?;
        ensure!(!again.changed && again.by.as_deref() == Some("saga-1"), "{again:?}");
    }
    for _ in 0..2 {
        saga.uncordon(&stage.node).await?;
        ensure!(!stage.is_cordoned().await?);
    }
    // Nobody's name is left behind.
    Api::<Node>::all(stage.cluster.client()).cordon(&stage.node).await?;
    let others = saga.cordon(&stage.node).await?;
    ensure!(!others.changed && others.by.is_none(), "{others:?}");
    for gone in [saga.cordon("nope").await.map(drop), saga.uncordon("nope").await] {
        ensure!(matches!(&gone, Err(DrainError::NoSuchNode(node)) if node == "nope"), "{gone:?}");
    }
    stage.end().await
}

/// A request to cordon that was decided on before the node was opened, and arrives after that, is refused: also where there was nothing
/// to open.
#[tokio::test]
async fn a_late_cordon_does_not_close_an_opened_node() -> Result<()> {
    let stage = Stage::new().await?;
    let nodes: Api<Node> = Api::all(stage.cluster.client());
    for _ in 0..2 {
        let version = nodes.get(&stage.node).await?.metadata.resource_version;
        stage.drainer().uncordon(&stage.node).await?;
        let late = json!({"metadata": {"resourceVersion": version}, "spec": {"unschedulable": true}});
        let late = nodes.patch(&stage.node, &PatchParams::default(), &Patch::Merge(late)).await;
        ensure!(matches!(&late, Err(kube::Error::Api(status)) if status.code == 409), "{late:?}");
        ensure!(!stage.is_cordoned().await?);
    }
    stage.end().await
}

/// All that a drain has sent to cordon is held up until it has given up.
#[tokio::test]
async fn a_drain_whose_cordon_comes_late_leaves_the_node_open() -> Result<()> {
    let stage = Stage::simulated().await?;
    let held_up = Arc::new(Mutex::new(Vec::new()));
    let late = held_up.clone();
    let client = between::client(stage.cluster.client(), move |request, to| {
        let late = late.clone();
        async move {
            if !is_change_of_node(&request) {
                return send(request, &to).await;
            }
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let request = Request::from_parts(head, Body::from(body.to_vec()));
            if !String::from_utf8_lossy(&body).contains("\"unschedulable\":true") {
                return send(request, &to).await;
            }
            late.lock().await.push(request);
            lost()
        }
    });
    let never = CancellationToken::new();
    let given_up = Drainer::new(client).drain(&stage.node, &stage.options(), &never, |_| {}).await;
    ensure!(matches!(given_up, Err(DrainError::Access(_))), "{given_up:?}");
    let late = std::mem::take(&mut *held_up.lock().await);
    ensure!(late.len() > 1, "it is tried again");
    for request in late {
        ensure!(stage.cluster.client().send(request).await?.status() == 409);
    }
    ensure!(!stage.is_cordoned().await?);
    Ok(())
}

/// It was done all the same, which is seen, and undone at the end.
#[tokio::test]
async fn a_cordon_whose_answer_is_lost_is_the_drains_own() -> Result<()> {
    let stage = Stage::simulated().await?;
    stage.held().await?;
    let changes = AtomicUsize::new(0);
    let client = between::client(stage.cluster.client(), move |request, to| {
        let is_lost = is_change_of_node(&request) && changes.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            let answer = send(request, &to).await;
            if is_lost { lost() } else { answer }
        }
    });
    let cancel = CancellationToken::new();
    let mut told = Vec::new();
    let tell = |progress: &Progress| match progress {
        Progress::Cordoned => told.push("cordoned"),
        Progress::Uncordoned => told.push("uncordoned"),
        Progress::Blocked(..) => cancel.cancel(),
        _ => {}
    };
    let report = Drainer::new(client).drain(&stage.node, &stage.despite(), &cancel, tell).await?;
    ensure!(report.outcome == Outcome::Cancelled && report.pods.len() == 1, "{report:?}");
    ensure!(report.cordoned == Some(false) && !stage.is_cordoned().await?, "{report:?}");
    assert_eq!(told, ["cordoned", "uncordoned"]);
    Ok(())
}

/// It comes between the drain's look at the node and its own cordon.
#[tokio::test]
async fn a_cordon_of_somebody_else_is_left_alone() -> Result<()> {
    let stage = Stage::simulated().await?;
    stage.held().await?;
    let (node, changes) = (stage.node.clone(), AtomicUsize::new(0));
    let client = between::client(stage.cluster.client(), move |request, to| {
        let is_first = is_change_of_node(&request) && changes.fetch_add(1, Ordering::Relaxed) == 0;
        let node = node.clone();
        async move {
            if is_first {
                Api::<Node>::all(to.clone()).cordon(&node).await?;
            }
            send(request, &to).await
        }
    });
    let cancel = CancellationToken::new();
    let tell = |progress: &Progress| {
        assert!(!matches!(progress, Progress::Cordoned | Progress::Uncordoned), "{progress:?}");
        if matches!(progress, Progress::Blocked(..)) {
            cancel.cancel();
        }
    };
    let report = Drainer::new(client).drain(&stage.node, &stage.despite(), &cancel, tell).await?;
    ensure!(report.outcome == Outcome::Cancelled && report.cordoned == Some(true), "{report:?}");
    ensure!(stage.is_cordoned().await?);
    Ok(())
}

/// The second one ends first, and leaves the node to the first one, which opens it.
#[tokio::test]
async fn the_second_drain_of_a_node_leaves_it_to_the_first() -> Result<()> {
    let stage = Stage::new().await?;
    stage.held().await?;
    let (drainer, cancel, blocked) = (stage.drainer(), CancellationToken::new(), Notify::new());
    let despite = stage.despite();
    let tell = |progress: &Progress| {
        if matches!(progress, Progress::Blocked(..)) {
            blocked.notify_one();
        }
    };
    let first = drainer.drain(&stage.node, &despite, &cancel, tell);
    let second = async {
        blocked.notified().await;
        let hasty = DrainOptions { deadline: Duration::from_secs(1), ..stage.despite() };
        let (report, told) = stage.told(&hasty).await?;
        let is_cordoned = stage.is_cordoned().await?;
        cancel.cancel();
        anyhow::Ok((report, told, is_cordoned))
    };
    let (first, second) = tokio::join!(first, second);
    let (report, told, is_cordoned) = second?;
    ensure!(
        report.outcome == Outcome::TimedOut && report.cordoned == Some(true) && is_cordoned,
        "{report:?}"
    );
    ensure!(!told.iter().any(|told| told.ends_with("cordoned")), "{told:?}");
    let first = first?;
    ensure!(first.outcome == Outcome::Cancelled && first.cordoned == Some(false), "{first:?}");
    ensure!(!stage.is_cordoned().await?);
    stage.end().await
}

#[tokio::test]
async fn a_node_that_goes_meanwhile_is_said_to_be_gone() -> Result<()> {
    let stage = Stage::simulated().await?;
    stage.held().await?;
    let (node, gets) = (stage.node.clone(), AtomicUsize::new(0));
    let client = between::client(stage.cluster.client(), move |request, to| {
        let path = request.uri().path();
        let is_get = request.method() == Method::GET && path == format!("/api/v1/nodes/{node}");
        let is_last = is_get && gets.fetch_add(1, Ordering::Relaxed) == 1;
        let node = node.clone();
        async move {
            if is_last {
                Api::<Node>::all(to.clone()).delete(&node, &DeleteParams::default()).await?;
            }
            send(request, &to).await
        }
    });
    let cancel = CancellationToken::new();
    let tell = |progress: &Progress| {
        if matches!(progress, Progress::Blocked(..)) {
            cancel.cancel();
        }
    };
    let report = Drainer::new(client).drain(&stage.node, &stage.despite(), &cancel, tell).await?;
    ensure!(report.outcome == Outcome::Cancelled && report.cordoned.is_none(), "{report:?}");
    let why = report.why.first().context("a reason")?;
    ensure!(why == "the node is gone", "{report:?}");
    Ok(())
}

/// Whether it is cancelled before anything was looked up, or just before the cordon.
#[tokio::test]
async fn who_ends_it_before_it_starts_changes_nothing() -> Result<()> {
    let stage = Stage::simulated().await?;
    stage.run("Deployment", "web", 1).await?;
    let before = (stage.requests("patch", "nodes"), stage.requests("create", "pods/eviction"));
    let (drainer, options) = (stage.drainer(), stage.options());
    let cancel = CancellationToken::new();
    let at_forecast = |_: &Progress| cancel.cancel();
    let looked = drainer.drain(&stage.node, &options, &cancel, at_forecast).await?;
    ensure!(looked.outcome == Outcome::Cancelled && looked.cordoned == Some(false), "{looked:?}");
    ensure!(looked.pods.len() == 1 && looked.pods[0].evictions == 0, "{looked:?}");
    let at_once = drainer.drain(&stage.node, &options, &cancel, |_| {}).await?;
    ensure!(at_once.outcome == Outcome::Cancelled, "{at_once:?}");
    let after = (stage.requests("patch", "nodes"), stage.requests("create", "pods/eviction"));
    assert_eq!(before, after);
    ensure!(!stage.is_cordoned().await?);
    Ok(())
}
