//! What the API server adds to objects and refuses, beyond the recorded story.

use anyhow::Result;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use reqwest::Method;
use serde_json::{Value, json};
use sim::Seed;
use testkit::eventually;

use crate::common::{anywhere, idle_pod, simulated};

fn pod(name: &str, spec: &Value) -> Value {
    let mut pod = json!({
        "metadata": { "name": name },
        "spec": { "containers": [{ "name": "c", "image": "nginx:1.27" }] },
    });
    for (field, value) in spec.as_object().into_iter().flatten() {
        pod["spec"][field] = value.clone();
    }
    pod
}

#[tokio::test]
async fn an_invalid_pod_is_refused_with_all_its_causes() -> Result<()> {
    let cluster = anywhere().await?;
    let (status, body) = cluster
        .call(
            Method::POST,
            &cluster.core("pods"),
            Some(json!({ "metadata": { "name": "Bad_Name" }, "spec": { "containers": [] } })),
        )
        .await?;
    assert_eq!(status, 422);
    assert_eq!(body["reason"], "Invalid");
    assert_eq!(body["details"]["causes"][0]["field"], "metadata.name");
    assert_eq!(
        body["details"]["causes"][1],
        json!({ "reason": "FieldValueRequired", "message": "Required value", "field": "spec.containers" })
    );
    Ok(())
}

#[tokio::test]
async fn nothing_is_created_in_a_namespace_that_goes_away() -> Result<()> {
    let cluster = anywhere().await?;
    let maps = cluster.core("configmaps");
    let rec = cluster.namespace();
    let held = json!({ "metadata": { "name": "held", "finalizers": ["example.com/hold"] } });
    cluster.post(&maps, held).await?;
    let (status, namespace) =
        cluster.call(Method::DELETE, &format!("/api/v1/namespaces/{rec}"), None).await?;
    assert_eq!((status, &namespace["status"]["phase"]), (200, &json!("Terminating")));
    let (status, body) =
        cluster.call(Method::POST, &maps, Some(json!({ "metadata": { "name": "m" } }))).await?;
    let expected = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Forbidden", "code": 403,
        "message": format!(
            "configmaps \"m\" is forbidden: unable to create new content in namespace {rec} because it is being \
             terminated"
        ),
        "details": {
            "name": "m",
            "kind": "configmaps",
            "causes": [{
                "reason": "NamespaceTerminating",
                "message": format!("namespace {rec} is being terminated"),
                "field": "metadata.namespace",
            }],
        },
    });
    let merge = [("content-type", "application/merge-patch+json")];
    let letting_go = r#"{"metadata":{"finalizers":null}}"#;
    cluster.send(Method::PATCH, &format!("{maps}/held"), &merge, letting_go).await?;
    assert_eq!((status, body), (403, expected));
    Ok(())
}

#[tokio::test]
async fn some_namespaces_stay() -> Result<()> {
    let cluster = anywhere().await?;
    for name in ["default", "kube-system", "kube-public"] {
        let (status, body) =
            cluster.call(Method::DELETE, &format!("/api/v1/namespaces/{name}?dryRun=All"), None).await?;
        let message = format!("namespaces \"{name}\" is forbidden: this namespace may not be deleted");
        assert_eq!((status, &body["message"]), (403, &json!(message)));
    }
    assert_eq!(
        cluster.refuses("/api/v1/namespaces/absent/pods", pod("p", &json!({}))).await?,
        (404, "namespaces \"absent\" not found".to_owned())
    );
    Ok(())
}

