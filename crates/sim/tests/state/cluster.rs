//! Objects and their versions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};
use sim::kinds::KINDS;
use sim::{Options, Seed};
use tempfile::TempDir;
use testkit::{Cluster, eventually_within};

use crate::common::{PATIENCE, after_kill, kept, killed_now, sim, until};

/// An API server without controllers: only the test changes anything.
fn server(seed: Seed) -> Options {
    Options { seed, controllers: false, ..Options::default() }
}

fn config_map(name: &str, text: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "text": text } })
}

/// All objects by their kinds and names.
fn objects(cluster: &Cluster) -> BTreeMap<String, Value> {
    let of_kind = |kind| sim(cluster).api().objects(kind, None);
    let objects = KINDS.iter().flat_map(|kind| of_kind(kind).into_iter().map(|object| (kind.plural, object)));
    let name = |object: &Value| format!("{}/{}", object["metadata"]["namespace"], object["metadata"]["name"]);
    objects.map(|(plural, object)| (format!("{plural}/{}", name(&object)), Value::clone(&object))).collect()
}

#[tokio::test]
async fn every_object_is_there_again_and_versions_go_on() -> Result<()> {
    let directory = TempDir::new()?;
    let first = kept(directory.path(), server(Seed::Shop)).await?;
    let path = first.core("configmaps");
    for name in ["changed", "deleted", "kept"] {
        first.post(&path, config_map(name, "a")).await?;
    }
    let (status, _) =
        first.call(Method::PUT, &format!("{path}/changed"), Some(config_map("changed", "b"))).await?;
    assert_eq!(status, 200);
    first.call(Method::DELETE, &format!("{path}/deleted"), None).await?;
    let mut ending = config_map("ending", "a");
    ending["metadata"]["finalizers"] = json!(["example.com/nobody-removes-this"]);
    first.post(&path, ending).await?;
    first.call(Method::DELETE, &format!("{path}/ending"), None).await?;
    let (_, list) = first.get(&path).await?;
    let newest = list["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();

    let (second, _image) = after_kill(directory.path(), server(Seed::Empty)).await?;
    let (before, mut after) = (objects(&first), objects(&second));
    after.retain(|name, _| before.contains_key(name));
    assert!(before.len() > 100, "{}", before.len());
    assert_eq!(after, before);
    let (_, ending) = second.get(&format!("{path}/ending")).await?;
    assert!(ending["metadata"]["deletionTimestamp"].is_string(), "{ending}");
    assert_eq!(second.get(&format!("{path}/deleted")).await?.0, 404);

    let made = second.post(&path, config_map("new", "a")).await?;
    let version = |text: &Value| text.as_str().and_then(|text| text.parse::<u64>().ok());
    assert!(version(&made["metadata"]["resourceVersion"]) > newest.parse().ok(), "{made}");
    // Watches go on from the last version that was told, and are told when they come from before.
    let watch = |from: &str| format!("{path}?watch=true&timeoutSeconds=1&resourceVersion={from}");
    let (_, events) = second.get(&watch(&newest)).await?;
    assert_eq!(events["object"]["metadata"]["name"], "new", "{events}");
    let (status, events) = second.get(&watch("1")).await?;
    assert!(status == 410 || events["object"]["code"] == 410, "{status} {events}");
    Ok(())
}

/// Whenever the process is killed: what a client was told of is there.
#[tokio::test]
async fn what_was_answered_is_there() -> Result<()> {
    const WRITES: usize = 120;
    let directory = TempDir::new()?;
    let first = Arc::new(kept(directory.path(), server(Seed::Empty)).await?);
    let path = first.core("configmaps");
    let answered = Arc::new(AtomicUsize::new(0));
    let writing = {
        let (first, path, answered) = (Arc::clone(&first), path.clone(), Arc::clone(&answered));
        tokio::spawn(async move {
            // So large that the file is written anew some times.
            let text = "x".repeat(200_000);
            for number in 0..WRITES {
                first.post(&path, config_map(&number.to_string(), "a")).await?;
                let gone = format!("{path}/{number}-gone");
                first.post(&path, config_map(&format!("{number}-gone"), &text)).await?;
                first.call(Method::DELETE, &gone, None).await?;
                answered.store(number + 1, Ordering::SeqCst);
            }
            anyhow::Ok(())
        })
    };
    for reached in [0, 1, 30, 60, 90, WRITES] {
        eventually_within(PATIENCE, "writes", async || {
            (answered.load(Ordering::SeqCst) >= reached).then_some(())
        })
        .await?;
        let told = answered.load(Ordering::SeqCst);
        let (second, _image) = after_kill(directory.path(), server(Seed::Empty)).await?;
        let (_, list) = second.get(&path).await?;
        let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let has = |name: &str| items.iter().any(|item| item["metadata"]["name"] == name);
        for number in 0..told {
            assert!(has(&number.to_string()), "{number} of {told}");
            assert!(!has(&format!("{number}-gone")), "{number} of {told}");
        }
    }
    writing.await??;
    let length = std::fs::metadata(directory.path().join(crate::common::FILE))?.len();
    // Some 24 MB were written and deleted.
    assert!(length < 10_000_000, "{length}");
    Ok(())
}

#[tokio::test]
async fn the_clock_and_dead_nodes_stay_as_they_were() -> Result<()> {
    let directory = TempDir::new()?;
    let options = || Options { seed: "2x0".parse().unwrap_or_default(), ..Options::default() };
    let first = kept(directory.path(), options()).await?;
    let (_, nodes) = first.get("/api/v1/nodes").await?;
    let name = nodes["items"][0]["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    first.call(Method::POST, "/simulator/v1/clock/advance", Some(json!({ "seconds": 3600 }))).await?;
    first.call(Method::POST, &format!("/simulator/v1/nodes/{name}/die"), None).await?;
    let before = sim(&first).clock().now();

    let (second, _image) = after_kill(directory.path(), options()).await?;
    assert!(sim(&second).clock().now() >= before);
    assert!(sim(&second).fault_plan().dead_nodes.contains(&name));
    sim(&second).clock().advance(Duration::from_secs(60));
    let unknown = |node: &Value| {
        let conditions = node["status"]["conditions"].as_array();
        conditions.is_some_and(|all| all.iter().any(|is| is["type"] == "Ready" && is["status"] == "Unknown"))
    };
    until(&second, &format!("/api/v1/nodes/{name}"), unknown).await?;
    Ok(())
}

#[tokio::test]
async fn a_cluster_can_be_killed_again_and_again() -> Result<()> {
    let mut directory = TempDir::new()?;
    for round in 0..4 {
        let cluster = kept(directory.path(), server(Seed::Empty)).await?;
        let path = "/api/v1/namespaces/default/configmaps";
        cluster.post(path, config_map(&round.to_string(), "a")).await?;
        let (_, list) = cluster.get(path).await?;
        assert_eq!(list["items"].as_array().map(Vec::len), Some(round + 1), "{list}");
        directory = killed_now(directory.path())?;
    }
    Ok(())
}
