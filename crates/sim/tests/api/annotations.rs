//! What the simulator is told in words that it does not know.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};
use sim::Seed;
use testkit::Cluster;

use crate::common::simulated;

/// The warnings of an answer to a POST.
async fn warnings(cluster: &Cluster, path: &str, body: &Value) -> Result<Vec<String>> {
    let json = [("content-type", "application/json")];
    let response = cluster.ask(Method::POST, path, &json, body.to_string()).await?;
    assert_eq!(response.status(), 201);
    let warnings = response.headers().get_all("warning").into_iter();
    Ok(warnings.map(|value| value.to_str().map(str::to_owned)).collect::<Result<_, _>>()?)
}

#[tokio::test]
async fn a_mistyped_annotation_is_warned_of() -> Result<()> {
    let cluster = simulated(Seed::Empty).await?;
    let spec = json!({ "containers": [{ "name": "c", "image": "nginx:1.27" }] });
    let pod = |name: &str, value: &str| {
        let annotations = json!({ name: value });
        json!({ "metadata": { "generateName": "a", "annotations": annotations }, "spec": spec })
    };
    let pods = "/api/v1/namespaces/default/pods";
    let behaviour = "sim.kubesage.io/behaviour";
    assert_eq!(warnings(&cluster, pods, &pod(behaviour, "crash-loop")).await?, Vec::<String>::new());
    let expected = "299 - \"metadata.annotations[sim.kubesage.io/behaviour]: \\\"crsh\\\" is unknown to the simulator: \
                    expected one of crash-loop, oom, fail, image-pull-error, never-ready\"";
    assert_eq!(warnings(&cluster, pods, &pod(behaviour, "crsh")).await?, [expected]);
    assert_eq!(warnings(&cluster, pods, &pod("sim.kubesage.io/exit-code", "256")).await?.len(), 1);
    assert_eq!(warnings(&cluster, pods, &pod("sim.kubesage.io/behavior", "oom")).await?.len(), 1);

    let labels = json!({ "app": "a" });
    let template =
        json!({ "metadata": { "labels": labels, "annotations": { behaviour: "dead" } }, "spec": spec });
    let spec = json!({ "selector": { "matchLabels": labels }, "template": template });
    let deployment = json!({ "metadata": { "name": "a" }, "spec": spec });
    let told = warnings(&cluster, "/apis/apps/v1/namespaces/default/deployments", &deployment).await?;
    assert!(told[0].contains("spec.template.metadata.annotations"), "{told:?}");

    let node = json!({ "metadata": { "name": "a", "annotations": { behaviour: "dead" } } });
    assert_eq!(warnings(&cluster, "/api/v1/nodes", &node).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_fault_of_no_verb_is_refused() -> Result<()> {
    let cluster = simulated(Seed::Empty).await?;
    let fault = json!({ "verb": "lst", "status": 500 });
    let (status, refused) = cluster.call(Method::POST, "/simulator/v1/faults", Some(fault)).await?;
    let why = "a fault's verb must be one of create, delete, deletecollection, get, head, list, options, patch, post, \
               put, update, watch";
    assert_eq!((status, &refused["message"]), (400, &json!(why)));
    Ok(())
}
