//! Pods in the states that pods are found in.

use serde_json::{Value, json};

use super::nodes;
use crate::admission;
use crate::controllers::{default_tolerations, tie_to};

/// How a pod fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Running,
    /// Its container ends again and again.
    CrashLoop,
    /// Its image cannot be pulled.
    ImagePull,
    /// No node has room for it.
    Unschedulable,
    /// Its container ended well.
    Completed,
}

/// What a pod runs, by its template.
#[derive(Debug, Clone, Copy)]
pub(super) struct Container {
    pub(super) image: &'static str,
    /// Request, in millicores.
    pub(super) cpu: u32,
    /// Request and limit, in MiB.
    pub(super) memory: u32,
    pub(super) port: u16,
}

/// A pod to be made.
pub(super) struct Pod<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    pub(super) labels: Value,
    pub(super) annotations: Value,
    pub(super) owner: Value,
    /// The `spec` of its template.
    pub(super) template: &'a Value,
    /// Index of its node.
    pub(super) node: usize,
    pub(super) state: State,
    pub(super) started: &'a str,
    /// When its container ran the last time, where it fails.
    pub(super) failed: &'a str,
}

/// The `spec` of a pod template with one container.
pub(super) fn template(app: &str, container: Container, restart_policy: &str) -> Value {
    let Container { image, cpu, memory, port } = container;
    let ports = if port == 0 { json!([]) } else { json!([{ "containerPort": port, "protocol": "TCP" }]) };
    json!({
        "restartPolicy": restart_policy,
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "containers": [{
            "name": app,
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "ports": ports,
            "resources": {
                "requests": { "cpu": format!("{cpu}m"), "memory": format!("{memory}Mi") },
                "limits": { "memory": format!("{memory}Mi") },
            },
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
        }],
    })
}

// Large parts are put into the object and not named in `json!`, which would copy them: there are thousands of pods.
pub(super) fn pod(pod: Pod<'_>) -> Value {
    let status = status(&pod);
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": pod.name, "namespace": pod.namespace },
    });
    object["metadata"]["labels"] = pod.labels;
    object["metadata"]["annotations"] = pod.annotations;
    object["spec"] = pod.template.clone();
    let spec = &mut object["spec"];
    if pod.owner["kind"] == "DaemonSet" {
        spec["tolerations"] = default_tolerations(spec).into();
        tie_to(spec, &nodes::name(pod.node));
    }
    if pod.state != State::Unschedulable {
        spec["nodeName"] = nodes::name(pod.node).into();
    }
    object["metadata"]["ownerReferences"] = vec![pod.owner].into();
    admit(&mut object);
    object["status"] = status;
    object
}

/// What admission would have given the pod, but for the volume with its token.
fn admit(pod: &mut Value) {
    admission::tolerate_lost_nodes(pod);
    let spec = &mut pod["spec"];
    spec["serviceAccountName"] = "default".into();
    spec["priority"] = 0.into();
    spec["preemptionPolicy"] = "PreemptLowerPriority".into();
}

/// The annotations of a template whose pods fare like this, for the kubelets that start more of them.
pub(super) fn annotations(state: State) -> Value {
    let behaviour = match state {
        State::CrashLoop => "crash-loop",
        State::ImagePull => "image-pull-error",
        State::Running | State::Unschedulable | State::Completed => return json!({}),
    };
    json!({ "sim.kubesage.io/behaviour": behaviour })
}

