use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::{AsyncBufReadExt as _, Stream, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, LogParams};
use serde_json::{Value, json};
use testkit::Cluster;
use tokio::time::timeout;

use crate::common::{at_once, create, is_true, node, objects, pod, told, until};

/// Nothing that a test waits for takes longer.
const LONGEST: Duration = Duration::from_secs(30);

/// A cluster with a pod that runs.
async fn with_pod(pod: Value, holds: impl Fn(&Value) -> bool) -> Result<(Cluster, Api<Pod>, Value)> {
    let cluster = Cluster::simulated(at_once()).await?;
    let node = node(&cluster, "a").await?;
    let mut pod = pod;
    pod["spec"]["nodeName"] = node.into();
    create(&cluster, pod).await?;
    let pod = until(&objects(&cluster, "v1", "Pod"), "p", holds).await?;
    let pods = cluster.namespaced();
    Ok((cluster, pods, pod))
}

fn advance(cluster: &Cluster, seconds: u64) {
    cluster.sim().unwrap().clock().advance(Duration::from_secs(seconds));
}

type Lines = std::pin::Pin<Box<dyn Stream<Item = std::io::Result<String>>>>;

async fn follow(pods: &Api<Pod>, params: LogParams) -> Result<Lines> {
    let params = LogParams { follow: true, ..params };
    Ok(Box::pin(pods.log_stream("p", &params).await?.lines()))
}

async fn next(lines: &mut Lines) -> Result<Option<String>> {
    Ok(timeout(LONGEST, lines.try_next()).await.context("the log neither goes on nor ends")??)
}

/// By how many seconds a line with its time was written after the container's start.
fn age(line: &str, pod: &Value) -> i64 {
    let started = pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"].as_str().unwrap();
    let started: jiff::Timestamp = started.parse().unwrap();
    let at: jiff::Timestamp = line.split(' ').next().unwrap().parse().unwrap();
    at.duration_since(started).as_secs()
}

#[tokio::test]
async fn a_log_goes_on_with_the_clock_until_the_pod_is_gone() -> Result<()> {
    let (cluster, pods, running) = with_pod(pod("p", json!({})), |pod| is_true(pod, "Ready")).await?;
    let mut lines = follow(&pods, LogParams { timestamps: true, ..LogParams::default() }).await?;
    let first = next(&mut lines).await?.context("no first line")?;
    assert_eq!(age(&first, &running), 0);
    advance(&cluster, 14);
    for seconds in [7, 14] {
        let line = next(&mut lines).await?.context("no more lines")?;
        assert_eq!(age(&line, &running), seconds);
    }
    pods.delete("p", &DeleteParams::default()).await?;
    while next(&mut lines).await?.is_some() {}
    Ok(())
}

#[tokio::test]
async fn a_log_ends_with_its_container() -> Result<()> {
    let job = told(pod("p", json!({ "restartPolicy": "Never" })), &[("run-seconds", "60")]);
    let (cluster, pods, _) = with_pod(job, |pod| pod["status"]["phase"] == "Running").await?;
    let mut lines = follow(&pods, LogParams::default()).await?;
    advance(&cluster, 60);
    let mut count = 0;
    while next(&mut lines).await?.is_some() {
        count += 1;
    }
    assert_eq!(count, 60 / 7 + 1, "the first, and one each seven seconds");
    Ok(())
}

#[tokio::test]
async fn a_container_that_fails_says_so_at_its_end() -> Result<()> {
    let fails = [("run-seconds", "60"), ("exit-code", "1")];
    let (cluster, pods, _) =
        with_pod(told(pod("p", json!({})), &fails), |pod| pod["status"]["phase"] == "Running").await?;
    let mut lines = follow(&pods, LogParams::default()).await?;
    // It is started again at once: the log ends with the run that was followed.
    advance(&cluster, 60);
    let mut said = String::new();
    while let Some(line) = next(&mut lines).await? {
        assert!(!said.contains("FATAL"), "{said}");
        said.push_str(&line);
        said.push('\n');
    }
    assert!(said.contains("FATAL") && said.contains("INFO starting"), "{said}");
    let before = pods.logs("p", &LogParams { previous: true, ..LogParams::default() }).await?;
    assert_eq!(said, before);
    Ok(())
}

#[tokio::test]
async fn the_lines_since_and_the_last_lines() -> Result<()> {
    let (cluster, pods, running) = with_pod(pod("p", json!({})), |pod| is_true(pod, "Ready")).await?;
    let stamped = LogParams { timestamps: true, ..LogParams::default() };
    assert!(pods.logs("p", &stamped).await?.lines().count() < 3, "it has only begun");
    advance(&cluster, 3600);
    let all = pods.logs("p", &stamped).await?;
    assert_eq!(all.lines().count(), 400, "no more are kept");
    assert!(age(all.lines().last().unwrap(), &running) > 3600 - 7);

    let since = LogParams { since_seconds: Some(70), ..stamped.clone() };
    let since = pods.logs("p", &since).await?;
    assert!((9..=11).contains(&since.lines().count()), "{since}");
    let from = all.lines().nth(390).unwrap();
    let time: jiff::Timestamp = from.split(' ').next().unwrap().parse()?;
    let since = pods.logs("p", &LogParams { since_time: Some(time), ..stamped.clone() }).await?;
    assert_eq!(since.lines().next(), Some(from));

    let tail = LogParams { tail_lines: Some(2), ..stamped };
    let mut lines = follow(&pods, tail).await?;
    let first = age(&next(&mut lines).await?.context("no line")?, &running);
    advance(&cluster, 7);
    for number in 1..=2 {
        let line = next(&mut lines).await?.context("no more lines")?;
        assert_eq!(age(&line, &running), first + 7 * number);
    }
    Ok(())
}