#[tokio::test]
async fn a_pod_learns_who_it_is() -> Result<()> {
    let cluster = anywhere().await?;
    let pods = cluster.core("pods");
    let created = cluster.post(&pods, pod("p", &json!({}))).await?;
    assert_eq!(created["spec"]["serviceAccountName"], "default");
    let volume = created["spec"]["volumes"][0]["name"].as_str().unwrap_or_default();
    assert!(volume.starts_with("kube-api-access-"), "{created}");
    assert_eq!(created["spec"]["containers"][0]["volumeMounts"][0]["name"], volume);
    assert_eq!(created["spec"]["tolerations"].as_array().map(Vec::len), Some(2));

    let quiet = cluster.post(&pods, pod("q", &json!({ "automountServiceAccountToken": false }))).await?;
    assert_eq!(quiet["spec"]["volumes"], Value::Null);
    let message = format!(
        "pods \"r\" is forbidden: error looking up service account {}/nobody: serviceaccount \"nobody\" not found",
        cluster.namespace()
    );
    let nobodys = pod("r", &json!({ "serviceAccountName": "nobody" }));
    assert_eq!(cluster.refuses(&pods, nobodys).await?, (403, message));
    Ok(())
}

#[tokio::test]
async fn a_pod_learns_where_it_is() -> Result<()> {
    let cluster = anywhere().await?;
    let node = cluster.unique("node");
    cluster.remove_at_end::<Node>(&node);
    let labels =
        json!({ "topology.kubernetes.io/zone": "a", "topology.kubernetes.io/region": "r", "x": "y" });
    cluster.post("/api/v1/nodes", json!({ "metadata": { "name": node, "labels": labels } })).await?;
    let labels = json!({ "topology.kubernetes.io/zone": "a", "topology.kubernetes.io/region": "r" });
    let pods = cluster.core("pods");
    // Nobody waits for a kubelet when they are deleted.
    let placed = idle_pod("p", &json!({ "nodeName": node, "terminationGracePeriodSeconds": 0 }));
    let created = cluster.post(&pods, placed).await?;
    assert_eq!(created["metadata"]["labels"], labels);
    cluster.post(&pods, idle_pod("q", &json!({ "terminationGracePeriodSeconds": 0 }))).await?;
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": { "name": "q" },
        "target": { "kind": "Node", "name": node },
    });
    cluster.post(&format!("{pods}/q/binding"), binding).await?;
    let (_, bound) = cluster.get(&format!("{pods}/q")).await?;
    assert_eq!(bound["metadata"]["labels"], labels);
    Ok(())
}

#[tokio::test]
async fn a_pod_has_the_priority_of_its_class() -> Result<()> {
    let cluster = anywhere().await?;
    let pods = cluster.core("pods");
    let classes = "/apis/scheduling.k8s.io/v1/priorityclasses";
    let name = cluster.unique("high");
    cluster.remove_at_end::<PriorityClass>(&name);
    cluster.post(classes, json!({ "metadata": { "name": name }, "value": 1000 })).await?;
    let high = cluster.post(&pods, pod("a", &json!({ "priorityClassName": name }))).await?;
    assert_eq!(high["spec"]["priority"], 1000);
    let system =
        cluster.post(&pods, pod("b", &json!({ "priorityClassName": "system-node-critical" }))).await?;
    assert_eq!(system["spec"]["priority"], 2_000_001_000);
    assert_eq!(
        cluster.refuses(&pods, pod("c", &json!({ "priorityClassName": "low" }))).await?,
        (403, "pods \"c\" is forbidden: no PriorityClass with name low was found".to_owned())
    );
    let too_high = json!({ "metadata": { "name": "x" }, "value": 2_000_000_000 });
    let message = "PriorityClass.scheduling.k8s.io \"x\" is invalid: value: Forbidden: maximum allowed value of a user \
                   defined priority is 1000000000";
    assert_eq!(cluster.refuses(classes, too_high).await?, (422, message.to_owned()));
    Ok(())
}

