//! The status of a new object, whatever the client sent.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{part_of, put, qos_class, set};
use crate::kinds::Kind;
use crate::object;

/// `deprecated.daemonset.template.generation`, which `apps/v1` shows as an annotation.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// Replaces `status` where the strategy of the kind does.
pub(super) fn status(kind: &Kind, object: &mut Value, now: Timestamp) {
    let status = match kind.plural {
        "namespaces" => json!({ "phase": "Active" }),
        "pods" => pod(object, now),
        "persistentvolumeclaims" => json!({ "phase": "Pending" }),
        "persistentvolumes" => {
            json!({ "phase": "Pending", "lastPhaseTransitionTime": object::time(now) })
        }
        "poddisruptionbudgets" => {
            json!({ "disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0 })
        }
        "services" | "ingresses" => json!({ "loadBalancer": {} }),
        "replicasets" | "replicationcontrollers" => json!({ "replicas": 0 }),
        "statefulsets" => json!({ "replicas": 0, "availableReplicas": 0 }),
        "daemonsets" => json!({
            "currentNumberScheduled": 0,
            "numberMisscheduled": 0,
            "desiredNumberScheduled": 0,
            "numberReady": 0,
        }),
        "horizontalpodautoscalers" => json!({ "desiredReplicas": 0, "currentMetrics": null }),
        "volumeattachments" => json!({ "attached": false }),
        "deployments" | "jobs" | "cronjobs" | "resourcequotas" => json!({}),
        // A kubelet registers its node together with its status.
        _ => return,
    };
    set(object, "status", status);
}

/// `podStrategy.PrepareForCreate` and `applySchedulingGatedCondition`.
fn pod(object: &Value, now: Timestamp) -> Value {
    let mut status = json!({ "phase": "Pending", "qosClass": qos_class(&object["spec"]) });
    let gated = object["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty());
    if gated {
        status["conditions"] = json!([{
            "type": "PodScheduled",
            "status": "False",
            "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
            "lastProbeTime": null,
            "lastTransitionTime": object::time(now),
        }]);
    }
    status
}

pub(super) fn template_generation_of(object: &Value) -> i64 {
    let text = object["metadata"]["annotations"][TEMPLATE_GENERATION].as_str();
    text.and_then(|text| text.parse().ok()).unwrap_or(1)
}

pub(super) fn template_generation(object: &mut Value, generation: i64) {
    let mut annotations = object["metadata"]["annotations"].take();
    if !annotations.is_object() {
        annotations = json!({});
    }
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.insert(TEMPLATE_GENERATION.to_owned(), generation.to_string().into());
    }
    if part_of(object, "metadata").is_some() {
        put(object, "metadata", "annotations", annotations);
    }
}
