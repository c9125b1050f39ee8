//! Pods and their templates.

use serde_json::{Value, json};

use super::fill::{Fields, absent, map, text, zero};

pub(super) fn fill(ty: &str, fields: &mut Fields) {
    match ty {
        "v1.Pod" => pod(fields),
        "v1.PodSpec" => spec(fields),
        _ => {}
    }
}

/// `SetDefaults_PodSpec`; `serviceAccount` is the old name of `serviceAccountName`, and both are always written.
fn spec(fields: &mut Fields) {
    zero(fields, "dnsPolicy", "ClusterFirst");
    zero(fields, "restartPolicy", "Always");
    absent(fields, "securityContext", json!({}));
    absent(fields, "terminationGracePeriodSeconds", 30);
    zero(fields, "schedulerName", "default-scheduler");
    for (from, to) in [("serviceAccount", "serviceAccountName"), ("serviceAccountName", "serviceAccount")] {
        let name = text(fields, from).to_owned();
        if !name.is_empty() {
            zero(fields, to, name);
        }
    }
}

/// `SetDefaults_Pod`: what a pod gets and a template does not.
fn pod(fields: &mut Fields) {
    let Some(spec) = map(fields, "spec") else { return };
    absent(spec, "enableServiceLinks", true);
    let host_network = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(container) = container.as_object_mut() else { continue };
            requests_from_limits(container);
            if host_network {
                host_ports(container);
            }
        }
    }
}

/// A container's limits are its requests where it has none.
fn requests_from_limits(container: &mut Fields) {
    let Some(resources) = container.get_mut("resources").and_then(Value::as_object_mut) else { return };
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { return };
    if let Some(requests) = map(resources, "requests") {
        for (name, limit) in limits {
            absent(requests, &name, limit);
        }
    }
}

/// In the network of the host, every port of a container is one of the host.
fn host_ports(container: &mut Fields) {
    for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(port) = port.as_object_mut() else { continue };
        if let Some(number) = port.get("containerPort").cloned() {
            zero(port, "hostPort", number);
        }
    }
}
