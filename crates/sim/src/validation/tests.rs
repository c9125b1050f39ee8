use serde_json::json;

use super::*;
use crate::{defaults, kinds, schema, strategy};

/// The object as the server would check it.
fn prepared(plural: &str, object: Value) -> Value {
    let kind = kinds::by_plural(plural).unwrap();
    let mut object = schema::decode(kind, object).unwrap().object;
    defaults::apply(kind, &mut object);
    object["metadata"]["uid"] = "u".into();
    if kind.namespaced {
        object["metadata"]["namespace"] = "n".into();
    }
    strategy::prepare_create(kind, &mut object, jiff::Timestamp::now());
    object
}

/// What is wrong with a new object: field and message of each cause.
fn refusals(plural: &str, object: Value) -> Vec<String> {
    let kind = kinds::by_plural(plural).unwrap();
    told(create(kind, &prepared(plural, object)))
}

/// What is wrong with the change of a part of an object.
fn refusals_of_change(plural: &str, object: Value, path: &str, value: Value) -> Vec<String> {
    let kind = kinds::by_plural(plural).unwrap();
    let mut old = prepared(plural, object);
    old["metadata"]["resourceVersion"] = "1".into();
    let mut new = old.clone();
    *new.pointer_mut(path).unwrap() = value;
    told(update(kind, &new, &old))
}

fn told(result: Result<(), ApiError>) -> Vec<String> {
    let Err(error) = result else { return Vec::new() };
    let body = error.body();
    assert_eq!((body["code"].as_u64(), body["reason"].as_str()), (Some(422), Some("Invalid")));
    let causes = body["details"]["causes"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    causes.iter().map(|cause| format!("{}: {}", text(&cause["field"]), text(&cause["message"]))).collect()
}

fn pod(container: &Value) -> Value {
    json!({ "metadata": { "name": "p" }, "spec": { "containers": [container] } })
}

fn deployment() -> Value {
    json!({
        "metadata": { "name": "d" },
        "spec": {
            "selector": { "matchLabels": { "app": "a" } },
            "template": {
                "metadata": { "labels": { "app": "a" } },
                "spec": { "containers": [{ "name": "c", "image": "i" }] },
            },
        },
    })
}

#[test]
fn a_stateful_set_mounts_its_claims() {
    let set = |mount: &str| {
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "db", "namespace": "default" },
            "spec": {
                "serviceName": "db",
                "selector": { "matchLabels": { "a": "b" } },
                "template": {
                    "metadata": { "labels": { "a": "b" } },
                    "spec": { "containers": [{
                        "name": "c", "image": "i", "volumeMounts": [{ "name": mount, "mountPath": "/data" }],
                    }] },
                },
                "volumeClaimTemplates": [{
                    "metadata": { "name": "data" },
                    "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
                }],
            },
        })
    };
    assert_eq!(refusals("statefulsets", set("data")), Vec::<String>::new());
    assert_eq!(
        refusals("statefulsets", set("other")),
        ["spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"other\""]
    );
}

#[test]
fn one_refusal_reads_as_recorded() {
    let story: Value =
        serde_json::from_str(include_str!("../../tests/transcripts/07-namespace-create-invalid.json"))
            .unwrap();
    let namespaces = kinds::by_plural("namespaces").unwrap();
    let object = prepared("namespaces", story["request"]["body"].clone());
    assert_eq!(create(namespaces, &object).unwrap_err().body(), story["response"]["body"]);
}

#[test]
fn several_refusals_are_joined_and_each_is_a_cause() {
    let pods = kinds::by_plural("pods").unwrap();
    let object = prepared("pods", json!({ "metadata": { "name": "p" }, "spec": { "containers": [{}] } }));
    let body = create(pods, &object).unwrap_err().body();
    let message = "Pod \"p\" is invalid: [spec.containers[0].name: Required value, spec.containers[0].image: \
                   Required value]";
    assert_eq!(body["message"], message);
    assert_eq!(body["details"]["kind"], "Pod");
    assert_eq!(body["details"]["causes"][1]["reason"], "FieldValueRequired");
    assert_eq!(body["details"]["causes"][1]["message"], "Required value");

    let deployments = kinds::by_plural("deployments").unwrap();
    let object = prepared("deployments", json!({ "metadata": { "name": "d" }, "spec": { "replicas": -1 } }));
    let body = create(deployments, &object).unwrap_err().body();
    assert!(
        body["message"].as_str().unwrap().starts_with("Deployment.apps \"d\" is invalid: [spec.replicas: ")
    );
    assert_eq!(body["details"]["group"], "apps");
}