#[tokio::test]
async fn limits_complete_and_bound_a_pod() -> Result<()> {
    let cluster = anywhere().await?;
    let pods = cluster.core("pods");
    let limits = json!([{ "type": "Container", "max": { "cpu": "1" }, "defaultRequest": { "cpu": "100m" } }]);
    let range = json!({ "metadata": { "name": "l" }, "spec": { "limits": limits } });
    cluster.post(&cluster.core("limitranges"), range).await?;
    let created = cluster.post(&pods, pod("p", &json!({}))).await?;
    let resources = json!({ "requests": { "cpu": "100m" }, "limits": { "cpu": "1" } });
    assert_eq!(created["spec"]["containers"][0]["resources"], resources);
    assert_eq!(created["status"]["qosClass"], "Burstable");

    let greedy =
        json!({ "containers": [{ "name": "c", "image": "i", "resources": { "limits": { "cpu": "2" } } }] });
    let message = "pods \"q\" is forbidden: maximum cpu usage per Container is 1, but limit is 2";
    assert_eq!(cluster.refuses(&pods, pod("q", &greedy)).await?, (403, message.to_owned()));
    Ok(())
}

#[tokio::test]
async fn a_quota_bounds_a_namespace() -> Result<()> {
    let cluster = anywhere().await?;
    let pods = cluster.core("pods");
    let quota =
        json!({ "metadata": { "name": "q" }, "spec": { "hard": { "pods": "1", "requests.cpu": "2" } } });
    cluster.post(&cluster.core("resourcequotas"), quota).await?;
    let tried = format!("{pods}?dryRun=All");
    let bounded = async || {
        let (status, message) = cluster.refuses(&tried, pod("a", &json!({}))).await.ok()?;
        (status == 403).then_some(message)
    };
    // A real API server bounds nothing before the controller has counted.
    let message = eventually("the quota is counted", bounded).await?;
    assert_eq!(message, "pods \"a\" is forbidden: failed quota: q: must specify requests.cpu for: c");
    let asking =
        json!({ "containers": [{ "name": "c", "image": "i", "resources": { "requests": { "cpu": "1" } } }] });
    cluster.post(&pods, pod("a", &asking)).await?;
    assert_eq!(
        cluster.refuses(&pods, pod("b", &asking)).await?,
        (
            403,
            "pods \"b\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"
                .to_owned()
        )
    );
    Ok(())
}

