//! The status that a kubelet writes for a pod (`pkg/kubelet/kubelet_pods.go`, `pkg/kubelet/status/generate.go`).

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::container::{Container, Ended, State};
use super::runtime::Runtime;
use crate::object;

/// Writes what runs into the status of its pod; what others have written there stays.
pub(super) fn write(pod: &mut Value, runtime: &Runtime, host: Option<&str>, now: Timestamp) {
    let phase = runtime.phase(now);
    let has_ended = phase == "Succeeded" || phase == "Failed";
    pod["status"]["phase"] = phase.into();
    if pod["status"]["startTime"].is_null() {
        pod["status"]["startTime"] = object::time(runtime.started).into();
    }
    if runtime.is_past_deadline {
        pod["status"]["reason"] = "DeadlineExceeded".into();
        pod["status"]["message"] = "Pod was active on the node longer than the specified deadline".into();
    }
    if let Some(host) = host {
        pod["status"]["hostIP"] = host.into();
        pod["status"]["hostIPs"] = json!([{ "ip": host }]);
    }
    if let Some(address) = &runtime.address {
        pod["status"]["podIP"] = address.as_str().into();
        pod["status"]["podIPs"] = json!([{ "ip": address }]);
    }
    let statuses = |containers: &[Container]| -> Value {
        containers.iter().map(|container| status(container, &runtime.uid, now)).collect()
    };
    if !runtime.init.is_empty() {
        pod["status"]["initContainerStatuses"] = statuses(&runtime.init);
    }
    pod["status"]["containerStatuses"] = statuses(&runtime.main);

    set_condition(pod, "PodScheduled", None, now);
    let uninitialized = runtime.init.iter().filter(|container| container.initialized_at(now).is_none());
    let sidecars = runtime.init.iter().filter(|container| container.plan.is_sidecar());
    let unready = sidecars.chain(&runtime.main).filter(|container| !is_ready(container, now));
    let (initialized, ready) = if has_ended {
        (Some(Unmet::default()), Some(Unmet::default()))
    } else {
        (
            Unmet::by("ContainersNotInitialized", "incomplete", uninitialized),
            Unmet::by("ContainersNotReady", "unready", unready),
        )
    };
    let gates = if ready.is_none() { unmet_gates(pod) } else { None };
    set_condition(pod, "Initialized", initialized.as_ref(), now);
    set_condition(pod, "ContainersReady", ready.as_ref(), now);
    set_condition(pod, "Ready", ready.as_ref().or(gates.as_ref()), now);
}

/// Why a condition does not hold.
#[derive(Debug, Default)]
pub(super) struct Unmet {
    reason: Option<&'static str>,
    message: String,
}

impl Unmet {
    /// `containers with unready status: [a b]`, where there is any such container.
    fn by<'a>(
        reason: &'static str,
        status: &str,
        containers: impl Iterator<Item = &'a Container>,
    ) -> Option<Unmet> {
        let names: Vec<&str> = containers.map(|container| container.plan.name.as_str()).collect();
        let message = format!("containers with {status} status: [{}]", names.join(" "));
        (!names.is_empty()).then_some(Unmet { reason: Some(reason), message })
    }
}

/// The readiness gates of a pod that others have not opened.
pub(super) fn unmet_gates(pod: &Value) -> Option<Unmet> {
    let gates = pod["spec"]["readinessGates"].as_array().into_iter().flatten();
    let messages: Vec<String> = gates
        .filter_map(|gate| {
            let gate = gate["conditionType"].as_str()?;
            match object::condition(pod, gate) {
                None => {
                    Some(format!("corresponding condition of pod readiness gate \"{gate}\" does not exist."))
                }
                Some(condition) if condition["status"] == "True" => None,
                Some(condition) => {
                    let status = condition["status"].as_str().unwrap_or_default();
                    Some(format!("the status of pod readiness gate \"{gate}\" is not \"True\", but {status}"))
                }
            }
        })
        .collect();
    let message = messages.join(", ");
    (!messages.is_empty()).then_some(Unmet { reason: Some("ReadinessGatesNotReady"), message })
}

/// Sets a condition to true, or to false with what is unmet. The time of its last transition stays where its status
/// does.
pub(super) fn set_condition(pod: &mut Value, condition_type: &str, unmet: Option<&Unmet>, now: Timestamp) {
    let status = if unmet.is_none() { "True" } else { "False" };
    let present = object::condition(pod, condition_type).filter(|present| present["status"] == status);
    let since =
        present.map_or_else(|| object::time(now).into(), |present| present["lastTransitionTime"].clone());
    let mut condition = json!({
        "type": condition_type,
        "status": status,
        "lastProbeTime": null,
        "lastTransitionTime": since,
    });
    if let Some(Unmet { reason: Some(reason), message }) = unmet {
        condition["reason"] = (*reason).into();
        condition["message"] = message.as_str().into();
    }
    object::set_condition(pod, condition);
}

fn is_ready(container: &Container, now: Timestamp) -> bool {
    container.ready_at().is_some_and(|at| at <= now)
}

fn status(container: &Container, uid: &str, now: Timestamp) -> Value {
    let Container { plan, state, last, restarts, .. } = container;
    let is_done = plan.is_init && !plan.is_sidecar() && container.initialized_at(now).is_some();
    let mut status = json!({
        "name": plan.name,
        "state": match state {
            State::Waiting { reason, message } => waiting(reason, message.as_deref()),
            State::Running { since } => json!({ "running": { "startedAt": object::time(*since) } }),
            State::Ended(ended) => terminated(ended),
        },
        "lastState": last.as_ref().map_or_else(|| json!({}), terminated),
        "ready": is_ready(container, now) || is_done,
        "restartCount": restarts,
        "image": plan.image,
        "imageID": "",
        "started": container.started_at().is_some_and(|at| at <= now),
    });
    if container.is_running() || last.is_some() || matches!(state, State::Ended(_)) {
        status["imageID"] = format!("{}@sha256:{}", plan.image, digest(&plan.image)).into();
        status["containerID"] = container_id(uid, &plan.name, *restarts).into();
    }
    status
}

/// The id of a container of the pod with this uid.
pub(super) fn container_id(uid: &str, name: &str, restarts: u32) -> String {
    format!("containerd://{}", digest(&format!("{uid}/{name}/{restarts}")))
}

fn waiting(reason: &str, message: Option<&str>) -> Value {
    let mut waiting = json!({ "reason": reason });
    if let Some(message) = message {
        waiting["message"] = message.into();
    }
    json!({ "waiting": waiting })
}

fn terminated(ended: &Ended) -> Value {
    json!({ "terminated": {
        "exitCode": ended.code,
        "reason": ended.reason,
        "startedAt": object::time(ended.started),
        "finishedAt": object::time(ended.finished),
    } })
}

/// 64 hexadecimal digits that follow from a text.
fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}