#[test]
fn containers_are_told_what_they_lack() {
    assert_eq!(refusals("pods", pod(&json!({ "name": "c", "image": "i" }))), Vec::<String>::new());
    assert_eq!(
        refusals("pods", json!({ "metadata": { "name": "p" }, "spec": { "containers": [] } })),
        ["spec.containers: Required value"]
    );
    let twice = json!([{ "name": "c", "image": "i" }, { "name": "c", "image": "i" }]);
    assert_eq!(
        refusals("pods", json!({ "metadata": { "name": "p" }, "spec": { "containers": twice } })),
        ["spec.containers[1].name: Duplicate value: \"c\""]
    );
    let container = json!({ "name": "c", "image": "i", "imagePullPolicy": "Sometimes" });
    assert_eq!(
        refusals("pods", pod(&container)),
        [
            "spec.containers[0].imagePullPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \
             \"IfNotPresent\", \"Never\""
        ]
    );
    let ports =
        json!({ "name": "c", "image": "i", "ports": [{ "containerPort": 70_000, "protocol": "HTTP" }] });
    assert_eq!(
        refusals("pods", pod(&ports)),
        [
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, \
             inclusive",
            "spec.containers[0].ports[0].protocol: Unsupported value: \"HTTP\": supported values: \"SCTP\", \
             \"TCP\", \"UDP\""
        ]
    );
    let mount = json!({ "name": "c", "image": "i", "volumeMounts": [{ "name": "v", "mountPath": "/v" }] });
    assert_eq!(refusals("pods", pod(&mount)), ["spec.containers[0].volumeMounts[0].name: Not found: \"v\""]);
}

#[test]
fn resources_are_checked_against_each_other() {
    let container = |resources: Value| pod(&json!({ "name": "c", "image": "i", "resources": resources }));
    assert_eq!(
        refusals("pods", container(json!({ "requests": { "cpu": "2" }, "limits": { "cpu": "1" } }))),
        [
            "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit \
             of 1"
        ]
    );
    assert_eq!(
        refusals("pods", container(json!({ "requests": { "memory": "-1" } }))),
        [
            "spec.containers[0].resources.requests[memory]: Invalid value: \"-1\": must be greater than or equal \
             to 0"
        ]
    );
    assert_eq!(
        refusals("pods", container(json!({ "requests": { "gpu": "1" } }))),
        [
            "spec.containers[0].resources.requests[gpu]: Invalid value: \"gpu\": must be a standard resource type \
             or fully qualified",
            "spec.containers[0].resources.requests[gpu]: Invalid value: \"gpu\": must be a standard resource for \
             containers"
        ]
    );
    assert_eq!(
        refusals("pods", container(json!({ "requests": { "nvidia.com/gpu": "1" } }))),
        [
            "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources"
        ]
    );
}

