//! A cluster in which everything goes wrong once. Its objects say what they want, and annotations how their containers
//! fare; the controllers bring about the rest, and keep it that way.

use serde_json::{Value, json};

use super::Garden;
use super::bootstrap::namespace;
use super::nodes::{name, node};
use crate::status::ApiError;

const NAMESPACE: &str = "broken";
/// Three nodes that are well, and one each that is cordoned, not ready and silent.
const CORDONED: usize = 3;
const NOT_READY: usize = 4;
const SILENT: usize = 5;
const BEHAVIOUR: &str = "sim.kubesage.io/behaviour";
const AGE_HOURS: u32 = 24;

pub(super) fn plant(garden: &Garden<'_>) -> Result<(), ApiError> {
    plant_nodes(garden)?;
    namespace(garden, NAMESPACE, AGE_HOURS)?;
    for object in containers().into_iter().chain(pending()).chain(others()) {
        garden.plant(object, AGE_HOURS)?;
    }
    plant_quota(garden)?;
    plant_stuck(garden)
}

fn plant_nodes(garden: &Garden<'_>) -> Result<(), ApiError> {
    let (since, now) = (garden.ago(AGE_HOURS), garden.ago(0));
    for index in 0..=SILENT {
        let mut node = node(index, &since, &now);
        match index {
            CORDONED => node["spec"]["unschedulable"] = true.into(),
            NOT_READY => {
                node["metadata"]["annotations"][BEHAVIOUR] = "not-ready".into();
                node["spec"]["taints"] = taints("node.kubernetes.io/not-ready", &since);
                // Its kubelet tells how it is.
                node["status"]["conditions"] = json!([]);
            }
            SILENT => {
                node["metadata"]["annotations"][BEHAVIOUR] = "dead".into();
                node["spec"]["taints"] = taints("node.kubernetes.io/unreachable", &since);
                for condition in node["status"]["conditions"].as_array_mut().into_iter().flatten() {
                    condition["status"] = "Unknown".into();
                    condition["reason"] = "NodeStatusUnknown".into();
                    condition["message"] = "Kubelet stopped posting node status.".into();
                }
            }
            _ => {}
        }
        garden.plant(node, AGE_HOURS)?;
    }
    Ok(())
}

/// What the control plane does to a node whose kubelet is not well.
fn taints(key: &str, since: &str) -> Value {
    ["NoSchedule", "NoExecute"]
        .map(|effect| json!({ "key": key, "effect": effect, "timeAdded": since }))
        .into()
}

/// Deployments whose containers do not run as they should.
fn containers() -> Vec<Value> {
    let init = json!([{ "name": "migrate", "image": "registry.example.com/Migrate:1" }]);
    vec![
        deployment("crash-loop", 1, &json!({ BEHAVIOUR: "crash-loop" }), json!({})),
        deployment("out-of-memory", 1, &json!({ BEHAVIOUR: "oom" }), json!({})),
        deployment("image-pull", 1, &json!({ BEHAVIOUR: "image-pull-error" }), json!({})),
        deployment("never-ready", 2, &json!({ BEHAVIOUR: "never-ready" }), json!({})),
        deployment("init-container", 1, &json!({}), json!({ "initContainers": init })),
        past_deadline(),
    ]
}

/// A deployment that gives up soon.
fn past_deadline() -> Value {
    let mut late = deployment("past-deadline", 2, &json!({ BEHAVIOUR: "never-ready" }), json!({}));
    late["spec"]["progressDeadlineSeconds"] = 5.into();
    late
}

/// Deployments whose pods find no node, each for another reason.
fn pending() -> Vec<Value> {
    let asks = |resources: Value| json!({ "containers": [{ "name": "app", "image": IMAGE, "resources": { "requests": resources } }] });
    let claim = |name: &str| json!({ "volumes": [{ "name": "data", "persistentVolumeClaim": { "claimName": name } }] });
    let apart = json!({ "affinity": { "podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [{
            "labelSelector": { "matchLabels": { "app": "pending-anti-affinity" } },
            "topologyKey": "kubernetes.io/hostname",
        }],
    } } });
    let at = |index: usize| json!({ "nodeSelector": { "kubernetes.io/hostname": name(index) } });
    let none = || json!({});
    vec![
        deployment("pending-cpu", 1, &none(), asks(json!({ "cpu": "64" }))),
        deployment("pending-memory", 1, &none(), asks(json!({ "memory": "1Ti" }))),
        deployment("pending-selector", 1, &none(), json!({ "nodeSelector": { "disk": "none-has-this" } })),
        deployment("pending-cordoned", 1, &none(), at(CORDONED)),
        deployment("pending-tainted", 1, &none(), at(NOT_READY)),
        deployment("pending-anti-affinity", 4, &none(), apart),
        deployment("pending-claim", 1, &none(), claim("unbound")),
        deployment("pending-no-claim", 1, &none(), claim("absent")),
    ]
}

