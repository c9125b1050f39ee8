//! Patches over HTTP: their media types, field validation, and server-side apply.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};
use sim::Seed;

use crate::common::{Cluster, answer, cluster};

const CONFIG_MAP: &str = "/api/v1/namespaces/default/configmaps/c";

async fn patch(
    cluster: &Cluster,
    path: &str,
    media_type: &str,
    body: impl Into<reqwest::Body>,
) -> Result<(u16, Value)> {
    answer(cluster.request(Method::PATCH, path).header("content-type", media_type).body(body)).await
}

async fn with_config_map() -> Result<Cluster> {
    let cluster = cluster(Seed::Empty).await?;
    let body = json!({ "metadata": { "name": "c" }, "data": { "k": "1" } });
    let (status, _) = cluster.call(Method::POST, "/api/v1/namespaces/default/configmaps", Some(body)).await?;
    assert_eq!(status, 201);
    Ok(cluster)
}

#[tokio::test]
async fn every_kind_of_patch_is_taken() -> Result<()> {
    let cluster = with_config_map().await?;
    for (media_type, body, expected) in [
        ("application/merge-patch+json", r#"{"data":{"k":"2"}}"#, "2"),
        ("application/strategic-merge-patch+json", r#"{"data":{"k":"3"}}"#, "3"),
        (
            "application/json-patch+json; charset=utf-8",
            r#"[{"op":"replace","path":"/data/k","value":"4"}]"#,
            "4",
        ),
    ] {
        let (status, object) = patch(&cluster, CONFIG_MAP, media_type, body).await?;
        assert_eq!((status, &object["data"]["k"]), (200, &json!(expected)), "{media_type}");
    }
    let (status, refused) = patch(&cluster, CONFIG_MAP, "application/json", "{}").await?;
    assert_eq!((status, &refused["reason"]), (415, &json!("UnsupportedMediaType")));
    Ok(())
}

#[tokio::test]
async fn apply_creates_merges_and_gives_up() -> Result<()> {
    let cluster = cluster(Seed::Empty).await?;
    let apply = "application/apply-patch+yaml";
    let path = |manager: &str| format!("{CONFIG_MAP}?fieldManager={manager}");
    let body = |data: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\ndata: {data}\n");

    let (status, refused) = patch(&cluster, CONFIG_MAP, apply, body("{}")).await?;
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
    let cluster = cluster(Seed::Empty).await?;
    let applied = json!({ "apiVersion": "v1", "kind": "ConfigMap", "data": { "k": "1" } }).to_string();
    let path = format!("{CONFIG_MAP}?fieldManager=one");
    let apply = "application/apply-patch+yaml";
    patch(&cluster, &path, apply, applied.clone()).await?;
    let other = format!("{CONFIG_MAP}?fieldManager=other");
    patch(&cluster, &other, "application/merge-patch+json", r#"{"data":{"k":"2"}}"#).await?;
    let (status, refused) = patch(&cluster, &path, apply, applied).await?;
    let expected = "Apply failed with 1 conflict: conflict with \"other\" using v1: .data.k";
    assert_eq!((status, &refused["message"]), (409, &json!(expected)));
    Ok(())
}

#[tokio::test]
async fn open_api_says_what_is_served() -> Result<()> {
    let cluster = cluster(Seed::Empty).await?;
    let (status, root) = cluster.get("/openapi/v3").await?;
    assert_eq!(status, 200);
    let address = root["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap_or_default();
    let (status, document) = cluster.get(address).await?;
    assert_eq!((status, &document["openapi"]), (200, &json!("3.0.0")));
    let (status, _) = cluster.get("/openapi/v3/apis/none/v1").await?;
    assert_eq!(status, 404);
    Ok(())
}