#[test]
fn a_running_pod_changes_little() {
    let object = pod(&json!({ "name": "c", "image": "i" }));
    let image = refusals_of_change("pods", object.clone(), "/spec/containers/0/image", "j".into());
    assert_eq!(image, Vec::<String>::new());
    let policy = refusals_of_change("pods", object, "/spec/restartPolicy", "Never".into());
    let why = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,\
               `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to \
               existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was \
               previously negative)\n";
    assert!(policy[0].starts_with(why), "{policy:?}");
}

#[test]
fn a_workload_selects_its_own_pods_for_ever() {
    assert_eq!(refusals("deployments", deployment()), Vec::<String>::new());
    let mut other = deployment();
    other["spec"]["template"]["metadata"]["labels"] = json!({ "app": "b" });
    let mismatch = "spec.template.metadata.labels: Invalid value: {\"app\":\"b\"}: `selector` does not match \
                    template `labels`";
    assert_eq!(refusals("deployments", other), [mismatch]);

    let mut none = deployment();
    none["spec"].as_object_mut().unwrap().remove("selector");
    let mismatch = mismatch.replace("\"b\"", "\"a\"");
    assert_eq!(refusals("deployments", none), ["spec.selector: Required value", &mismatch]);

    let mut empty = deployment();
    empty["spec"]["selector"] = json!({});
    let why = "spec.selector: Invalid value: {}: empty selector is invalid for deployment";
    assert_eq!(refusals("deployments", empty), [why]);

    let mut never = deployment();
    never["spec"]["template"]["spec"]["restartPolicy"] = "Never".into();
    let why = "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"";
    assert_eq!(refusals("deployments", never), [why]);

    let selector = json!({ "matchLabels": { "app": "a", "b": "c" } });
    assert!(
        refusals_of_change("deployments", deployment(), "/spec/selector", selector).contains(
            &"spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"a\",\"b\":\"c\"}}: field is immutable"
                .to_owned()
        )
    );
}

#[test]
fn jobs_run_to_an_end() {
    let spec = json!({ "template": { "spec": { "containers": [{ "name": "c", "image": "i" }] } } });
    assert_eq!(
        refusals("jobs", json!({ "metadata": { "name": "j" }, "spec": spec })),
        ["spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""]
    );
    let mut spec = spec;
    spec["template"]["spec"]["restartPolicy"] = "Never".into();
    let job = json!({ "metadata": { "name": "j" }, "spec": spec });
    assert_eq!(refusals("jobs", job.clone()), Vec::<String>::new());
    assert_eq!(
        refusals_of_change("jobs", job, "/spec/completions", 3.into()),
        ["spec.completions: Invalid value: 3: field is immutable"]
    );
    let cron_job =
        json!({ "metadata": { "name": "c" }, "spec": { "schedule": "x", "jobTemplate": { "spec": spec } } });
    assert_eq!(
        refusals("cronjobs", cron_job),
        ["spec.schedule: Invalid value: \"x\": expected exactly 5 fields, found 1: [x]"]
    );
}

#[test]
fn services_and_ingresses_lead_somewhere() {
    assert_eq!(
        refusals("services", json!({ "metadata": { "name": "1s" }, "spec": { "ports": [{ "port": 0 }] } }))
            .len(),
        3
    );
    let ports = json!([{ "port": 80 }, { "port": 80 }]);
    let refused = refusals("services", json!({ "metadata": { "name": "s" }, "spec": { "ports": ports } }));
    assert_eq!(refused[0], "spec.ports[0].name: Required value");
    assert!(refused[2].starts_with("spec.ports[1]: Duplicate value: {\"Name\":\"\",\"Protocol\":\"TCP\""));

    let ingress = json!({ "metadata": { "name": "i" }, "spec": {} });
    let why = "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified";
    assert_eq!(refusals("ingresses", ingress), [why]);
    let path = json!({ "path": "a", "pathType": "Prefix", "backend": { "service": { "name": "s" } } });
    let spec = json!({ "rules": [{ "http": { "paths": [path] } }] });
    assert_eq!(
        refusals("ingresses", json!({ "metadata": { "name": "i" }, "spec": spec })),
        [
            "spec.rules[0].http.paths[0].path: Invalid value: \"a\": must be an absolute path",
            "spec.rules[0].http.paths[0].backend: Required value: port name or number is required"
        ]
    );
}

#[test]
fn a_budget_has_one_bound() {
    let budget = |spec: Value| json!({ "metadata": { "name": "b" }, "spec": spec });
    let selector = json!({ "matchLabels": { "a": "b" } });
    assert_eq!(
        refusals(
            "poddisruptionbudgets",
            budget(json!({ "minAvailable": 1, "maxUnavailable": "1", "selector": selector }))
        )[0],
        "spec: Invalid value: {\"MinAvailable\":1,\"Selector\":{\"matchLabels\":{\"a\":\"b\"}},\"MaxUnavailable\":\
         \"1\",\"UnhealthyPodEvictionPolicy\":null}: minAvailable and maxUnavailable cannot be both set"
    );
    assert_eq!(
        refusals("poddisruptionbudgets", budget(json!({ "minAvailable": "120%" }))),
        ["spec.minAvailable: Invalid value: \"120%\": must not be greater than 100%"]
    );
}

#[test]
fn what_is_immutable_stays() {
    let map = json!({ "metadata": { "name": "m" }, "immutable": true, "data": { "a": "b" } });
    assert_eq!(
        refusals_of_change("configmaps", map, "/data/a", "c".into()),
        ["data: Forbidden: field is immutable when `immutable` is set"]
    );
    let binding =
        json!({ "metadata": { "name": "b" }, "roleRef": { "kind": "ClusterRole", "name": "view" } });
    assert_eq!(
        refusals_of_change("clusterrolebindings", binding, "/roleRef/name", "edit".into()),
        [
            "roleRef: Invalid value: {\"APIGroup\":\"rbac.authorization.k8s.io\",\"Kind\":\"ClusterRole\",\"Name\":\
             \"edit\"}: cannot change roleRef"
        ]
    );
    let secret = json!({ "metadata": { "name": "s" } });
    assert_eq!(
        refusals_of_change("secrets", secret, "/type", "x".into()),
        ["type: Invalid value: \"x\": field is immutable"]
    );
}

#[test]
fn metadata_is_checked_for_every_kind() {
    let map = |metadata: Value| json!({ "metadata": metadata });
    let refused = refusals("configmaps", map(json!({ "name": "m", "labels": { "a b": "-" } })));
    assert_eq!(refused.len(), 2);
    assert!(refused[0].starts_with("metadata.labels: Invalid value: \"a b\": name part must consist of"));
    assert!(refused[1].starts_with("metadata.labels: Invalid value: \"-\": a valid label must be"));
    assert_eq!(
        refusals("configmaps", map(json!({ "name": "m", "finalizers": ["x"] }))),
        [
            "metadata.finalizers[0]: Invalid value: \"x\": name is neither a standard finalizer name nor is it fully \
          qualified"
        ]
    );
    assert_eq!(
        refusals("configmaps", map(json!({}))),
        ["metadata.name: Required value: name or generateName is required"]
    );
    let annotations = json!({ "a": "x".repeat(262_145) });
    assert_eq!(
        refusals("configmaps", map(json!({ "name": "m", "annotations": annotations }))),
        ["metadata.annotations: Too long: may not be more than 262144 bytes"]
    );
}
