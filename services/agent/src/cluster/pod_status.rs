//! The one word that `kubectl get pods` shows for a pod.
//!
//! After `printPod` of Kubernetes 1.36, `pkg/printers/internalversion/printers.go`.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};

/// The pod's phase, or the reason that tells more.
pub(crate) fn reason(pod: &Pod) -> String {
    let Some(status) = &pod.status else {
        return "Unknown".to_owned();
    };
    let summary = init_reason(pod, status).unwrap_or_else(|| running_reason(status));
    if pod.metadata.deletion_timestamp.is_none() {
        summary
    } else if status.reason.as_deref() == Some("NodeLost") {
        "Unknown".to_owned()
    } else if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        summary
    } else {
        "Terminating".to_owned()
    }
}

/// What its initialisation waits for or failed with; `None` when it is over.
fn init_reason(pod: &Pod, status: &PodStatus) -> Option<String> {
    let initial = status.init_container_statuses.as_deref().unwrap_or_default();
    let (index, blocking) =
        initial.iter().enumerate().find(|(_, container)| !is_initialised(pod, container))?;
    if is_condition(status, "Initialized") {
        return None;
    }
    let state = blocking.state.clone().unwrap_or_default();
    if let Some(terminated) = state.terminated {
        return Some(format!(
            "Init:{}",
            terminated_reason(terminated.reason, terminated.signal, terminated.exit_code)
        ));
    }
    let waiting = state.waiting.and_then(|waiting| waiting.reason);
    Some(match waiting {
        Some(reason) if !reason.is_empty() && reason != "PodInitializing" => format!("Init:{reason}"),
        _ => {
            let count = pod.spec.as_ref().and_then(|spec| spec.init_containers.as_ref()).map_or(0, Vec::len);
            format!("Init:{index}/{count}")
        }
    })
}

/// A container that ended well, or a sidecar (one that restarts for ever) that has started.
fn is_initialised(pod: &Pod, container: &ContainerStatus) -> bool {
    let ended_well = container
        .state
        .as_ref()
        .and_then(|state| state.terminated.as_ref())
        .is_some_and(|terminated| terminated.exit_code == 0);
    ended_well || container.started == Some(true) && is_sidecar(pod, &container.name)
}

fn is_sidecar(pod: &Pod, name: &str) -> bool {
    let containers = pod.spec.as_ref().and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
    containers
        .iter()
        .any(|container| container.name == name && container.restart_policy.as_deref() == Some("Always"))
}

fn running_reason(status: &PodStatus) -> String {
    let phase = [&status.reason, &status.phase].into_iter().flatten().find(|text| !text.is_empty());
    let mut summary = phase.cloned().unwrap_or_else(|| "Unknown".to_owned());
    if status
        .conditions
        .iter()
        .flatten()
        .any(|condition| condition.reason.as_deref() == Some("SchedulingGated"))
    {
        "SchedulingGated".clone_into(&mut summary);
    }
    let mut has_running = false;
    // The first container wins, so it is looked at last.
    for container in status.container_statuses.iter().flatten().rev() {
        let state = container.state.clone().unwrap_or_default();
        let waiting = state.waiting.and_then(|waiting| waiting.reason).filter(|reason| !reason.is_empty());
        if let Some(reason) = waiting {
            summary = reason;
        } else if let Some(terminated) = state.terminated {
            summary = terminated_reason(terminated.reason, terminated.signal, terminated.exit_code);
        } else if container.ready && state.running.is_some() {
            has_running = true;
        }
    }
    if summary != "Completed" || !has_running {
        return summary;
    }
    if is_condition(status, "Ready") { "Running" } else { "NotReady" }.to_owned()
}

fn terminated_reason(reason: Option<String>, signal: Option<i32>, exit_code: i32) -> String {
    match (reason.filter(|reason| !reason.is_empty()), signal) {
        (Some(reason), _) => reason,
        (None, Some(signal)) if signal != 0 => format!("Signal:{signal}"),
        (None, _) => format!("ExitCode:{exit_code}"),
    }
}

fn is_condition(status: &PodStatus, name: &str) -> bool {
    status.conditions.iter().flatten().any(|condition| condition.type_ == name && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    fn status_of(pod: Value) -> String {
        reason(&from_value(pod).unwrap())
    }

    /// Of a pod with these containers.
    fn running(states: &[Value]) -> String {
        let containers: Vec<Value> = states.iter().map(|state| container("c", state)).collect();
        status_of(json!({"metadata": {}, "status": {"phase": "Running", "containerStatuses": containers}}))
    }

    fn container(name: &str, state: &Value) -> Value {
        let is_running = state.get("running").is_some();
        json!({"name": name, "image": "i", "imageID": "", "ready": is_running, "started": is_running,
               "restartCount": 0, "state": state})
    }

    #[test]
    fn the_phase_is_told_where_nothing_tells_more() {
        let plain = |status: Value| status_of(json!({"metadata": {}, "status": status}));
        assert_eq!(plain(json!({"phase": "Pending"})), "Pending");
        assert_eq!(plain(json!({"phase": "Failed", "reason": "Evicted"})), "Evicted");
        let gated = json!([{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]);
        assert_eq!(plain(json!({"phase": "Pending", "conditions": gated})), "SchedulingGated");
    }

    #[test]
    fn a_container_that_waits_or_ended_tells_more() {
        let crash = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let pull = json!({"waiting": {"reason": "ImagePullBackOff"}});
        let runs = json!({"running": {}});
        let completed = json!({"terminated": {"exitCode": 0, "reason": "Completed"}});
        let failed = json!({"terminated": {"exitCode": 3}});
        let killed = json!({"terminated": {"exitCode": 137, "signal": 9}});
        for (states, expected) in [
            (vec![&runs, &crash], "CrashLoopBackOff"),
            (vec![&pull, &crash], "ImagePullBackOff"),
            (vec![&failed], "ExitCode:3"),
            (vec![&killed], "Signal:9"),
            (vec![&completed], "Completed"),
            (vec![&completed, &runs], "NotReady"),
        ] {
            let states: Vec<Value> = states.into_iter().cloned().collect();
            assert_eq!(running(&states), expected);
        }
    }

    #[test]
    fn initialisation_says_how_far_it_is() {
        for (state, expected) in [
            (json!({"waiting": {"reason": "PodInitializing"}}), "Init:1/3"),
            (json!({"waiting": {"reason": "ErrImagePull"}}), "Init:ErrImagePull"),
            (json!({"terminated": {"exitCode": 1, "reason": "Error"}}), "Init:Error"),
            (json!({"terminated": {"exitCode": 0}}), "Pending"),
        ] {
            let sidecar = container("side", &json!({"running": {}}));
            let pod = json!({
                "metadata": {},
                "spec": {"containers": [], "initContainers": [
                    {"name": "side", "restartPolicy": "Always"}, {"name": "c"}, {"name": "d"}]},
                "status": {"phase": "Pending", "initContainerStatuses": [sidecar, container("c", &state)]}
            });
            assert_eq!(status_of(pod), expected);
        }
    }

    #[test]
    fn a_deleted_pod_is_terminating_until_it_has_ended() {
        for (status, expected) in [
            (json!({"phase": "Running"}), "Terminating"),
            (json!({"phase": "Succeeded"}), "Succeeded"),
            (json!({"phase": "Running", "reason": "NodeLost"}), "Unknown"),
        ] {
            let deleted = json!({"deletionTimestamp": "2024-01-01T12:00:00Z"});
            assert_eq!(status_of(json!({"metadata": deleted, "status": status})), expected);
        }
    }
}
