//! Watches through the real client and as lines.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures_util::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use reqwest::Method;
use serde_json::{Value, json};
use sim::{Options, Seed};
use testkit::Cluster;

use crate::common::{anywhere, api_server, sim, simulated};

/// The path of the namespace's leases: no cluster makes any by itself.
fn leases(cluster: &Cluster) -> String {
    cluster.path("coordination.k8s.io/v1", "leases")
}

async fn make(cluster: &Cluster, name: &str, labels: &Value) -> Result<Value> {
    cluster.post(&leases(cluster), json!({ "metadata": { "name": name, "labels": labels } })).await
}

async fn patch(cluster: &Cluster, name: &str, patch: &Value) -> Result<Value> {
    let path = format!("{}/{name}", leases(cluster));
    let merge = [("content-type", "application/merge-patch+json")];
    let (status, patched) = cluster.send(Method::PATCH, &path, &merge, patch.to_string()).await?;
    assert_eq!(status, 200, "{patched}");
    Ok(patched)
}

/// The version of the list as it is now.
async fn version(cluster: &Cluster) -> Result<String> {
    let list = cluster.namespaced::<Lease>().list(&ListParams::default()).await?;
    list.metadata.resource_version.context("no version")
}

/// The lines of a watch that ends by itself.
async fn lines(cluster: &Cluster, query: &str) -> Result<Vec<Value>> {
    let path = format!("{}?watch=1&{query}", leases(cluster));
    let text = String::from_utf8(cluster.ask(Method::GET, &path, &[], "").await?.into_body())?;
    Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

fn shapes(lines: &[Value]) -> Vec<(&str, &str)> {
    lines
        .iter()
        .map(|line| {
            (line["type"].as_str().unwrap_or("?"), line["object"]["metadata"]["name"].as_str().unwrap_or("-"))
        })
        .collect()
}

#[tokio::test]
async fn a_watch_tells_the_changes_since_a_list() -> Result<()> {
    let cluster = anywhere().await?;
    make(&cluster, "c", &json!({})).await?;
    let from = version(&cluster).await?;
    let patched = patch(&cluster, "c", &json!({ "spec": { "holderIdentity": "4" } })).await?;
    let created = make(&cluster, "w", &json!({})).await?;
    let path = format!("{}/w", leases(&cluster));
    assert_eq!(cluster.call(Method::DELETE, &path, None).await?.0, 200);

    let lines = lines(&cluster, &format!("resourceVersion={from}&timeoutSeconds=1")).await?;
    assert_eq!(shapes(&lines), [("MODIFIED", "c"), ("ADDED", "w"), ("DELETED", "w")]);
    assert_eq!((&lines[0]["object"], &lines[1]["object"]), (&patched, &created));
    let gone = &lines[2]["object"]["metadata"];
    assert!(gone.get("deletionTimestamp").is_none(), "what goes at once goes as it was");
    let number = |object: &Value| -> Result<u64> {
        Ok(object["metadata"]["resourceVersion"].as_str().context("no version")?.parse()?)
    };
    assert!(number(&lines[2]["object"])? > number(&created)?, "a deletion has a version of its own");
    Ok(())
}

#[tokio::test]
async fn objects_enter_and_leave_a_selector() -> Result<()> {
    let cluster = anywhere().await?;
    let from = version(&cluster).await?;
    make(&cluster, "a", &json!({ "team": "x" })).await?;
    let relabel =
        async |labels: Value| patch(&cluster, "a", &json!({ "metadata": { "labels": labels } })).await;
    let left = relabel(json!({ "team": "y" })).await?;
    make(&cluster, "b", &json!({})).await?;
    relabel(json!({ "team": "x", "tier": "web" })).await?;
    let lines =
        lines(&cluster, &format!("resourceVersion={from}&timeoutSeconds=1&labelSelector=team%3Dx")).await?;
    assert_eq!(shapes(&lines), [("ADDED", "a"), ("DELETED", "a"), ("ADDED", "a")]);
    let gone = &lines[1]["object"]["metadata"];
    assert_eq!(gone["labels"]["team"], "x", "the last state that was selected");
    assert_eq!(gone["resourceVersion"], left["metadata"]["resourceVersion"]);
    Ok(())
}

#[tokio::test]
async fn without_a_version_a_watch_begins_with_what_is_there() -> Result<()> {
    let cluster = anywhere().await?;
    make(&cluster, "a", &json!({})).await?;
    assert_eq!(shapes(&lines(&cluster, "timeoutSeconds=1").await?), [("ADDED", "a")]);
    Ok(())
}

/// Simulated: a real API server forgets after minutes.
#[tokio::test]
async fn a_forgotten_version_is_expired() -> Result<()> {
    let cluster = simulated(Seed::Empty).await?;
    make(&cluster, "a", &json!({})).await?;
    sim(&cluster).compact();
    let now = version(&cluster).await?;
    let lines = lines(&cluster, "resourceVersion=1").await?;
    assert_eq!(
        lines,
        [json!({ "type": "ERROR", "object": {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Expired",
            "message": format!("too old resource version: 1 ({now})"), "code": 410,
        } })]
    );
    let leases: Api<Lease> = cluster.namespaced();
    let mut events = leases.watch(&WatchParams::default(), "1").await?.boxed();
    match events.try_next().await? {
        Some(WatchEvent::Error(status)) => assert_eq!(status.code, 410),
        other => bail!("expected an error, got {other:?}"),
    }
    Ok(())
}

#[tokio::test]
async fn the_real_client_follows_and_resumes() -> Result<()> {
    let cluster = anywhere().await?;
    let leases: Api<Lease> = cluster.namespaced();
    let from = version(&cluster).await?;
    let mut events = leases.watch(&WatchParams::default(), &from).await?.boxed();
    let lease: Lease = serde_json::from_value(json!({ "metadata": { "name": "m" } }))?;
    leases.create(&PostParams::default(), &lease).await?;
    let Some(WatchEvent::Added(added)) = events.try_next().await? else { bail!("no addition") };
    assert_eq!(added.metadata.name.as_deref(), Some("m"));

    drop(events);
    let patch = Patch::Merge(json!({ "spec": { "holderIdentity": "v" } }));
    leases.patch("m", &PatchParams::default(), &patch).await?;
    leases.delete("m", &DeleteParams::default()).await?;

    let version = added.metadata.resource_version.context("no resourceVersion")?;
    let mut events = leases.watch(&WatchParams::default(), &version).await?.boxed();
    assert!(matches!(events.try_next().await?, Some(WatchEvent::Modified(_))));
    assert!(matches!(events.try_next().await?, Some(WatchEvent::Deleted(_))));
    Ok(())
}

/// Simulated: it is a fault.
#[tokio::test]
async fn a_dropped_watch_is_cut() -> Result<()> {
    let cluster = simulated(Seed::Empty).await?;
    let leases: Api<Lease> = cluster.namespaced();
    let mut events = leases.watch(&WatchParams::default(), "0").await?.boxed();
    make(&cluster, "m", &json!({})).await?;
    assert!(matches!(events.try_next().await?, Some(WatchEvent::Added(_))));
    sim(&cluster).drop_watches();
    assert!(!matches!(events.next().await, Some(Ok(_))), "the connection is cut");
    Ok(())
}

/// More than the buffers between a server and a client that does not read hold.
const MUCH: usize = 24;

/// How many additions a watch tells before it ends.
async fn rest(events: impl futures_util::Stream<Item = kube::Result<WatchEvent<ConfigMap>>>) -> usize {
    events.take_while(|event| std::future::ready(event.is_ok())).count().await
}

/// Simulated: dropping watches is a fault.
#[tokio::test]
async fn a_watch_ends_although_its_client_reads_slowly() -> Result<()> {
    let cluster = simulated(Seed::Empty).await?;
    let maps: Api<ConfigMap> = cluster.namespaced();
    let from = maps.list(&ListParams::default()).await?.metadata.resource_version.context("no version")?;
    let opened = Instant::now();
    let short = maps.watch(&WatchParams::default().timeout(1), &from).await?;
    let long = maps.watch(&WatchParams::default(), &from).await?;
    let text = "x".repeat(1_000_000);
    for number in 0..MUCH {
        let map = json!({ "metadata": { "name": format!("m{number}") }, "data": { "text": text } });
        cluster.post(&cluster.core("configmaps"), map).await?;
    }
    // The timeout that was asked for, no guess; the making of the objects took most of it.
    tokio::time::sleep_until((opened + Duration::from_secs(2)).into()).await;
    let told = rest(short).await;
    assert!(told < MUCH, "the timeout ends it");
    assert_eq!(cluster.call(Method::POST, "/simulator/v1/watches/drop", None).await?.0, 200);
    let told = rest(long).await;
    assert!(told < MUCH, "it is cut");
    Ok(())
}

/// Simulated: a real API server has an interval of a minute.
#[tokio::test]
async fn bookmarks_come_at_the_interval() -> Result<()> {
    let options = Options { bookmark_interval: Duration::from_millis(20), ..api_server(Seed::Empty) };
    let cluster = Cluster::simulated(options).await?;
    let leases: Api<Lease> = cluster.namespaced();
    let now = version(&cluster).await?;
    let mut events = leases.watch(&WatchParams::default(), &now).await?.boxed();
    for _ in 0..2 {
        let Some(WatchEvent::Bookmark(bookmark)) = events.try_next().await? else { bail!("no bookmark") };
        assert_eq!(bookmark.metadata.resource_version, now);
        assert_eq!(bookmark.types.kind, "Lease");
    }
    Ok(())
}

#[tokio::test]
async fn a_bookmark_comes_before_the_timeout() -> Result<()> {
    let cluster = anywhere().await?;
    let from = version(&cluster).await?;
    // A real API server has no bookmark for who has heard of nothing newer.
    make(&cluster, "a", &json!({})).await?;
    let query =
        |bookmarks| format!("resourceVersion={from}&timeoutSeconds=5&allowWatchBookmarks={bookmarks}");
    let (with, without) = (query("true"), query("false"));
    let (with, without) = tokio::try_join!(lines(&cluster, &with), lines(&cluster, &without))?;
    let (first, bookmarks) = with.split_first().context("it tells nothing")?;
    assert_eq!(shapes(std::slice::from_ref(first)), [("ADDED", "a")]);
    assert!(!bookmarks.is_empty());
    assert!(bookmarks.iter().all(|line| line["type"] == "BOOKMARK"), "{bookmarks:#?}");
    assert_eq!(shapes(&without), [("ADDED", "a")]);
    Ok(())
}

#[tokio::test]
async fn a_streamed_list_ends_with_a_bookmark_that_says_so() -> Result<()> {
    let cluster = anywhere().await?;
    make(&cluster, "a", &json!({})).await?;
    let query =
        "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1";
    let lines = lines(&cluster, query).await?;
    assert_eq!(shapes(&lines)[..2], [("ADDED", "a"), ("BOOKMARK", "-")]);
    let annotations = &lines[1]["object"]["metadata"]["annotations"];
    assert_eq!(annotations["k8s.io/initial-events-end"], "true");
    Ok(())
}

#[tokio::test]
async fn options_that_contradict_each_other_are_refused() -> Result<()> {
    let cluster = anywhere().await?;
    for (query, message) in [
        (
            "resourceVersionMatch=Exact",
            "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
        ),
        ("sendInitialEvents=true", "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"),
        (
            "watch=1&sendInitialEvents=true",
            "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ),
        (
            "watch=1&resourceVersionMatch=NotOlderThan",
            "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents \
             is provided",
        ),
    ] {
        let (status, body) = cluster.get(&format!("/api/v1/configmaps?{query}")).await?;
        let expected = format!("ListOptions.meta.k8s.io \"\" is invalid: {message}");
        assert_eq!((status, body["message"].as_str()), (422, Some(expected.as_str())), "{query}");
    }
    Ok(())
}
