//! Watches through the real client and as lines.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use reqwest::Method;
use serde_json::{Value, json};
use sim::{Options, Seed};

use crate::common::{Cluster, api_server, cluster, cluster_with};

const PATH: &str = "/api/v1/namespaces/default/configmaps";

fn config_map(name: &str, labels: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": name, "namespace": "default", "labels": labels },
    })
}

fn revision(cluster: &Cluster) -> u64 {
    *cluster.sim.api().revision().borrow()
}

/// The lines of a watch that ends by itself.
async fn lines(cluster: &Cluster, query: &str) -> Result<Vec<Value>> {
    let text = cluster.request(Method::GET, &format!("{PATH}?watch=1&{query}")).send().await?.text().await?;
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
    let cluster = cluster(Seed::Empty).await?;
    let store = cluster.sim.api();
    store.create(config_map("c", &json!({})))?;
    let from = revision(&cluster);
    let maps = sim::kinds::CONFIG_MAPS;
    store.update(maps, "default", "c", |object| object["data"] = json!({ "k": "4" }))?;
    let created = store.create(config_map("w", &json!({})))?;
    store.delete(maps, "default", "w", &Default::default())?;

    let query = format!("resourceVersion={from}&timeoutSeconds=1&allowWatchBookmarks=true");
    let lines = lines(&cluster, &query).await?;
    assert_eq!(shapes(&lines), [("MODIFIED", "c"), ("ADDED", "w"), ("DELETED", "w")]);
    assert_eq!(lines[0]["object"]["data"]["k"], "4");
    assert_eq!(lines[1]["object"], **created);
    let gone = &lines[2]["object"]["metadata"];
    assert!(gone.get("deletionTimestamp").is_none(), "what goes at once goes as it was");
    let versions: Vec<_> = lines.iter().map(|line| &line["object"]["metadata"]["resourceVersion"]).collect();
    assert_eq!(
        versions,
        [&json!((from + 1).to_string()), &json!((from + 2).to_string()), &json!((from + 3).to_string())]
    );
    Ok(())
}

#[tokio::test]
async fn objects_enter_and_leave_a_selector() -> Result<()> {
    let cluster = cluster(Seed::Empty).await?;
    let store = cluster.sim.api();
    let from = revision(&cluster);
    store.create(config_map("a", &json!({ "team": "x" })))?;
    let relabel = |labels: Value| {
        store.update(sim::kinds::CONFIG_MAPS, "default", "a", |object| object["metadata"]["labels"] = labels)
    };
    relabel(json!({ "team": "y" }))?;
    store.create(config_map("b", &json!({})))?;
    relabel(json!({ "team": "x", "tier": "web" }))?;
    let lines =
        lines(&cluster, &format!("resourceVersion={from}&timeoutSeconds=1&labelSelector=team%3Dx")).await?;
    assert_eq!(shapes(&lines), [("ADDED", "a"), ("DELETED", "a"), ("ADDED", "a")]);
    assert_eq!(lines[1]["object"]["metadata"]["labels"]["team"], "x", "the last state that was selected");
    assert_eq!(lines[1]["object"]["metadata"]["resourceVersion"], (from + 2).to_string());
    Ok(())
}

#[tokio::test]
async fn without_a_version_a_watch_begins_with_what_is_there() -> Result<()> {
    let cluster = cluster(Seed::Empty).await?;
    cluster.sim.api().create(config_map("a", &json!({})))?;
    assert_eq!(shapes(&lines(&cluster, "timeoutSeconds=1").await?), [("ADDED", "a")]);
    Ok(())
}

#[tokio::test]
async fn a_forgotten_version_is_expired() -> Result<()> {
    let cluster = cluster(Seed::Empty).await?;
    cluster.sim.api().create(config_map("a", &json!({})))?;
    cluster.sim.compact();
    let now = revision(&cluster);
    let lines = lines(&cluster, "resourceVersion=1").await?;
    assert_eq!(
        lines,
        [json!({ "type": "ERROR", "object": {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Expired",
            "message": format!("too old resource version: 1 ({now})"), "code": 410,
        } })]
    );
    let maps: Api<ConfigMap> = Api::namespaced(cluster.admin().await?, "default");
    let mut events = maps.watch(&WatchParams::default(), "1").await?.boxed();
    match events.try_next().await? {
        Some(WatchEvent::Error(status)) => assert_eq!(status.code, 410),
        other => bail!("expected an error, got {other:?}"),
    }
    Ok(())
}

#[tokio::test]
async fn the_real_client_follows_and_resumes() -> Result<()> {
    let cluster = cluster(Seed::Empty).await?;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.admin().await?, "default");
    let mut events = maps.watch(&WatchParams::default(), &revision(&cluster).to_string()).await?.boxed();
    let map: ConfigMap = serde_json::from_value(config_map("m", &json!({})))?;
    maps.create(&PostParams::default(), &map).await?;
    let Some(WatchEvent::Added(added)) = events.try_next().await? else { bail!("no addition") };
    assert_eq!(added.metadata.name.as_deref(), Some("m"));

    cluster.sim.drop_watches();
    assert!(!matches!(events.next().await, Some(Ok(_))), "the connection is cut");
    let patch = Patch::Merge(json!({ "data": { "k": "v" } }));
    maps.patch("m", &PatchParams::default(), &patch).await?;
    maps.delete("m", &DeleteParams::default()).await?;

    let version = added.metadata.resource_version.context("no resourceVersion")?;
    let mut events = maps.watch(&WatchParams::default(), &version).await?.boxed();
    assert!(matches!(events.try_next().await?, Some(WatchEvent::Modified(_))));
    assert!(matches!(events.try_next().await?, Some(WatchEvent::Deleted(_))));
    Ok(())
}

#[tokio::test]
async fn bookmarks_come_at_the_interval_and_before_the_timeout() -> Result<()> {
    let options = Options { bookmark_interval: Duration::from_millis(20), ..api_server(Seed::Empty) };
    let cluster = cluster_with(options).await?;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.admin().await?, "default");
    let now = revision(&cluster).to_string();
    let mut events = maps.watch(&WatchParams::default(), &now).await?.boxed();
    for _ in 0..2 {
        let Some(WatchEvent::Bookmark(bookmark)) = events.try_next().await? else { bail!("no bookmark") };
        assert_eq!(bookmark.metadata.resource_version, now);
        assert_eq!(bookmark.types.kind, "ConfigMap");
    }

    let options = api_server(Seed::Empty);
    let cluster = cluster_with(options).await?;
    let query = |bookmarks| format!("resourceVersion=1&timeoutSeconds=3&allowWatchBookmarks={bookmarks}");
    let (with, without) = (query("true"), query("false"));
    let (with, without) = tokio::try_join!(lines(&cluster, &with), lines(&cluster, &without))?;
    assert_eq!(shapes(&with), [("BOOKMARK", "-")]);
    assert!(without.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_streamed_list_ends_with_a_bookmark_that_says_so() -> Result<()> {
    let cluster = cluster(Seed::Empty).await?;
    cluster.sim.api().create(config_map("a", &json!({})))?;
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
    let cluster = cluster(Seed::Empty).await?;
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