/// A job that fails, a budget that forbids every eviction, a claim without a class, a service without pods.
fn others() -> Vec<Value> {
    let metadata = |name: &str| json!({ "name": name, "namespace": NAMESPACE });
    let labels = json!({ "matchLabels": { "app": "guarded" } });
    let template = json!({
        "metadata": { "annotations": { BEHAVIOUR: "fail" } },
        "spec": { "restartPolicy": "Never", "containers": [{ "name": "app", "image": IMAGE }] },
    });
    vec![
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": metadata("failed"),
            "spec": { "backoffLimit": 0, "template": template },
        }),
        deployment("guarded", 2, &json!({}), json!({})),
        json!({
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": metadata("guarded"),
            "spec": { "minAvailable": "100%", "selector": labels },
        }),
        json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": { "name": "unbound", "namespace": NAMESPACE, "finalizers": ["kubernetes.io/pvc-protection"] },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "absent",
                "resources": { "requests": { "storage": "1Gi" } },
            },
        }),
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata("no-endpoints"),
            "spec": {
                "clusterIP": "10.100.0.77",
                "clusterIPs": ["10.100.0.77"],
                "selector": { "app": "nothing-has-this" },
                "ports": [{ "port": 80, "protocol": "TCP", "targetPort": 8080 }],
            },
        }),
    ]
}

/// A namespace whose quota is too small for what is to run in it.
fn plant_quota(garden: &Garden<'_>) -> Result<(), ApiError> {
    let quota = "quota-exceeded";
    namespace(garden, quota, AGE_HOURS)?;
    let mut deployment = deployment("too-many", 3, &json!({}), json!({}));
    deployment["metadata"]["namespace"] = quota.into();
    let limits = json!({
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": { "name": "pods", "namespace": quota },
        "spec": { "hard": { "pods": "1" } },
        "status": { "hard": { "pods": "1" }, "used": { "pods": "0" } },
    });
    for object in [limits, deployment] {
        garden.plant(object, AGE_HOURS)?;
    }
    Ok(())
}

/// A pod and a namespace that do not end, for the sake of finalizers that nobody takes away.
fn plant_stuck(garden: &Garden<'_>) -> Result<(), ApiError> {
    let (stuck, since) = ("stuck-namespace", garden.ago(1));
    let finalizers = json!(["example.com/nobody-removes-this"]);
    let object =
        |kind: &str, metadata: Value| json!({ "apiVersion": "v1", "kind": kind, "metadata": metadata });
    let namespace = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": { "name": stuck, "deletionTimestamp": since },
        "status": { "phase": "Terminating" },
    });
    let mut pod = object(
        "Pod",
        json!({
            "name": "stuck-terminating",
            "namespace": NAMESPACE,
            "finalizers": finalizers,
            "deletionTimestamp": since,
            "deletionGracePeriodSeconds": 30,
        }),
    );
    pod["spec"] = json!({ "nodeName": name(0), "containers": [{ "name": "app", "image": IMAGE }] });
    let metadata = json!({ "name": "left-over", "namespace": stuck, "finalizers": finalizers });
    for object in [namespace, object("ConfigMap", metadata), pod] {
        garden.plant(object, AGE_HOURS)?;
    }
    Ok(())
}

const IMAGE: &str = "registry.k8s.io/e2e-test-images/agnhost:2.56";

/// A deployment of pods with one container, some annotations, and what else their specification says.
fn deployment(name: &str, replicas: u32, annotations: &Value, more: Value) -> Value {
    let labels = json!({ "app": name });
    let mut spec = json!({ "containers": [{ "name": "app", "image": IMAGE }] });
    if let Value::Object(more) = more {
        for (field, value) in more {
            spec[field] = value;
        }
    }
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": name, "namespace": NAMESPACE, "labels": labels },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels, "annotations": annotations }, "spec": spec },
        },
    })
}
