use serde_json::json;

use super::*;
use crate::{kinds, schema, strategy};

/// What the server makes of an object that a client sends.
fn created(plural: &str, object: Value) -> Value {
    let kind = kinds::by_plural(plural).unwrap();
    let mut object = schema::decode(kind, object).unwrap().object;
    apply(kind, &mut object);
    strategy::prepare_create(kind, &mut object, jiff::Timestamp::now());
    object
}

/// Spec and status of a recorded creation, as they were answered.
fn assert_as_recorded(plural: &str, transcript: &str) {
    let story: Value = serde_json::from_str(transcript).unwrap();
    let mut request = story["request"]["body"].clone();
    request["metadata"]["uid"] = story["response"]["body"]["metadata"]["uid"].clone();
    let object = created(plural, request);
    for part in ["spec", "status"] {
        assert_eq!(object[part], story["response"]["body"][part], "{part} of {plural}");
    }
    assert_eq!(object["metadata"]["labels"], story["response"]["body"]["metadata"]["labels"]);
}

#[test]
fn recorded_objects_get_what_a_real_server_gave_them() {
    assert_as_recorded("namespaces", include_str!("../../tests/transcripts/05-namespace-create.json"));
    assert_as_recorded("poddisruptionbudgets", include_str!("../../tests/transcripts/25-pdb-create.json"));
    assert_as_recorded("persistentvolumeclaims", include_str!("../../tests/transcripts/52-pvc-create.json"));
    assert_as_recorded("jobs", include_str!("../../tests/transcripts/53-job-create.json"));
    assert_as_recorded("leases", include_str!("../../tests/transcripts/58-lease-create.json"));
}

#[test]
fn a_container_gets_its_defaults_wherever_it_stands() {
    let template = json!({ "spec": { "containers": [
        { "name": "c", "image": "a", "livenessProbe": { "httpGet": { "port": 80 } }, "ports": [{ "containerPort": 1 }] },
    ] } });
    let pod = created("pods", json!({ "metadata": {}, "spec": template["spec"] }));
    let spec = json!({ "jobTemplate": { "spec": { "template": template } }, "schedule": "* * * * *" });
    let cron_job = created("cronjobs", json!({ "metadata": {}, "spec": spec }));
    let containers = [&pod["spec"], &cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]]
        .map(|spec| &spec["containers"][0]);
    assert_eq!(containers[0], containers[1]);
    assert_eq!(
        containers[0]["livenessProbe"]["httpGet"],
        json!({ "path": "/", "port": 80, "scheme": "HTTP" })
    );
    assert_eq!(containers[0]["livenessProbe"]["periodSeconds"], 10);
    assert_eq!(containers[0]["ports"][0]["protocol"], "TCP");
    // A cron job's template gets the rest when a job is made from it.
    assert_eq!(cron_job["spec"]["jobTemplate"]["spec"].get("completions"), None);
    assert_eq!(cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["dnsPolicy"], "ClusterFirst");
}

#[test]
fn a_pod_requests_what_it_is_limited_to_and_a_template_does_not() {
    let spec =
        json!({ "containers": [{ "name": "c", "image": "a", "resources": { "limits": { "cpu": "1" } } }] });
    let pod = created("pods", json!({ "metadata": {}, "spec": spec }));
    assert_eq!(pod["spec"]["containers"][0]["resources"]["requests"], json!({ "cpu": "1" }));
    let template = json!({ "metadata": {}, "spec": { "template": { "spec": spec } } });
    let deployment = created("deployments", template);
    let resources = &deployment["spec"]["template"]["spec"]["containers"][0]["resources"];
    assert_eq!(resources["requests"], Value::Null);
    assert_eq!(
        deployment["spec"]["strategy"]["rollingUpdate"],
        json!({ "maxSurge": "25%", "maxUnavailable": "25%" })
    );
    assert_eq!(deployment["status"], json!({}));
}

#[test]
fn a_service_says_how_it_is_reached() {
    let ports = json!([{ "port": 80 }]);
    let service =
        created("services", json!({ "metadata": {}, "spec": { "type": "LoadBalancer", "ports": ports } }));
    let expected = json!({
        "type": "LoadBalancer",
        "sessionAffinity": "None",
        "ports": [{ "port": 80, "protocol": "TCP", "targetPort": 80 }],
        "externalTrafficPolicy": "Cluster",
        "internalTrafficPolicy": "Cluster",
        "allocateLoadBalancerNodePorts": true,
    });
    assert_eq!(service["spec"], expected);
    assert_eq!(service["status"], json!({ "loadBalancer": {} }));
}

#[test]
fn a_secret_keeps_texts_as_bytes() {
    let secret = json!({ "metadata": {}, "stringData": { "a": "b" }, "data": { "a": "eA==", "c": "eQ==" } });
    let secret = created("secrets", secret);
    assert_eq!(secret["data"], json!({ "a": "Yg==", "c": "eQ==" }));
    assert_eq!(secret.get("stringData"), None);
    assert_eq!(secret["type"], "Opaque");
}

#[test]
fn policies_and_roles_are_completed() {
    let binding = json!({
        "metadata": {},
        "roleRef": { "kind": "ClusterRole", "name": "view" },
        "subjects": [{ "kind": "User", "name": "u" }, { "kind": "ServiceAccount", "name": "s", "namespace": "n" }],
    });
    let binding = created("clusterrolebindings", binding);
    assert_eq!(binding["roleRef"]["apiGroup"], "rbac.authorization.k8s.io");
    assert_eq!(binding["subjects"][0]["apiGroup"], "rbac.authorization.k8s.io");
    assert_eq!(binding["subjects"][1].get("apiGroup"), None);

    let policy =
        created("networkpolicies", json!({ "metadata": {}, "spec": { "egress": [{ "ports": [{}] }] } }));
    assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(policy["spec"]["podSelector"], json!({}));

    let autoscaler = json!({ "maxReplicas": 3, "scaleTargetRef": {}, "behavior": { "scaleDown": {} } });
    let autoscaler = created("horizontalpodautoscalers", json!({ "metadata": {}, "spec": autoscaler }));
    assert_eq!(autoscaler["spec"]["metrics"][0]["resource"]["name"], "cpu");
    assert_eq!(autoscaler["spec"]["behavior"]["scaleDown"].get("stabilizationWindowSeconds"), None);
}
