//! Conditions, taints and labels of nodes (`pkg/controller/nodelifecycle/node_lifecycle_controller.go`).

use serde_json::{Value, json};

use crate::controllers::{Cluster, Key, Recorder, taints};
use crate::kinds::{NODES, PODS};
use crate::object;
use crate::status::ApiError;

/// `nodeConditionToTaintKeyStatusMap`: condition, its status, and the key of the taint that follows.
const TAINTS: [(&str, &str, &str); 6] = [
    ("Ready", "False", taints::NOT_READY),
    ("Ready", "Unknown", taints::UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];
/// `labelReconcileInfo`: labels that are copied to where they once were.
const LABELS: [(&str, &str); 2] =
    [("kubernetes.io/os", "beta.kubernetes.io/os"), ("kubernetes.io/arch", "beta.kubernetes.io/arch")];
/// `pkg/controller/ttl/ttl_controller.go`; how long kubelets may keep secrets. In small clusters not at all.
const TTL: &str = "node.alpha.kubernetes.io/ttl";

/// The taints of a node that this controller has a say in.
fn wanted(node: &Value) -> Vec<(&'static str, &'static str)> {
    let mut wanted = Vec::new();
    for (condition, status, key) in TAINTS {
        if object::condition(node, condition).is_some_and(|found| found["status"] == status) {
            wanted.push((key, "NoSchedule"));
            if condition == "Ready" {
                wanted.push((key, "NoExecute"));
            }
        }
    }
    if node["spec"]["unschedulable"] == true {
        wanted.push((taints::UNSCHEDULABLE, "NoSchedule"));
    }
    wanted
}

/// Gives a node the taints that its conditions ask for, and takes away those that they no longer do.
pub(super) fn update_taints(node: &Value, cluster: &Cluster<'_>) -> Result<(), ApiError> {
    let now = object::time(cluster.now);
    let update = |node: &mut Value| {
        let wanted = wanted(node);
        let is =
            |taint: &Value, (key, effect): (&str, &str)| taint["key"] == key && taint["effect"] == effect;
        let is_ours = |taint: &Value| {
            taint["key"] == taints::UNSCHEDULABLE || TAINTS.iter().any(|(_, _, key)| taint["key"] == *key)
        };
        let mut taints: Vec<Value> = taints::of(node)
            .filter(|taint| !is_ours(taint) || wanted.iter().any(|wanted| is(taint, *wanted)))
            .cloned()
            .collect();
        for (key, effect) in wanted {
            if !taints.iter().any(|taint| is(taint, (key, effect))) {
                taints.push(json!({ "key": key, "effect": effect, "timeAdded": now }));
            }
        }
        let taints = if taints.is_empty() { Value::Null } else { taints.into() };
        if node["spec"].is_null() && !taints.is_null() {
            node["spec"] = json!({});
        }
        object::set_or_remove(&mut node["spec"], "taints", &taints);
    };
    found(cluster.api.update(NODES, "", object::name(node), update))
}

/// Gives a node the labels and the annotation that controllers add.
pub(super) fn mirror_labels(node: &Value, cluster: &Cluster<'_>) -> Result<(), ApiError> {
    let labels = &node["metadata"]["labels"];
    let is_mirrored =
        LABELS.iter().all(|(from, to)| !labels[*from].is_string() || labels[*from] == labels[*to]);
    if is_mirrored && node["metadata"]["annotations"][TTL].is_string() {
        return Ok(());
    }
    let update = |node: &mut Value| {
        for (from, to) in LABELS {
            let label = node["metadata"]["labels"][from].clone();
            if label.is_string() {
                node["metadata"]["labels"][to] = label;
            }
        }
        if !node["metadata"]["annotations"].is_object() {
            node["metadata"]["annotations"] = json!({});
        }
        node["metadata"]["annotations"][TTL] = "0".into();
    };
    found(cluster.api.update(NODES, "", object::name(node), update))
}

/// Writes that nobody knows how the node is.
pub(super) fn mark_unknown(name: &str, cluster: &Cluster<'_>) -> Result<(), ApiError> {
    let now = object::time(cluster.now);
    let update = |node: &mut Value| {
        for condition in ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] {
            let mut new = object::condition(node, condition).cloned().unwrap_or_else(|| {
                json!({
                    "type": condition,
                    "reason": "NodeStatusNeverUpdated",
                    "message": "Kubelet never posted node status.",
                    "lastHeartbeatTime": node["metadata"]["creationTimestamp"],
                })
            });
            if new["status"] == "Unknown" || !new.is_object() {
                continue;
            }
            if new["status"].is_string() {
                new["reason"] = "NodeStatusUnknown".into();
                new["message"] = "Kubelet stopped posting node status.".into();
            }
            new["status"] = "Unknown".into();
            new["lastTransitionTime"] = now.as_str().into();
            object::set_condition(node, new);
        }
    };
    found(cluster.api.update_status(NODES, "", name, update))
}

/// `MarkPodsNotReady`
pub(super) fn mark_pod_not_ready(
    key: &Key,
    cluster: &Cluster<'_>,
    events: &mut Recorder,
) -> Result<(), ApiError> {
    let now = object::time(cluster.now);
    let Ok(pod) = cluster.api.get(PODS, &key.namespace, &key.name) else { return Ok(()) };
    if object::condition(&pod, "Ready").is_none_or(|ready| ready["status"] != "True") {
        return Ok(());
    }
    events.warning(cluster, &pod, "NodeNotReady", "Node is not ready");
    let update = |pod: &mut Value| {
        let Some(mut ready) = object::condition(pod, "Ready").filter(|ready| ready.is_object()).cloned()
        else {
            return;
        };
        ready["status"] = "False".into();
        ready["lastTransitionTime"] = now.as_str().into();
        object::set_condition(pod, ready);
    };
    found(cluster.api.update_status(PODS, &key.namespace, &key.name, update))
}

/// What is gone needs nothing any more.
pub(super) fn found<T>(answer: Result<T, ApiError>) -> Result<(), ApiError> {
    match answer {
        Err(error) if error.code != 404 => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}