/// Simulated: everybody's claims would get the class.
#[tokio::test]
async fn claims_and_ingresses_get_the_default_class() -> Result<()> {
    let cluster = simulated(Seed::Empty).await?;
    let annotations = json!({ "storageclass.kubernetes.io/is-default-class": "true" });
    let class = json!({ "metadata": { "name": "gp3", "annotations": annotations }, "provisioner": "ebs.csi.aws.com" });
    cluster.post("/apis/storage.k8s.io/v1/storageclasses", class).await?;
    let spec = json!({ "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } });
    let claims = cluster.core("persistentvolumeclaims");
    let claim = cluster.post(&claims, json!({ "metadata": { "name": "c" }, "spec": spec })).await?;
    assert_eq!(claim["spec"]["storageClassName"], "gp3");
    assert_eq!(claim["metadata"]["finalizers"], json!(["kubernetes.io/pvc-protection"]));
    Ok(())
}

#[tokio::test]
async fn a_stale_version_is_a_conflict_however_it_comes() -> Result<()> {
    let cluster = anywhere().await?;
    let maps = cluster.core("configmaps");
    let first = cluster.post(&maps, json!({ "metadata": { "name": "c" }, "data": { "k": "1" } })).await?;
    let path = format!("{maps}/c");
    let mut second = first.clone();
    second["data"]["k"] = "2".into();
    assert_eq!(cluster.call(Method::PUT, &path, Some(second.clone())).await?.0, 200);

    let message = "Operation cannot be fulfilled on configmaps \"c\": the object has been modified; please apply your \
                   changes to the latest version and try again";
    let (status, body) = cluster.call(Method::PUT, &path, Some(second)).await?;
    assert_eq!((status, &body["message"]), (409, &json!(message)));
    let version = &first["metadata"]["resourceVersion"];
    let patch = json!({ "metadata": { "resourceVersion": version }, "data": { "k": "3" } });
    let merge = [("content-type", "application/merge-patch+json")];
    let (status, body) = cluster.send(Method::PATCH, &path, &merge, patch.to_string()).await?;
    assert_eq!((status, &body["message"]), (409, &json!(message)));
    Ok(())
}

#[tokio::test]
async fn some_kinds_are_replaced_by_version_only() -> Result<()> {
    let cluster = anywhere().await?;
    let maps = cluster.core("configmaps");
    let leases = &cluster.path("coordination.k8s.io/v1", "leases");
    let lease = json!({ "metadata": { "name": "l" }, "spec": { "leaseDurationSeconds": 15 } });
    cluster.post(leases, lease.clone()).await?;
    let (status, body) = cluster.call(Method::PUT, &format!("{leases}/l"), Some(lease)).await?;
    let message = body["message"].as_str().unwrap_or_default();
    let beginning = "leases.coordination.k8s.io \"l\" is invalid: metadata.resourceVersion: Invalid value: 0";
    assert!(message.starts_with(beginning), "{message}");
    assert!(message.ends_with(": must be specified for an update"), "{message}");
    assert_eq!((status, &body["details"]["kind"]), (422, &json!("leases")));

    let map = json!({ "metadata": { "name": "c" } });
    cluster.post(&maps, map.clone()).await?;
    assert_eq!(cluster.call(Method::PUT, &format!("{maps}/c"), Some(map)).await?.0, 200);
    Ok(())
}

/// Simulated: the kubelet must let the pod be.
#[tokio::test]
async fn an_eviction_can_be_tried_and_repeated() -> Result<()> {
    let cluster = simulated(Seed::Empty).await?;
    cluster.post("/api/v1/nodes", json!({ "metadata": { "name": "node" } })).await?;
    cluster.post(&cluster.core("pods"), pod("p", &json!({ "nodeName": "node" }))).await?;
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": { "name": "p", "namespace": cluster.namespace() },
        "deleteOptions": { "dryRun": ["All"] },
    });
    let path = cluster.core("pods/p/eviction");
    let success =
        json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 });
    assert_eq!(cluster.call(Method::POST, &path, Some(eviction.clone())).await?, (201, success.clone()));
    let (_, pod) = cluster.get(&cluster.core("pods/p")).await?;
    assert_eq!(pod["metadata"]["deletionTimestamp"], Value::Null, "it was only tried");

    let mut meant = eviction;
    meant.as_object_mut().unwrap().remove("deleteOptions");
    for _ in 0..2 {
        assert_eq!(cluster.call(Method::POST, &path, Some(meant.clone())).await?, (201, success.clone()));
        let (_, pod) = cluster.get(&cluster.core("pods/p")).await?;
        assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 30);
    }
    let (status, again) = cluster.call(Method::DELETE, &cluster.core("pods/p"), None).await?;
    assert_eq!((status, &again["kind"]), (200, &json!("Pod")));
    Ok(())
}

#[tokio::test]
async fn the_tolerations_of_every_pod_come_back() -> Result<()> {
    let cluster = anywhere().await?;
    cluster.post(&cluster.core("pods"), pod("p", &json!({}))).await?;
    let patch =
        json!({ "spec": { "priority": null, "tolerations": [{ "key": "z", "operator": "Exists" }] } });
    let merge = [("content-type", "application/merge-patch+json")];
    let (status, patched) =
        cluster.send(Method::PATCH, &cluster.core("pods/p"), &merge, patch.to_string()).await?;
    assert_eq!(status, 200, "{patched}");
    let tolerations = patched["spec"]["tolerations"].as_array().map(Vec::as_slice).unwrap_or_default();
    let keys: Vec<&Value> = tolerations.iter().map(|toleration| &toleration["key"]).collect();
    assert_eq!(keys, ["z", "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]);
    Ok(())
}
