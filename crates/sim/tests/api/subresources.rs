//! What is sent below an object: of its own type, and about that object.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{anywhere, idle_pod};

#[tokio::test]
async fn bodies_below_an_object_are_of_their_own_kind() -> Result<()> {
    let cluster = anywhere().await?;
    cluster.post(&cluster.core("pods"), idle_pod("p", &json!({}))).await?;
    cluster.post(&cluster.core("serviceaccounts"), json!({ "metadata": { "name": "sa" } })).await?;
    let selector = json!({ "matchLabels": { "a": "b" } });
    let template =
        json!({ "metadata": { "labels": { "a": "b" } }, "spec": idle_pod("p", &json!({}))["spec"] });
    let set = json!({ "metadata": { "name": "s" }, "spec": { "replicas": 0, "selector": selector, "template": template } });
    let sets = cluster.path("apps/v1", "replicasets");
    cluster.post(&sets, set).await?;

    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p" } });
    for (method, path, expected, package) in [
        (Method::POST, cluster.core("pods/p/eviction"), "Eviction", "policy"),
        (Method::POST, cluster.core("pods/p/binding"), "Binding", "core"),
        (Method::POST, cluster.core("serviceaccounts/sa/token"), "TokenRequest", "authentication"),
        (Method::PUT, format!("{sets}/s/scale"), "Scale", "autoscaling"),
    ] {
        let (status, refused) = cluster.call(method, &path, Some(pod.clone())).await?;
        let why = format!(
            "Pod in version \"v1\" cannot be handled as a {expected}: converting (v1.Pod) to ({package}.{expected}): \
             unknown conversion"
        );
        assert_eq!((status, &refused["message"]), (400, &json!(why)), "{path}");
    }
    let path = cluster.core("pods/p");
    let (status, refused) = cluster.call(Method::DELETE, &path, Some(pod)).await?;
    assert!(status >= 400, "{refused}");

    // Options are of every group, and evictions of an older version too.
    let tried = json!({ "apiVersion": "apps/v1", "kind": "DeleteOptions", "dryRun": ["All"] });
    assert_eq!(cluster.call(Method::DELETE, &path, Some(tried.clone())).await?.0, 200);
    let eviction = json!({
        "apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": { "name": "p" },
        "deleteOptions": { "dryRun": ["All"] },
    });
    let (status, evicted) = cluster.call(Method::POST, &format!("{path}/eviction"), Some(eviction)).await?;
    assert_eq!(status, 201, "{evicted}");
    Ok(())
}

#[tokio::test]
async fn bodies_below_an_object_are_about_it() -> Result<()> {
    let cluster = anywhere().await?;
    cluster.post(&cluster.core("pods"), idle_pod("p", &json!({}))).await?;
    cluster.post(&cluster.core("serviceaccounts"), json!({ "metadata": { "name": "sa" } })).await?;
    let elsewhere = "the namespace of the provided object does not match the namespace sent on the request";
    let target = json!({ "kind": "Node", "name": "n" });
    let (named, away) = (json!({ "name": "p" }), json!({ "name": "p", "namespace": "elsewhere" }));
    let binding = |metadata: &Value, target: &Value| json!({ "metadata": metadata, "target": target });
    let another_name = "name in URL does not match name in Binding object";
    let unsupported = "target.kind: Unsupported value: \"Pod\": supported values: \"Node\", \"<empty>\"";
    let token = json!({ "metadata": { "name": "other" }, "spec": {} });
    let must_match = "TokenRequest.authentication.k8s.io \"sa\" is invalid: metadata.name: Invalid value: \"other\": \
                      must match the service account name if specified";
    for (path, body, code, why) in [
        ("pods/p/binding", binding(&json!({}), &target), 400, another_name),
        ("pods/p/binding", binding(&json!({ "name": "q" }), &target), 400, another_name),
        ("pods/p/binding", binding(&away, &target), 400, elsewhere),
        ("pods/p/binding", binding(&named, &json!({ "kind": "Pod", "name": "n" })), 500, unsupported),
        ("pods/p/binding", binding(&named, &json!({})), 500, "target.name: Required value"),
        ("pods/p/eviction", json!({ "metadata": away }), 400, elsewhere),
        (
            "pods/p/eviction",
            json!({ "metadata": {} }),
            400,
            "name in URL does not match name in Eviction object",
        ),
        ("serviceaccounts/sa/token", json!({ "metadata": { "namespace": "elsewhere" } }), 400, elsewhere),
        ("serviceaccounts/sa/token", token, 422, must_match),
    ] {
        let (status, refused) = cluster.call(Method::POST, &cluster.core(path), Some(body)).await?;
        assert_eq!((status, &refused["message"]), (code, &json!(why)), "{path}");
    }
    let (_, pod) = cluster.get(&cluster.core("pods/p")).await?;
    assert_eq!(pod["spec"]["nodeName"], Value::Null);
    Ok(())
}
