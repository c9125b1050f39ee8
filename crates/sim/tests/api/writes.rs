//! Writes that are refused before anybody looks at what the object says: method, name, namespace, uid and version.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::Cluster;

use crate::common::anywhere;

const MERGE: &[(&str, &str)] = &[("content-type", "application/merge-patch+json")];

/// A config map `m`, its path and itself.
async fn with_map() -> Result<(Cluster, String, Value)> {
    let cluster = anywhere().await?;
    let map = json!({ "metadata": { "name": "m" }, "data": { "k": "v" } });
    let map = cluster.post(&cluster.core("configmaps"), map).await?;
    let path = cluster.core("configmaps/m");
    Ok((cluster, path, map))
}

fn message(body: &Value) -> &str {
    body["message"].as_str().unwrap_or_default()
}

fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn collections_are_not_written_as_one() -> Result<()> {
    let (cluster, path, map) = with_map().await?;
    let collection = cluster.core("configmaps");
    for (method, path) in [
        (Method::DELETE, "/api/v1/configmaps"),
        (Method::POST, "/api/v1/configmaps"),
        (Method::PUT, "/api/v1/configmaps"),
        (Method::PATCH, "/api/v1/configmaps"),
        (Method::PUT, &collection),
        (Method::PATCH, &collection),
        (Method::POST, &path),
    ] {
        let (status, refused) = cluster.send(method.clone(), path, MERGE, map.to_string()).await?;
        let expected = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 405,
            "message": "the server does not allow this method on the requested resource",
            "reason": "MethodNotAllowed", "details": {},
        });
        assert_eq!((status, refused), (405, expected), "{method} {path}");
    }
    assert_eq!(cluster.get(&path).await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn a_patch_makes_no_other_object_of_one() -> Result<()> {
    let (cluster, path, _) = with_map().await?;
    let patch = async |patch: Value| cluster.send(Method::PATCH, &path, MERGE, patch.to_string()).await;
    for (field, value) in [("name", "other"), ("namespace", "other")] {
        let (status, refused) = patch(json!({ "metadata": { field: value } })).await?;
        assert_eq!((status, &refused["reason"]), (400, &json!("BadRequest")), "{field}");
        assert!(message(&refused).contains(&format!("the {field} of the ")), "{refused}");
    }
    for (fields, why) in [
        (
            json!({ "kind": "Secret", "data": null }),
            "converting (v1.Secret) to (core.ConfigMap): unknown conversion",
        ),
        (json!({ "kind": "Widget" }), "no kind \"Widget\" is registered for version \"v1\" in scheme"),
        (json!({ "apiVersion": "v3" }), "no kind \"ConfigMap\" is registered for version \"v3\" in scheme"),
    ] {
        let (status, refused) = patch(fields).await?;
        assert_eq!((status, &refused["details"]["causes"][0]["field"]), (422, &json!("patch")), "{refused}");
        assert!(message(&refused).starts_with(" \"\" is invalid: patch: Invalid value: \""), "{refused}");
        assert!(message(&refused).contains(why), "{refused}");
    }
    let (status, refused) = patch(json!({ "metadata": { "uid": "u" } })).await?;
    let expected = "ConfigMap \"m\" is invalid: metadata.uid: Invalid value: \"u\": field is immutable";
    assert_eq!((status, message(&refused)), (422, expected));
    Ok(())
}

#[tokio::test]
async fn json_patches_are_lists_of_operations() -> Result<()> {
    let (cluster, path, _) = with_map().await?;
    for body in ["[1]", "{}", "x"] {
        let headers = [("content-type", "application/json-patch+json")];
        let (status, refused) = cluster.send(Method::PATCH, &path, &headers, body).await?;
        assert_eq!((status, &refused["reason"]), (400, &json!("BadRequest")), "{body}");
    }
    Ok(())
}

#[tokio::test]
async fn deletions_happen_to_the_object_that_is_meant() -> Result<()> {
    let (cluster, path, map) = with_map().await?;
    let present = (uid(&map), map["metadata"]["resourceVersion"].as_str().unwrap_or_default());
    for (field, title, actual, fate) in [
        ("uid", "UID", present.0, "deleted and then recreated"),
        ("resourceVersion", "ResourceVersion", present.1, "modified"),
    ] {
        let body = json!({ "preconditions": { field: "1" } });
        let (status, refused) = cluster.call(Method::DELETE, &path, Some(body)).await?;
        let expected = format!(
            "Operation cannot be fulfilled on ConfigMap \"m\": the {title} in the precondition (1) does not match the \
             {title} in record ({actual}). The object might have been {fate}"
        );
        assert_eq!((status, message(&refused)), (409, expected.as_str()));
        assert_eq!(refused["details"], json!({ "name": "m", "kind": "ConfigMap" }));
    }
    let body = json!({ "preconditions": { "uid": present.0, "resourceVersion": present.1 } });
    assert_eq!(cluster.call(Method::DELETE, &path, Some(body)).await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn a_put_says_which_object_it_replaces() -> Result<()> {
    let (cluster, path, map) = with_map().await?;
    let put =
        async |metadata: Value| cluster.call(Method::PUT, &path, Some(json!({ "metadata": metadata }))).await;
    let (status, refused) = put(json!({ "name": "m", "uid": "u" })).await?;
    let namespace = map["metadata"]["namespace"].as_str().unwrap_or_default();
    let conflict = |resource: &str, key: &str, name: &str, actual: &str| {
        format!(
            "Operation cannot be fulfilled on {resource} \"{name}\": StorageError: invalid object, Code: 4, Key: \
             /registry/{key}/{namespace}/{name}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in \
             precondition: u, UID in object meta: {actual}"
        )
    };
    assert_eq!(
        (status, message(&refused)),
        (409, conflict("configmaps", "configmaps", "m", uid(&map)).as_str())
    );

    // Leases are made by a PUT, but not with a uid.
    let lease = cluster.path("coordination.k8s.io/v1", "leases/l");
    let body = json!({ "metadata": { "name": "l", "uid": "u" } });
    let (status, refused) = cluster.call(Method::PUT, &lease, Some(body)).await?;
    let expected = conflict("leases.coordination.k8s.io", "leases", "l", "");
    assert_eq!((status, message(&refused)), (409, expected.as_str()));

    let (status, refused) = put(json!({ "name": "m", "resourceVersion": "abc" })).await?;
    let expected = "strconv.ParseUint: parsing \"abc\": invalid syntax";
    assert_eq!((status, message(&refused), &refused["reason"]), (500, expected, &Value::Null));
    assert_eq!(put(json!({ "name": "m", "resourceVersion": "1" })).await?.0, 409);
    assert_eq!(put(json!({ "name": "m", "resourceVersion": "0" })).await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn a_scale_bears_the_name_of_its_workload() -> Result<()> {
    let cluster = anywhere().await?;
    let deployment = json!({
        "metadata": { "name": "d" },
        "spec": {
            "replicas": 0,
            "selector": { "matchLabels": { "a": "b" } },
            "template": {
                "metadata": { "labels": { "a": "b" } },
                "spec": { "containers": [{ "name": "c", "image": "i" }] },
            },
        },
    });
    cluster.post(&cluster.path("apps/v1", "deployments"), deployment).await?;
    let path = cluster.path("apps/v1", "deployments/d/scale");
    let put = async |metadata: Value| {
        let scale = json!({ "metadata": metadata, "spec": { "replicas": 0 } });
        cluster.call(Method::PUT, &path, Some(scale)).await
    };
    let namespace = cluster.namespace();
    let (status, refused) = put(json!({ "name": "e", "namespace": namespace })).await?;
    let expected = "the name of the object (e) does not match the name on the URL (d)";
    assert_eq!((status, message(&refused)), (400, expected));
    assert_eq!(put(json!({ "name": "d", "namespace": "other" })).await?.0, 400);
    let (status, refused) = put(json!({ "name": "d", "namespace": namespace, "uid": "u" })).await?;
    assert_eq!(status, 409);
    assert!(message(&refused).contains("Precondition failed: UID in precondition: u, UID in object meta: "));
    assert_eq!(put(json!({ "name": "d", "namespace": namespace })).await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn options_of_writes_are_checked_first() -> Result<()> {
    let (cluster, path, _) = with_map().await?;
    let collection = cluster.core("configmaps");
    let long = "m".repeat(129);
    for (method, path, query, kind, fields) in [
        (Method::POST, &collection, "dryRun=Some", "CreateOptions", vec!["dryRun"]),
        (Method::PUT, &path, "dryRun=Some", "UpdateOptions", vec!["dryRun"]),
        (Method::PATCH, &path, "force=true&dryRun=Some", "PatchOptions", vec!["force", "dryRun"]),
        (Method::POST, &collection, &format!("fieldManager={long}"), "CreateOptions", vec!["fieldManager"]),
        (Method::POST, &collection, "fieldManager=a%07b", "CreateOptions", vec!["fieldManager"]),
        (Method::DELETE, &path, "dryRun=Some", "DeleteOptions", vec!["dryRun"]),
        (Method::DELETE, &path, "propagationPolicy=Some", "DeleteOptions", vec!["propagationPolicy"]),
        (
            Method::DELETE,
            &path,
            "propagationPolicy=Orphan&orphanDependents=true",
            "DeleteOptions",
            vec!["propagationPolicy"],
        ),
    ] {
        let headers = if method == Method::PATCH { MERGE } else { &[("content-type", "application/json")] };
        let body = if method == Method::DELETE { "" } else { "{}" };
        let (status, refused) =
            cluster.send(method.clone(), &format!("{path}?{query}"), headers, body).await?;
        assert_eq!((status, &refused["details"]["kind"]), (422, &json!(kind)), "{method} {query}: {refused}");
        let causes = refused["details"]["causes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let found: Vec<&str> = causes.iter().filter_map(|cause| cause["field"].as_str()).collect();
        assert_eq!(found, fields, "{method} {query}");
    }
    let both = json!({ "orphanDependents": true, "propagationPolicy": "Orphan" });
    let (status, refused) = cluster.call(Method::DELETE, &path, Some(both)).await?;
    let expected = "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid value: \"Orphan\": \
                    orphanDependents and deletionPropagation cannot be both set";
    assert_eq!((status, message(&refused)), (422, expected));
    assert_eq!(cluster.get(&path).await?.0, 200);
    Ok(())
}
