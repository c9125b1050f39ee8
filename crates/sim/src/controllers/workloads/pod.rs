//! Pods as the controllers of workloads see them: `pkg/api/v1/pod/util.go` and `pkg/controller/controller_utils.go`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::fields::{set, text, time};
use crate::object::{self, seconds_later};

/// Whether it runs for good or will: it has not ended and nobody has deleted it (`IsPodActive`).
pub(crate) fn is_active(pod: &Value) -> bool {
    !is_finished(pod) && !object::is_terminating(pod)
}

/// Whether its containers have ended for good (`IsPodTerminal`).
pub(crate) fn is_finished(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// Whether it has been deleted and still runs (`IsPodTerminating`).
pub(crate) fn is_stopping(pod: &Value) -> bool {
    object::is_terminating(pod) && !is_finished(pod)
}

pub(crate) fn is_ready(pod: &Value) -> bool {
    object::is_true(pod, "Ready")
}

/// Since when it is ready.
pub(crate) fn ready_since(pod: &Value) -> Option<Timestamp> {
    let ready = object::condition(pod, "Ready").filter(|condition| condition["status"] == "True")?;
    time(ready, "/lastTransitionTime")
}

/// When it is available: ready for `minReadySeconds`; `None` while it is not ready (`IsPodAvailable`).
pub(crate) fn available_at(pod: &Value, min_ready_seconds: i64) -> Option<Timestamp> {
    if min_ready_seconds == 0 {
        return is_ready(pod).then_some(Timestamp::MIN);
    }
    ready_since(pod).map(|since| seconds_later(since, min_ready_seconds))
}

/// Makes the pod of a template that is the owner's, with a generated name (`GetPodFromTemplate`).
pub(crate) fn from_template(template: &Value, owner: &Value) -> Value {
    let mut metadata = json!({
        "namespace": object::namespace(owner),
        "generateName": format!("{}-", object::name(owner)),
        "ownerReferences": [object::controller_reference(owner)],
    });
    for field in ["labels", "annotations", "finalizers"] {
        object::set_or_remove(&mut metadata, field, &template["metadata"][field]);
    }
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"] })
}

/// Sets a label of a pod that is to be made, or of a template.
pub(crate) fn set_label(object: &mut Value, key: &str, value: &str) {
    set(object, &["metadata", "labels", key], value.into());
}