fn status(pod: &Pod<'_>) -> Value {
    if pod.state == State::Unschedulable {
        return json!({
            "phase": "Pending",
            "qosClass": "Burstable",
            "conditions": [{
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                // Two of the nodes are too small even when they are empty.
                "message": "0/4 nodes are available: 4 Insufficient memory. preemption: 0/4 nodes are available: \
                            2 No preemption victims found for incoming pod, 2 Preemption is not helpful for \
                            scheduling.",
                "lastProbeTime": null,
                "lastTransitionTime": pod.started,
            }],
        });
    }
    let phase = match pod.state {
        State::Completed => "Succeeded",
        State::ImagePull => "Pending",
        State::Running | State::CrashLoop | State::Unschedulable => "Running",
    };
    let address = address(pod);
    let mut status = json!({
        "phase": phase,
        "qosClass": "Burstable",
        "hostIP": nodes::address(pod.node),
        "hostIPs": [{ "ip": nodes::address(pod.node) }],
        "podIP": address,
        "podIPs": [{ "ip": address }],
        "startTime": pod.started,
    });
    status["conditions"] = conditions(pod).into();
    status["containerStatuses"] = vec![container_status(pod)].into();
    status
}

fn conditions(pod: &Pod<'_>) -> Vec<Value> {
    let ready = if pod.state == State::Running { "True" } else { "False" };
    let reason = match pod.state {
        State::Running => None,
        State::Completed => Some("PodCompleted"),
        State::CrashLoop | State::ImagePull | State::Unschedulable => Some("ContainersNotReady"),
    };
    [
        ("Initialized", "True", None),
        ("Ready", ready, reason),
        ("ContainersReady", ready, reason),
        ("PodScheduled", "True", None),
    ]
    .into_iter()
    .map(|(kind, status, reason)| {
        let mut condition = json!({
            "type": kind,
            "status": status,
            "lastProbeTime": null,
            "lastTransitionTime": pod.started,
        });
        if let Some(reason) = reason {
            condition["reason"] = reason.into();
        }
        if reason == Some("ContainersNotReady") {
            let name = pod.template["containers"][0]["name"].as_str().unwrap_or_default();
            condition["message"] = format!("containers with unready status: [{name}]").into();
        }
        condition
    })
    .collect()
}

fn container_status(pod: &Pod<'_>) -> Value {
    let container = &pod.template["containers"][0];
    let image = container["image"].as_str().unwrap_or_default();
    let (since, digest) = (pod.started, crc32fast::hash(pod.name.as_bytes()));
    let ended = |reason: &str, exit_code: u32, at: &str| {
        json!({ "terminated": {
            "exitCode": exit_code,
            "reason": reason,
            "startedAt": at,
            "finishedAt": at,
            "containerID": format!("containerd://{digest:08x}"),
        } })
    };
    let waiting =
        |reason: &str, message: String| json!({ "waiting": { "reason": reason, "message": message } });
    let (state, last_state, restarts) = match pod.state {
        State::Running | State::Unschedulable => (json!({ "running": { "startedAt": since } }), json!({}), 0),
        State::Completed => (ended("Completed", 0, since), json!({}), 0),
        State::ImagePull => {
            (waiting("ImagePullBackOff", format!("Back-off pulling image \"{image}\"")), json!({}), 0)
        }
        State::CrashLoop => {
            let message = format!(
                "back-off 5m0s restarting failed container={} pod={}_{}",
                container["name"].as_str().unwrap_or_default(),
                pod.name,
                pod.namespace,
            );
            (waiting("CrashLoopBackOff", message), ended("Error", 1, pod.failed), 214)
        }
    };
    let running = pod.state == State::Running;
    let mut status = json!({
        "name": container["name"],
        "image": image,
        "imageID": if pod.state == State::ImagePull { String::new() } else { format!("{image}@sha256:{digest:08x}") },
        "containerID": if running { format!("containerd://{digest:08x}") } else { String::new() },
        "ready": running,
        "started": running,
        "restartCount": restarts,
    });
    status["state"] = state;
    status["lastState"] = last_state;
    status
}

/// An address of the VPC that follows from the name.
fn address(pod: &Pod<'_>) -> String {
    let digest = crc32fast::hash(pod.name.as_bytes());
    format!("10.64.{}.{}", digest % 250, 1 + digest / 250 % 250)
}
