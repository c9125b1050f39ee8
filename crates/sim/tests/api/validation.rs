//! What is wrong with objects, told in the order and at the fields of a real API server.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::Cluster;

use crate::common::anywhere;

/// The causes of a refusal: field, and how the message begins and ends.
async fn refused(cluster: &Cluster, path: &str, object: Value) -> Result<Vec<(String, String)>> {
    causes_of(cluster.call(Method::POST, path, Some(object)).await?)
}

fn causes_of((status, body): (u16, Value)) -> Result<Vec<(String, String)>> {
    anyhow::ensure!(status == 422, "{status}: {body}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let causes = body["details"]["causes"].as_array().cloned().unwrap_or_default();
    Ok(causes.iter().map(|cause| (text(&cause["field"]), text(&cause["message"]))).collect())
}

/// Values within the messages are printed otherwise by older servers.
fn has(causes: &[(String, String)], expected: &[(&str, &str)]) {
    assert_eq!(causes.len(), expected.len(), "{causes:#?}");
    for ((field, message), (expected, end)) in causes.iter().zip(expected) {
        assert_eq!(field, expected);
        assert!(message.ends_with(end), "{message}");
    }
}

fn template(labels: &Value) -> Value {
    let spec = json!({ "restartPolicy": "Never", "containers": [{ "name": "c", "image": "i" }] });
    json!({ "metadata": { "labels": labels }, "spec": spec })
}

fn deployment(selector: &Value, rolling_update: &Value) -> Value {
    let mut template = template(&json!({ "a": "b" }));
    template["spec"]["restartPolicy"] = "Always".into();
    json!({ "metadata": { "name": "d" }, "spec": {
        "replicas": 0, "selector": selector, "template": template,
        "strategy": { "rollingUpdate": rolling_update },
    } })
}

#[tokio::test]
async fn deployments() -> Result<()> {
    let cluster = anywhere().await?;
    let path = cluster.path("apps/v1", "deployments");
    let expressions = json!({ "matchExpressions": [{ "key": "a", "operator": "Bad" }] });
    let causes = refused(&cluster, &path, deployment(&expressions, &json!({}))).await?;
    let operator = ("spec.selector.matchExpressions[0].operator", "not a valid selector operator");
    has(&causes, &[operator, ("spec.selector", ": invalid label selector")]);

    let labels = json!({ "matchLabels": { "a": "b" } });
    let (surge, unavailable) =
        ("spec.strategy.rollingUpdate.maxSurge", "spec.strategy.rollingUpdate.maxUnavailable");
    let update = json!({ "maxSurge": "1x", "maxUnavailable": "200%" });
    let causes = refused(&cluster, &path, deployment(&labels, &update)).await?;
    has(&causes, &[(surge, "is '[0-9]+%')"), (unavailable, ": must not be greater than 100%")]);
    let update = json!({ "maxSurge": "00%", "maxUnavailable": 0 });
    let causes = refused(&cluster, &path, deployment(&labels, &update)).await?;
    has(&causes, &[(unavailable, ": may not be 0 when `maxSurge` is 0")]);

    cluster.post(&path, deployment(&labels, &json!({}))).await?;
    let merge = [("content-type", "application/merge-patch+json")];
    let patch = json!({ "status": { "replicas": -1, "updatedReplicas": 0, "readyReplicas": 0, "availableReplicas": 1 } });
    let status = cluster.path("apps/v1", "deployments/d/status");
    let answer = cluster.send(Method::PATCH, &status, &merge, patch.to_string()).await?;
    has(
        &causes_of(answer)?,
        &[
            ("status.replicas", "must be greater than or equal to 0"),
            ("status.updatedReplicas", "0: cannot be greater than status.replicas"),
            ("status.readyReplicas", "0: cannot be greater than status.replicas"),
            ("status.availableReplicas", "1: cannot be greater than status.replicas"),
            ("status.availableReplicas", "1: cannot be greater than readyReplicas"),
        ],
    );
    Ok(())
}

#[tokio::test]
async fn jobs() -> Result<()> {
    let cluster = anywhere().await?;
    let path = cluster.path("batch/v1", "jobs");
    let job = json!({ "metadata": { "name": "j" }, "spec": {
        "selector": { "matchLabels": { "a": "b" } }, "template": template(&json!({})),
    } });
    let causes = refused(&cluster, &path, job).await?;
    has(
        &causes,
        &[
            ("spec.selector", ": `selector` not auto-generated"),
            ("spec.template.metadata.labels", ": `selector` does not match template `labels`"),
        ],
    );
    Ok(())
}

#[tokio::test]
async fn a_changed_template_of_a_suspended_job_is_shown_whole() -> Result<()> {
    let cluster = anywhere().await?;
    let job = json!({ "metadata": { "name": "j" }, "spec": {
        "suspend": true, "template": template(&json!({ "a": "b" })),
    } });
    cluster.post(&cluster.path("batch/v1", "jobs"), job).await?;
    let merge = [("content-type", "application/merge-patch+json")];
    let path = cluster.path("batch/v1", "jobs/j");
    let patch = json!({ "spec": { "template": { "spec": { "restartPolicy": "OnFailure" } } } });
    let causes = causes_of(cluster.send(Method::PATCH, &path, &merge, patch.to_string()).await?)?;
    has(&causes, &[("spec.template", ": field is immutable")]);
    assert!(causes[0].1.contains("job-name"), "{causes:?}");
    Ok(())
}

#[tokio::test]
async fn services_events_and_quotas() -> Result<()> {
    let cluster = anywhere().await?;
    let service = |address: &str| json!({ "metadata": { "name": "s" }, "spec": { "clusterIP": address, "ports": [{ "port": 80 }] } });
    let causes = refused(&cluster, &cluster.core("services"), service("1.2.3.4")).await?;
    assert_eq!(causes[0].0, "spec.clusterIPs");
    assert!(causes[0].1.contains("is not in the valid range. The range of valid IPs is 10."), "{causes:?}");

    let event = json!({ "metadata": { "name": "e" }, "involvedObject": { "namespace": "other" } });
    let causes = refused(&cluster, &cluster.core("events"), event).await?;
    has(&causes, &[("involvedObject.namespace", "\"other\": does not match event.namespace")]);

    let quota = json!({ "metadata": { "name": "q" }, "spec": { "hard": { "bad": "1" } } });
    let causes = refused(&cluster, &cluster.core("resourcequotas"), quota).await?;
    has(
        &causes,
        &[
            ("spec.hard[bad]", "\"bad\": must be a standard resource type or fully qualified"),
            ("spec.hard[bad]", "\"bad\": must be a standard resource for quota"),
        ],
    );
    Ok(())
}

#[tokio::test]
async fn nodes_and_priority_classes() -> Result<()> {
    let cluster = anywhere().await?;
    let taint = json!({ "key": "b", "effect": "NoSchedule" });
    let node = json!({ "metadata": { "name": "a" }, "spec": { "taints": [taint, taint] } });
    let causes = refused(&cluster, "/api/v1/nodes?dryRun=All", node).await?;
    has(&causes, &[("metadata.taints[1]", ": taints must be unique by key and effect pair")]);
    let class = json!({ "metadata": { "name": "system-x" }, "value": 1 });
    let path = "/apis/scheduling.k8s.io/v1/priorityclasses?dryRun=All";
    let causes = refused(&cluster, path, class).await?;
    has(&causes, &[("metadata.name", "error: system-x is not a known system priority class")]);
    Ok(())
}
