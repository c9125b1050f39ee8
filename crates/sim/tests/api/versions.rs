//! Kinds that are served in more than one version.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::anywhere;

const V1: &str = "autoscaling/v1";
const V2: &str = "autoscaling/v2";
const AUTOSCALERS: &str = "horizontalpodautoscalers";

fn spec(own: &Value) -> Value {
    let mut spec = json!({
        "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
        "maxReplicas": 4,
    });
    for (field, value) in own.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    spec
}

#[tokio::test]
async fn an_autoscaler_made_in_one_version_is_read_in_the_other() -> Result<()> {
    let cluster = anywhere().await?;
    let (v1, v2) = (cluster.path(V1, AUTOSCALERS), cluster.path(V2, AUTOSCALERS));
    let own = json!({ "targetCPUUtilizationPercentage": 50 });
    let made = json!({ "apiVersion": V1, "kind": "HorizontalPodAutoscaler", "metadata": { "name": "web" }, "spec": spec(&own) });
    let created = cluster.post(&v1, made.clone()).await?;
    assert_eq!((&created["apiVersion"], &created["spec"]["minReplicas"]), (&json!(V1), &json!(1)));
    assert_eq!(created["spec"]["targetCPUUtilizationPercentage"], 50);
    assert_eq!(created["status"], json!({ "currentReplicas": 0, "desiredReplicas": 0 }));

    let (_, read) = cluster.get(&format!("{v2}/web")).await?;
    assert_eq!((&read["apiVersion"], &read["spec"]["maxReplicas"]), (&json!(V2), &json!(4)));
    let target = json!({ "type": "Utilization", "averageUtilization": 50 });
    let cpu = json!({ "type": "Resource", "resource": { "name": "cpu", "target": target } });
    assert_eq!(read["spec"]["metrics"], json!([cpu]));
    assert_eq!(read["metadata"]["uid"], created["metadata"]["uid"]);

    let (_, list) = cluster.get(&v1).await?;
    assert_eq!((&list["apiVersion"], &list["kind"]), (&json!(V1), &json!("HorizontalPodAutoscalerList")));
    assert_eq!(list["items"][0]["spec"]["targetCPUUtilizationPercentage"], 50);

    let (status, refusal) = cluster.call(Method::POST, &v2, Some(made)).await?;
    let why = "the API version in the data (autoscaling/v1) does not match the expected API version (autoscaling/v2)";
    assert_eq!((status, &refusal["message"]), (400, &json!(why)));

    let (_, group) = cluster.get("/apis/autoscaling").await?;
    assert_eq!(group["preferredVersion"]["version"], "v2");
    assert_eq!(group["versions"][1]["version"], "v1");
    Ok(())
}

#[tokio::test]
async fn what_the_older_version_has_no_field_for_is_not_lost() -> Result<()> {
    let cluster = anywhere().await?;
    let path = |version| format!("{}/web", cluster.path(version, AUTOSCALERS));
    let target = json!({ "type": "AverageValue", "averageValue": "30" });
    let metric = json!({ "name": "requests", "selector": { "matchLabels": { "a": "b" } } });
    let own = json!({
        "metrics": [
            { "type": "Pods", "pods": { "metric": metric, "target": target } },
            { "type": "External", "external": {
                "metric": { "name": "queue" }, "target": { "type": "Value", "value": "7" },
            } },
            { "type": "ContainerResource", "containerResource": {
                "name": "memory", "container": "c",
                "target": { "type": "Utilization", "averageUtilization": 70 },
            } },
            { "type": "Object", "object": {
                "metric": { "name": "hits" },
                "describedObject": { "apiVersion": "v1", "kind": "Service", "name": "web" },
                "target": { "type": "Value", "value": "2k" },
            } },
            { "type": "Resource", "resource": {
                "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 60 },
            } },
        ],
        "behavior": { "scaleDown": { "stabilizationWindowSeconds": 60 } },
    });
    let scaler = json!({ "metadata": { "name": "web", "annotations": { "a": "b" } }, "spec": spec(&own) });
    let newer = cluster.post(&cluster.path(V2, AUTOSCALERS), scaler).await?;

    let (_, mut older) = cluster.get(&path(V1)).await?;
    assert_eq!(older["spec"]["targetCPUUtilizationPercentage"], 60);
    let annotations = &older["metadata"]["annotations"];
    let metrics = annotations["autoscaling.alpha.kubernetes.io/metrics"].as_str().unwrap_or_default();
    let metrics: Value = serde_json::from_str(metrics)?;
    let selector = json!({ "matchLabels": { "a": "b" } });
    let pods = json!({ "metricName": "requests", "selector": selector, "targetAverageValue": "30" });
    assert_eq!(metrics[0], json!({ "type": "Pods", "pods": pods }));
    let behavior = annotations["autoscaling.alpha.kubernetes.io/behavior"].as_str().unwrap_or_default();
    assert!(behavior.contains("\"StabilizationWindowSeconds\":60"), "{behavior}");

    older["spec"]["maxReplicas"] = 9.into();
    // A real cluster's controller writes a status meanwhile.
    older["metadata"].as_object_mut().map(|metadata| metadata.remove("resourceVersion"));
    let (status, answer) = cluster.call(Method::PUT, &path(V1), Some(older)).await?;
    assert_eq!((status, &answer["spec"]["maxReplicas"]), (200, &json!(9)), "{answer}");
    let patch = json!({ "spec": { "targetCPUUtilizationPercentage": 65 } }).to_string();
    let merge = [("content-type", "application/merge-patch+json")];
    let (status, answer) = cluster.send(Method::PATCH, &path(V1), &merge, patch).await?;
    assert_eq!((status, &answer["spec"]["targetCPUUtilizationPercentage"]), (200, &json!(65)), "{answer}");

    let (_, after) = cluster.get(&path(V2)).await?;
    let mut expected = newer["spec"].clone();
    expected["maxReplicas"] = 9.into();
    expected["metrics"][4]["resource"]["target"]["averageUtilization"] = 65.into();
    assert_eq!(after["spec"], expected);
    assert_eq!(after["metadata"]["annotations"], json!({ "a": "b" }));
    Ok(())
}

#[tokio::test]
async fn a_watch_speaks_the_version_of_its_path() -> Result<()> {
    let cluster = anywhere().await?;
    let path = cluster.path(V1, AUTOSCALERS);
    let scaler = json!({ "metadata": { "name": "web" }, "spec": spec(&json!({})) });
    cluster.post(&cluster.path(V2, AUTOSCALERS), scaler).await?;
    // Where one event comes, the stream is one document; else the first line is.
    let (_, mut event) = cluster.get(&format!("{path}?watch=true&timeoutSeconds=1")).await?;
    if let Some(first) = event.as_str().and_then(|text| text.lines().next()) {
        event = serde_json::from_str(first)?;
    }
    assert_eq!(event["type"], "ADDED");
    assert_eq!(event["object"]["apiVersion"], V1);
    assert_eq!(event["object"]["spec"]["targetCPUUtilizationPercentage"], 80);
    Ok(())
}
