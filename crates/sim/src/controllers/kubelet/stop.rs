//! The end of a pod that has been deleted (`syncTerminatingPod` of `pkg/kubelet/kubelet.go`).

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::status::{Unmet, set_condition};
use crate::api::{DeleteOptions, Preconditions};
use crate::controllers::{Cluster, later};
use crate::kinds::PODS;
use crate::object;
use crate::status::ApiError;

/// When the containers of a terminating pod have stopped, where they were told to at `told`.
pub(super) fn stopped_at(pod: &Value, told: Timestamp, stop: Duration) -> Timestamp {
    let grace = pod["metadata"]["deletionGracePeriodSeconds"].as_u64().unwrap_or_default();
    later(told, stop.min(Duration::from_secs(grace)))
}

/// Tells the API server that nothing runs any more, so that the pod goes unless finalizers keep it.
pub(super) fn finish(pod: &Value, cluster: &Cluster<'_>) -> Result<(), ApiError> {
    let (namespace, name) = (object::namespace(pod), object::name(pod));
    let uid = object::field(pod, "metadata.uid");
    let is_kept = pod["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty());
    if is_kept {
        cluster.api.update_status(PODS, namespace, name, |pod| {
            if object::field(pod, "metadata.uid") == uid {
                write(pod, cluster.now);
            }
        })?;
    }
    if pod["metadata"]["deletionGracePeriodSeconds"] == 0 {
        return Ok(());
    }
    let options = DeleteOptions {
        preconditions: Preconditions { uid: Some(uid), resource_version: None },
        grace_period_seconds: Some(0),
        propagation: None,
    };
    match cluster.api.delete(PODS, namespace, name, &options) {
        Err(error) if error.code != 404 && error.code != 409 => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The last status of a pod that was stopped.
fn write(pod: &mut Value, now: Timestamp) {
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    if phase == "Succeeded" || phase == "Failed" {
        return;
    }
    // What runs until it is told to stop ends well; what had work to do has not done it.
    let code = if pod["spec"]["restartPolicy"] == "Always" { 0 } else { 143 };
    let mut succeeded = true;
    for field in ["initContainerStatuses", "containerStatuses"] {
        let statuses = pod["status"].get_mut(field).and_then(Value::as_array_mut).into_iter().flatten();
        for status in statuses.filter_map(Value::as_object_mut) {
            let state = status.get("state").cloned().unwrap_or_default();
            if !state["terminated"].is_object() {
                status.insert("state".to_owned(), terminated(&state, code, now));
                status.insert("ready".to_owned(), false.into());
                status.insert("started".to_owned(), false.into());
            }
            succeeded &= status.get("state").is_some_and(|state| state["terminated"]["exitCode"] == 0);
        }
    }
    pod["status"]["phase"] = if succeeded { "Succeeded" } else { "Failed" }.into();
    for condition in ["Initialized", "ContainersReady", "Ready"] {
        set_condition(pod, condition, Some(&Unmet::default()), now);
    }
}

fn terminated(state: &Value, code: i64, now: Timestamp) -> Value {
    let Some(since) = state["running"]["startedAt"].as_str() else {
        // `convertToAPIContainerStatuses`: nobody knows what became of a container that was not found running.
        return json!({ "terminated": {
            "exitCode": 137,
            "reason": "ContainerStatusUnknown",
            "message": "The container could not be located when the pod was terminated",
            "startedAt": null,
            "finishedAt": null,
        } });
    };
    let reason = if code == 0 { "Completed" } else { "Error" };
    json!({ "terminated": {
        "exitCode": code,
        "reason": reason,
        "startedAt": since,
        "finishedAt": object::time(now),
    } })
}
