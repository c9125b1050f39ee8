//! Kinds that are served in more than one version.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Cluster, eventually};

use crate::common::anywhere;

const V1: &str = "autoscaling/v1";
const V2: &str = "autoscaling/v2";
const EVENTS: &str = "events.k8s.io/v1";
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

/// The first event of a watch.
async fn watched(cluster: &Cluster, path: &str, query: &str) -> Result<Value> {
    // Where one event comes, the stream is one document; else the first line is.
    let (_, event) = cluster.get(&format!("{path}?watch=true&timeoutSeconds=1&{query}")).await?;
    match event.as_str().and_then(|text| text.lines().next()) {
        Some(first) => Ok(serde_json::from_str(first)?),
        None => Ok(event),
    }
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
    let event = watched(&cluster, &path, "").await?;
    assert_eq!(event["type"], "ADDED");
    assert_eq!(event["object"]["apiVersion"], V1);
    assert_eq!(event["object"]["spec"]["targetCPUUtilizationPercentage"], 80);
    Ok(())
}

#[tokio::test]
async fn events_of_the_core_group_are_those_of_events_k8s_io() -> Result<()> {
    let cluster = anywhere().await?;
    let (core, own) = (cluster.core("events"), cluster.path(EVENTS, "events"));
    let about = json!({ "kind": "ConfigMap", "namespace": cluster.namespace(), "name": "map" });
    let now = jiff::Timestamp::now();
    let (second, time) = (now.strftime("%FT%TZ").to_string(), now.strftime("%FT%T.%6fZ").to_string());
    let old = json!({
        "metadata": { "name": "old" }, "type": "Warning", "reason": "Odd", "message": "how odd", "count": 3,
        "involvedObject": about, "source": { "component": "test", "host": "here" },
        "firstTimestamp": second, "lastTimestamp": second,
    });
    let created = cluster.post(&core, old).await?;
    let (_, mut read) = cluster.get(&format!("{own}/old")).await?;
    assert_eq!(read["metadata"]["uid"], created["metadata"]["uid"]);
    read.as_object_mut().map(|fields| fields.remove("metadata"));
    assert_eq!(
        read,
        json!({
            "apiVersion": EVENTS, "kind": "Event", "type": "Warning", "reason": "Odd", "note": "how odd",
            "regarding": about, "eventTime": null, "deprecatedSource": { "component": "test", "host": "here" },
            "deprecatedFirstTimestamp": second, "deprecatedLastTimestamp": second,
            "deprecatedCount": 3,
        })
    );

    let series = json!({ "count": 2, "lastObservedTime": time });
    let new = json!({
        "metadata": { "name": "new" }, "type": "Normal", "reason": "Even", "note": "as it should", "eventTime": time,
        "regarding": about, "related": about, "action": "Test", "series": series,
        "reportingController": "example.com/test", "reportingInstance": "test-1",
    });
    let created = cluster.post(&own, new).await?;
    assert_eq!((&created["apiVersion"], &created["note"]), (&json!(EVENTS), &json!("as it should")));
    let (_, mut read) = cluster.get(&format!("{core}/new")).await?;
    read.as_object_mut().map(|fields| fields.remove("metadata"));
    assert_eq!(
        read,
        json!({
            "apiVersion": "v1", "kind": "Event", "type": "Normal", "reason": "Even", "message": "as it should",
            "involvedObject": about, "related": about, "action": "Test", "eventTime": time, "series": series,
            "reportingComponent": "example.com/test", "reportingInstance": "test-1",
            "source": {}, "firstTimestamp": null, "lastTimestamp": null,
        })
    );
    Ok(())
}

