//! Answers against those recorded from kube-apiserver v1.36.2.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Namespace;
use reqwest::Method;
use serde_json::{Value, json};
use sim::Seed;
use testkit::{Cluster, eventually};

use crate::common::{anywhere, sim, simulated};

fn failure(code: u16, reason: &str, message: &str, details: Option<Value>) -> Value {
    let mut body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    });
    if let Some(details) = details {
        body["details"] = details;
    }
    body
}

async fn make_namespace(cluster: &Cluster, name: &str) -> Result<(u16, Value)> {
    let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": { "team": "a" } } });
    cluster.call(Method::POST, "/api/v1/namespaces", Some(body)).await
}

/// Simulated: which version it is, and where it listens.
#[tokio::test]
async fn it_says_its_version_and_its_address() -> Result<()> {
    let cluster = simulated(Seed::Empty).await?;
    let (_, version) = cluster.get("/version").await?;
    assert_eq!((&version["gitVersion"], &version["minor"]), (&json!("v1.36.2"), &json!("36")));
    let (_, versions) = cluster.get("/api").await?;
    let address = sim(&cluster).addr().to_string();
    assert_eq!(
        versions["serverAddressByClientCIDRs"],
        json!([{ "clientCIDR": "0.0.0.0/0", "serverAddress": address }])
    );
    Ok(())
}

#[tokio::test]
async fn version_discovery_and_health() -> Result<()> {
    let cluster = anywhere().await?;
    let (_, version) = cluster.get("/version").await?;
    assert_eq!((&version["major"], version["gitVersion"].is_string()), (&json!("1"), true));
    let (_, versions) = cluster.get("/api").await?;
    assert_eq!((&versions["kind"], &versions["versions"]), (&json!("APIVersions"), &json!(["v1"])));
    for path in ["/readyz", "/livez", "/healthz"] {
        let response = cluster.ask(Method::GET, path, &[], "").await?;
        assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
        assert_eq!(response.headers()["cache-control"], "no-cache, private");
        assert_eq!(response.into_body(), b"ok");
    }
    let groups = cluster.client().list_api_groups().await?;
    let group = groups.groups.iter().find(|group| group.name == "batch").context("no group batch")?;
    assert_eq!(group.preferred_version.as_ref().map(|version| version.version.as_str()), Some("v1"));
    let resources = cluster.client().list_core_api_resources("v1").await?.resources;
    let pods = resources.iter().find(|resource| resource.name == "pods").context("no pods")?;
    assert_eq!((pods.singular_name.as_str(), pods.namespaced), ("pod", true));
    assert_eq!(pods.short_names, Some(vec!["po".to_owned()]));
    assert!(resources.iter().any(|resource| resource.name == "pods/log" && resource.verbs == ["get"]));
    Ok(())
}

#[tokio::test]
async fn unknown_tokens_are_unauthorized() -> Result<()> {
    let cluster = anywhere().await?;
    let caller = cluster.with_token("wrong").await?;
    let expected = (401, failure(401, "Unauthorized", "Unauthorized", None));
    assert_eq!(caller.get("/api/v1/namespaces").await?, expected);
    Ok(())
}

/// Simulated: a real cluster can be set to refuse whoever has no credentials.
#[tokio::test]
async fn who_says_nothing_is_anonymous() -> Result<()> {
    let cluster = simulated(Seed::Empty).await?;
    let anonymous = cluster.anonymous().await?;
    let message = "namespaces is forbidden: User \"system:anonymous\" cannot list resource \"namespaces\" in API \
                   group \"\" at the cluster scope";
    let expected = (403, failure(403, "Forbidden", message, Some(json!({ "kind": "namespaces" }))));
    let path = "/api/v1/namespaces";
    assert_eq!(anonymous.get(path).await?, expected);
    let unknown_scheme = [("authorization", "Basic YWRtaW46eA==")];
    assert_eq!(anonymous.send(Method::GET, path, &unknown_scheme, "").await?, expected);
    Ok(())
}

#[tokio::test]
async fn namespaces_are_created_as_recorded() -> Result<()> {
    let cluster = anywhere().await?;
    let rec = cluster.unique("rec");
    cluster.remove_at_end::<Namespace>(&rec);
    let (status, mut created) = make_namespace(&cluster, &rec).await?;
    assert_eq!(status, 201);
    assert_eq!(cluster.get(&format!("/api/v1/namespaces/{rec}")).await?, (200, created.clone()));
    let metadata = created["metadata"].as_object_mut().context("no metadata")?;
    // Kept by a real API server for every object, simulated where somebody applies.
    metadata.remove("managedFields");
    for field in ["uid", "resourceVersion", "creationTimestamp"] {
        assert!(metadata.remove(field).is_some_and(|value| value.is_string()), "{field}");
    }
    assert_eq!(
        created,
        json!({
            "kind": "Namespace", "apiVersion": "v1",
            "metadata": { "name": rec, "labels": { "kubernetes.io/metadata.name": rec, "team": "a" } },
            "spec": { "finalizers": ["kubernetes"] },
            "status": { "phase": "Active" },
        })
    );

    let details = json!({ "name": rec, "kind": "namespaces" });
    let message = format!("namespaces \"{rec}\" already exists");
    assert_eq!(
        make_namespace(&cluster, &rec).await?,
        (409, failure(409, "AlreadyExists", &message, Some(details)))
    );

    let why = "Invalid value: \"Not_Valid\": a lowercase RFC 1123 label must consist of lower case alphanumeric \
               characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or \
               '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
    let causes = json!([{ "reason": "FieldValueInvalid", "message": why, "field": "metadata.name" }]);
    let details = json!({ "name": "Not_Valid", "kind": "Namespace", "causes": causes });
    let message = format!("Namespace \"Not_Valid\" is invalid: metadata.name: {why}");
    assert_eq!(
        make_namespace(&cluster, "Not_Valid").await?,
        (422, failure(422, "Invalid", &message, Some(details)))
    );
    Ok(())
}

