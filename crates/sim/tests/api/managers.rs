//! Who set what: `managedFields` of what clients write.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::Cluster;

use crate::common::{anywhere, idle_pod};

/// What a manager of an object has set: the manager, the operation, the subresource.
fn set_by<'a>(object: &'a Value, told: [&str; 3]) -> Option<&'a Value> {
    let says = |entry: &Value| {
        ["manager", "operation", "subresource"]
            .map(|field| entry[field].as_str().unwrap_or_default().to_owned())
    };
    let entries = object["metadata"]["managedFields"].as_array()?;
    entries.iter().find(|entry| says(entry) == told).map(|entry| &entry["fieldsV1"])
}

async fn patch(cluster: &Cluster, path: &str, wanted: &Value) -> Result<Value> {
    let headers =
        [("content-type", "application/strategic-merge-patch+json"), ("user-agent", "probe/1.0 (test)")];
    let (status, object) = cluster.send(Method::PATCH, path, &headers, wanted.to_string()).await?;
    assert_eq!(status, 200, "{object}");
    Ok(object)
}

#[tokio::test]
async fn creations_updates_and_statuses_are_noted_apart() -> Result<()> {
    let cluster = anywhere().await?;
    let pods = format!("{}?fieldManager=maker", cluster.core("pods"));
    let made = cluster.post(&pods, idle_pod("idle", &json!({}))).await?;
    let fields = set_by(&made, ["maker", "Update", ""]).expect("the creation is noted");
    assert_eq!(fields["f:spec"]["f:containers"]["k:{\"name\":\"c\"}"]["f:image"], json!({}));
    assert_eq!((&fields["f:status"], &fields["f:metadata"]), (&Value::Null, &Value::Null));

    let path = cluster.core("pods/idle");
    let labelled = patch(&cluster, &path, &json!({ "metadata": { "labels": { "a": "b" } } })).await?;
    assert!(
        set_by(&labelled, ["probe", "Update", ""])
            .is_some_and(|fields| fields["f:metadata"]["f:labels"]["f:a"].is_object())
    );
    let status = json!({ "status": { "message": "said" } });
    let told = patch(&cluster, &format!("{path}/status"), &status).await?;
    let fields = set_by(&told, ["probe", "Update", "status"]).expect("the status is noted");
    assert_eq!(*fields, json!({ "f:status": { "f:message": {} } }));

    let image = json!({ "spec": { "containers": [{ "name": "c", "image": "nginx:1.28" }] } });
    let changed = patch(&cluster, &path, &image).await?;
    let container = |manager| {
        &set_by(&changed, [manager, "Update", ""]).expect("a manager")["f:spec"]["f:containers"]["k:{\"name\":\"c\"}"]
    };
    assert_eq!(container("probe")["f:image"], json!({}));
    assert_eq!(container("maker")["f:image"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn a_client_may_tell_other_managers_or_none() -> Result<()> {
    let cluster = anywhere().await?;
    let map = json!({ "metadata": { "name": "map" }, "data": { "a": "b" } });
    let made = cluster.post(&format!("{}?fieldManager=maker", cluster.core("configmaps")), map).await?;
    let path = cluster.core("configmaps/map");
    let mut entry = made["metadata"]["managedFields"][0].clone();
    entry["manager"] = "heir".into();
    let passed = patch(&cluster, &path, &json!({ "metadata": { "managedFields": [entry] } })).await?;
    assert!(set_by(&passed, ["heir", "Update", ""]).is_some());
    assert!(set_by(&passed, ["maker", "Update", ""]).is_none());
    let forgotten = patch(&cluster, &path, &json!({ "metadata": { "managedFields": [{}] } })).await?;
    assert_eq!(forgotten["metadata"]["managedFields"], Value::Null);
    Ok(())
}
