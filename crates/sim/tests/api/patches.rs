//! Patches over HTTP: their media types, field validation, and server-side apply.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};
use sim::Seed;
use testkit::Cluster;

use crate::common::{anywhere, simulated};

async fn patch(
    cluster: &Cluster,
    path: &str,
    media_type: &str,
    body: impl Into<Vec<u8>>,
) -> Result<(u16, Value)> {
    cluster.send(Method::PATCH, path, &[("content-type", media_type)], body).await
}

#[tokio::test]
async fn every_kind_of_patch_is_taken() -> Result<()> {
    let cluster = anywhere().await?;
    let map = json!({ "metadata": { "name": "c" }, "data": { "k": "1" } });
    cluster.post(&cluster.core("configmaps"), map).await?;
    let path = cluster.core("configmaps/c");
    for (media_type, body, expected) in [
        ("application/merge-patch+json", r#"{"data":{"k":"2"}}"#, "2"),
        ("application/strategic-merge-patch+json", r#"{"data":{"k":"3"}}"#, "3"),
        (
            "application/json-patch+json; charset=utf-8",
            r#"[{"op":"replace","path":"/data/k","value":"4"}]"#,
            "4",
        ),
    ] {
        let (status, object) = patch(&cluster, &path, media_type, body).await?;
        assert_eq!((status, &object["data"]["k"]), (200, &json!(expected)), "{media_type}");
    }
    let (status, refused) = patch(&cluster, &path, "application/json", "{}").await?;
    assert_eq!((status, &refused["reason"]), (415, &json!("UnsupportedMediaType")));
    Ok(())
}

#[tokio::test]
async fn apply_creates_merges_and_gives_up() -> Result<()> {
    let cluster = anywhere().await?;
    let apply = "application/apply-patch+yaml";
    let map = cluster.core("configmaps/c");
    let path = |manager: &str| format!("{map}?fieldManager={manager}");
    let body = |data: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\ndata: {data}\n");

    let (status, refused) = patch(&cluster, &map, apply, body("{}")).await?;
    assert_eq!((status, &refused["reason"]), (422, &json!("Invalid")));
    let (status, _) = patch(&cluster, &path("one"), apply, body("{k: '1', l: '1'}")).await?;
    assert_eq!(status, 201);
    let (status, refused) = patch(&cluster, &path("two"), apply, body("{k: '2'}")).await?;
    assert_eq!((status, &refused["details"]["causes"][0]["field"]), (409, &json!(".data.k")));
    let forced = format!("{}&force=true", path("two"));
    let (status, object) = patch(&cluster, &forced, apply, body("{k: '2'}")).await?;
    assert_eq!((status, &object["data"]), (200, &json!({ "k": "2", "l": "1" })));
    let (_, object) = patch(&cluster, &path("one"), apply, body("{m: '1'}")).await?;
    assert_eq!(object["data"], json!({ "k": "2", "m": "1" }));
    Ok(())
}

#[tokio::test]
async fn an_update_takes_what_it_changes_from_those_who_applied_it() -> Result<()> {
    let cluster = anywhere().await?;
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "c" }, "data": { "k": "1" },
    });
    let applied = map.to_string();
    let path = cluster.core("configmaps/c?fieldManager=one");
    let apply = "application/apply-patch+yaml";
    patch(&cluster, &path, apply, applied.clone()).await?;
    let other = cluster.core("configmaps/c?fieldManager=other");
    patch(&cluster, &other, "application/merge-patch+json", r#"{"data":{"k":"2"}}"#).await?;
    let (status, refused) = patch(&cluster, &path, apply, applied).await?;
    let expected = "Apply failed with 1 conflict: conflict with \"other\" using v1: .data.k";
    assert_eq!((status, &refused["message"]), (409, &json!(expected)));
    Ok(())
}

#[tokio::test]
async fn open_api_says_what_is_served() -> Result<()> {
    let cluster = anywhere().await?;
    let (status, root) = cluster.get("/openapi/v3").await?;
    assert_eq!(status, 200);
    let address = root["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap_or_default();
    let (status, document) = cluster.get(address).await?;
    assert_eq!((status, &document["openapi"]), (200, &json!("3.0.0")));
    let (status, _) = cluster.get("/openapi/v3/apis/none/v1").await?;
    assert_eq!(status, 404);
    Ok(())
}

/// Simulated: the bounds are the simulator's own.
#[tokio::test]
async fn patches_that_cost_more_than_they_say_are_refused() -> Result<()> {
    let cluster = simulated(Seed::Empty).await?;
    let map = json!({ "metadata": { "name": "c" }, "data": { "k": "1" } });
    cluster.post(&cluster.core("configmaps"), map).await?;
    let path = cluster.core("configmaps/c");
    let refused = async |operations: Vec<Value>| {
        let operations = Value::from(operations).to_string();
        let (status, body) = patch(&cluster, &path, "application/json-patch+json", operations).await?;
        assert_eq!(status, 422, "{body}");
        anyhow::Ok(())
    };
    // Each copy doubles the depth.
    let mut doubling = vec![json!({ "op": "add", "path": "/a", "value": { "x": {} } })];
    for round in 0..18 {
        let end = "/x".repeat(1 << round);
        doubling.push(json!({ "op": "copy", "from": "/a", "path": format!("/a{end}") }));
    }
    refused(doubling).await?;

    let zeros = vec![0; 1_000_000];
    let mut shifting = vec![json!({ "op": "add", "path": "/z", "value": zeros })];
    shifting.extend((0..1_000).map(|_| json!({ "op": "add", "path": "/z/0", "value": 0 })));
    refused(shifting).await?;

    let (status, object) = cluster.get(&path).await?;
    assert_eq!((status, &object["data"]["k"]), (200, &json!("1")), "as it was");
    Ok(())
}

#[tokio::test]
async fn a_patch_renames_nothing() -> Result<()> {
    let cluster = anywhere().await?;
    let map = json!({ "metadata": { "name": "c" } });
    cluster.post(&cluster.core("configmaps"), map).await?;
    let rename = r#"{"metadata":{"name":"other"}}"#;
    let path = cluster.core("configmaps/c");
    let (status, body) = patch(&cluster, &path, "application/merge-patch+json", rename).await?;
    let message = "the name of the object (other) does not match the name on the URL (c)";
    assert_eq!((status, &body["message"]), (400, &json!(message)));
    Ok(())
}