#[tokio::test]
async fn a_deleted_namespace_terminates_until_it_is_finalized() -> Result<()> {
    let cluster = anywhere().await?;
    let name = cluster.unique("held");
    cluster.remove_at_end::<Namespace>(&name);
    let held = json!({ "metadata": { "name": name }, "spec": { "finalizers": ["example.com/hold"] } });
    let created = cluster.post("/api/v1/namespaces", held).await?;
    assert_eq!(created["spec"]["finalizers"], json!(["example.com/hold", "kubernetes"]));
    let path = format!("/api/v1/namespaces/{name}");
    let (status, object) = cluster.call(Method::DELETE, &path, None).await?;
    assert_eq!((status, &object["status"]["phase"]), (200, &json!("Terminating")));
    assert!(object["metadata"]["deletionTimestamp"].is_string());

    let emptied = async || {
        let (_, namespace) = cluster.get(&path).await.ok()?;
        (namespace["spec"]["finalizers"] == json!(["example.com/hold"])).then_some(namespace)
    };
    let mut finalized = eventually("the namespace to be emptied", emptied).await?;
    assert_eq!(finalized["status"]["phase"], "Terminating");
    let again = cluster.call(Method::DELETE, &path, None).await?;
    finalized["spec"] = json!({});
    let (status, _) = cluster.call(Method::PUT, &format!("{path}/finalize"), Some(finalized)).await?;
    assert_eq!((status, cluster.get(&path).await?.0), (200, 404));
    assert_eq!((again.0, &again.1["spec"]["finalizers"]), (200, &json!(["example.com/hold"])));
    Ok(())
}

#[tokio::test]
async fn what_is_missing_is_not_found() -> Result<()> {
    let cluster = anywhere().await?;
    let details = json!({ "name": "absent", "kind": "namespaces" });
    assert_eq!(
        cluster.get("/api/v1/namespaces/absent").await?,
        (404, failure(404, "NotFound", "namespaces \"absent\" not found", Some(details)))
    );
    let details = json!({ "name": "d", "group": "apps", "kind": "deployments" });
    assert_eq!(
        cluster.get(&cluster.path("apps/v1", "deployments/d")).await?,
        (404, failure(404, "NotFound", "deployments.apps \"d\" not found", Some(details)))
    );
    let unserved =
        failure(404, "NotFound", "the server could not find the requested resource", Some(json!({})));
    for path in ["/api/v1/widgets", &cluster.core("pods/p/nope"), "/apis/apps/v1/widgets"] {
        assert_eq!(cluster.get(path).await?, (404, unserved.clone()), "{path}");
    }
    for path in ["/apis/nope/v1", "/apis/nope/v1/pods", "/apis/nope"] {
        assert_eq!(cluster.get(path).await?, (404, json!("404 page not found\n")), "{path}");
    }
    let merge = [("content-type", "application/merge-patch+json")];
    let cordon = r#"{"spec":{"unschedulable":true}}"#;
    let details = json!({ "name": "absent", "kind": "nodes" });
    assert_eq!(
        cluster.send(Method::PATCH, "/api/v1/nodes/absent", &merge, cordon).await?,
        (404, failure(404, "NotFound", "nodes \"absent\" not found", Some(details)))
    );
    let pod = json!({ "metadata": { "name": "p" }, "spec": { "containers": [] } });
    let (status, body) = cluster.call(Method::POST, "/api/v1/namespaces/absent/pods", Some(pod)).await?;
    assert_eq!((status, &body["message"]), (404, &json!("namespaces \"absent\" not found")));
    Ok(())
}

#[tokio::test]
async fn selectors_that_cannot_be_read_are_bad_requests() -> Result<()> {
    let cluster = anywhere().await?;
    let message = "found '==', expected: !, identifier, or 'end of string'";
    assert_eq!(
        cluster.get("/api/v1/namespaces?labelSelector=%3D%3D").await?,
        (400, failure(400, "BadRequest", message, None))
    );
    let message = "field label not supported: spec.nope";
    assert_eq!(
        cluster.get("/api/v1/pods?fieldSelector=spec.nope%3D1").await?,
        (400, failure(400, "BadRequest", message, None))
    );
    Ok(())
}