#[tokio::test]
async fn events_are_selected_watched_patched_and_deleted_in_either_group() -> Result<()> {
    let cluster = anywhere().await?;
    let (core, own) = (cluster.core("events"), cluster.path(EVENTS, "events"));
    for name in ["one", "other"] {
        let about = json!({ "kind": "ConfigMap", "namespace": cluster.namespace(), "name": name });
        cluster
            .post(&core, json!({ "metadata": { "name": name }, "message": name, "involvedObject": about }))
            .await?;
    }
    let (_, list) = cluster.get(&format!("{own}?fieldSelector=regarding.name%3Done")).await?;
    assert_eq!((&list["apiVersion"], &list["kind"]), (&json!(EVENTS), &json!("EventList")));
    let notes: Vec<&Value> =
        list["items"].as_array().into_iter().flatten().map(|item| &item["note"]).collect();
    assert_eq!(notes, ["one"]);
    let (status, refusal) = cluster.get(&format!("{own}?fieldSelector=involvedObject.name%3Done")).await?;
    assert_eq!(
        (status, &refusal["message"]),
        (400, &json!("field label not supported: involvedObject.name"))
    );

    let event = watched(&cluster, &own, "fieldSelector=regarding.name%3Dother").await?;
    assert_eq!((&event["type"], &event["object"]["note"]), (&json!("ADDED"), &json!("other")));
    assert_eq!(event["object"]["apiVersion"], EVENTS);

    let merge = [("content-type", "application/merge-patch+json")];
    let patch = json!({ "metadata": { "labels": { "seen": "yes" } } }).to_string();
    let (status, patched) = cluster.send(Method::PATCH, &format!("{own}/one"), &merge, patch).await?;
    assert_eq!((status, &patched["note"]), (200, &json!("one")), "{patched}");
    let (_, labelled) = cluster.get(&format!("{core}?labelSelector=seen")).await?;
    assert_eq!(labelled["items"][0]["message"], "one");

    let table = [("accept", "application/json;as=Table;g=meta.k8s.io;v=v1")];
    let (_, table) = cluster.send(Method::GET, &format!("{own}/one"), &table, "").await?;
    assert_eq!(
        (&table["rows"][0]["cells"][3], &table["rows"][0]["cells"][6]),
        (&json!("configmap/one"), &json!("one"))
    );

    let (status, gone) = cluster.call(Method::DELETE, &format!("{own}/one"), None).await?;
    assert_eq!((status, &gone["details"]["group"]), (200, &json!("events.k8s.io")), "{gone}");
    let (status, missing) = cluster.get(&format!("{own}/one")).await?;
    assert_eq!((status, &missing["message"]), (404, &json!("events.events.k8s.io \"one\" not found")));
    assert_eq!(cluster.get(&format!("{core}/one")).await?.1["message"], "events \"one\" not found");
    Ok(())
}

#[tokio::test]
async fn rights_to_events_are_those_of_the_group_that_is_asked_for() -> Result<()> {
    let cluster = anywhere().await?;
    cluster.post(&cluster.core("serviceaccounts"), json!({ "metadata": { "name": "reader" } })).await?;
    let rbac = |plural| cluster.path("rbac.authorization.k8s.io/v1", plural);
    let rule = json!({ "apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["list"] });
    cluster.post(&rbac("roles"), json!({ "metadata": { "name": "reader" }, "rules": [rule] })).await?;
    let binding = json!({
        "metadata": { "name": "reader" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader" },
        "subjects": [{ "kind": "ServiceAccount", "namespace": cluster.namespace(), "name": "reader" }],
    });
    cluster.post(&rbac("rolebindings"), binding).await?;
    let reader = cluster.with_token(&cluster.token_of(cluster.namespace(), "reader").await?).await?;
    let own = cluster.path(EVENTS, "events");
    let allowed = async || (reader.get(&own).await.ok()?.0 == 200).then_some(());
    eventually("the right to list events", allowed).await?;
    assert_eq!(reader.get(&cluster.core("events")).await?.0, 403);
    Ok(())
}

#[tokio::test]
async fn what_no_field_can_hold_is_left_out_of_the_newer_version() -> Result<()> {
    let cluster = anywhere().await?;
    let annotation = |name: &str| format!("autoscaling.alpha.kubernetes.io/{name}");
    let annotations = json!({
        annotation("behavior"): "5", annotation("metrics"): "[7]", annotation("conditions"): "{\"type\":1}",
        annotation("current-metrics"): "\"x\"", "a": "b",
    });
    let scaler =
        json!({ "metadata": { "name": "web", "annotations": annotations }, "spec": spec(&json!({})) });
    cluster.post(&cluster.path(V1, AUTOSCALERS), scaler).await?;
    let (_, newer) = cluster.get(&format!("{}/web", cluster.path(V2, AUTOSCALERS))).await?;
    assert_eq!(newer["metadata"]["annotations"], json!({ "a": "b" }));
    assert_eq!(newer["spec"]["behavior"], Value::Null);
    let is_typed = |metric: &Value| metric["type"].is_string();
    assert!(
        newer["spec"]["metrics"].as_array().is_none_or(|metrics| metrics.iter().all(is_typed)),
        "{newer}"
    );
    Ok(())
}