#[tokio::test]
async fn updates_count_versions_and_conflict_when_stale() -> Result<()> {
    let cluster = anywhere().await?;
    let path = cluster.core("configmaps");
    let body =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "c" }, "data": { "k": "1" } });
    let (status, first) = cluster.call(Method::POST, &path, Some(body)).await?;
    assert_eq!((status, &first["metadata"]["namespace"]), (201, &json!(cluster.namespace())));

    let path = format!("{path}/c");
    let (status, same) = cluster.call(Method::PUT, &path, Some(first.clone())).await?;
    assert_eq!((status, &same), (200, &first), "what changes nothing makes no version");
    let mut changed = first.clone();
    changed["data"]["k"] = "2".into();
    let (status, second) = cluster.call(Method::PUT, &path, Some(changed.clone())).await?;
    assert_eq!((status, &second["data"]["k"]), (200, &json!("2")));
    assert_eq!(second["metadata"]["uid"], first["metadata"]["uid"]);
    assert_ne!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);

    changed["data"]["k"] = "3".into();
    let message = "Operation cannot be fulfilled on configmaps \"c\": the object has been modified; please apply \
                   your changes to the latest version and try again";
    let details = json!({ "name": "c", "kind": "configmaps" });
    assert_eq!(
        cluster.call(Method::PUT, &path, Some(changed)).await?,
        (409, failure(409, "Conflict", message, Some(details)))
    );

    let delete = json!({ "preconditions": { "uid": "another" } });
    assert_eq!(cluster.call(Method::DELETE, &path, Some(delete)).await?.0, 409);
    let details = json!({ "name": "c", "kind": "configmaps", "uid": first["metadata"]["uid"] });
    let gone = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details });
    assert_eq!(cluster.call(Method::DELETE, &path, None).await?, (200, gone));
    Ok(())
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused() -> Result<()> {
    let cluster = anywhere().await?;
    let (maps, log) = (cluster.core("configmaps"), cluster.core("pods/p/log"));
    let own = format!("/api/v1/namespaces/{}", cluster.namespace());
    let (maps, log, own) = (maps.as_str(), log.as_str(), own.as_str());
    for (method, path, body, status) in [
        (Method::POST, maps, json!("text"), 400),
        (Method::POST, maps, json!({ "metadata": "x" }), 400),
        (Method::POST, maps, json!({ "kind": "Pod", "metadata": { "name": "c" } }), 400),
        (Method::POST, maps, json!({ "metadata": { "name": "c", "namespace": "kube-system" } }), 400),
        (Method::POST, maps, json!({ "metadata": { "name": "c", "resourceVersion": "1" } }), 500),
        (Method::POST, maps, json!({ "metadata": {} }), 422),
        (Method::POST, "/api/v1/namespaces", json!({ "metadata": { "name": "n", "labels": "x" } }), 400),
        (Method::POST, "/api/v1/namespaces?dryRun=Some", json!({ "metadata": { "name": "n" } }), 422),
        (Method::POST, "/api/v1/configmaps", json!({ "metadata": { "name": "c" } }), 405),
        (Method::PUT, own, json!({ "metadata": { "name": "other" } }), 400),
        (Method::PATCH, own, json!({}), 415),
        (Method::DELETE, "/api/v1/namespaces", json!({}), 405),
        (Method::POST, "/version", json!({}), 405),
        (Method::PUT, log, json!({}), 405),
        (Method::GET, "/api/v1/pods?limit=many", json!({}), 400),
    ] {
        let answer = cluster.call(method.clone(), path, Some(body.clone())).await?;
        assert_eq!(answer.0, status, "{method} {path} {body}: {}", answer.1);
    }
    let (status, body) = cluster.call(Method::POST, maps, Some(json!("x".repeat(3 * 1024 * 1024)))).await?;
    assert_eq!((status, &body["reason"]), (413, &json!("RequestEntityTooLarge")));
    Ok(())
}

/// Simulated: a real cluster's nodes and services are there to be asked.
#[tokio::test]
async fn proxies_are_not_simulated_whatever_follows_them() -> Result<()> {
    let cluster = simulated(Seed::Empty).await?;
    for (path, what) in [
        ("/api/v1/nodes/n/proxy/metrics".to_owned(), "nodes/proxy"),
        ("/api/v1/nodes/n/proxy".to_owned(), "nodes/proxy"),
        (cluster.core("services/s/proxy/a/b"), "services/proxy"),
    ] {
        let (status, told) = cluster.get(&path).await?;
        let expected = format!("the simulated cluster does not serve {what}");
        assert_eq!((status, &told["message"]), (501, &json!(expected)), "{path}");
    }
    Ok(())
}

/// Simulated: a real API server has YAML and protobuf besides.
#[tokio::test]
async fn only_json_is_answered() -> Result<()> {
    let cluster = simulated(Seed::Empty).await?;
    let accept = [("accept", "application/yaml")];
    let (status, told) = cluster.send(Method::GET, "/api/v1/namespaces", &accept, "").await?;
    let expected = "only the following media types are accepted: application/json";
    assert_eq!((status, &told["message"]), (406, &json!(expected)));
    Ok(())
}
