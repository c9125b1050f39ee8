//! Containers, their ports and their mounts: `validateContainers` and what it calls.

use std::collections::{BTreeSet, HashSet};

use serde_json::Value;

use super::{choice, env, probes, resources};
use crate::schema::Path;
use crate::validation::errors::Errors;
use crate::validation::format;
use crate::validation::read::{given, is_empty, items, number, text};

/// In the order of the sorted set of the original.
const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];

/// All containers of a pod; `volumes` are the names that they may mount.
pub(super) fn all(errors: &mut Errors, spec: &Value, volumes: &BTreeSet<String>, path: &Path<'_>) {
    let host_network = spec["hostNetwork"] == true;
    let mut names = HashSet::new();
    let regular = path.field("containers");
    if is_empty(&spec["containers"]) {
        errors.required(&regular, "");
    }
    for (index, container) in items(&spec["containers"]) {
        let path = regular.index(index);
        common(errors, container, volumes, host_network, &path);
        unique_name(errors, container, &mut names, &path);
        probes::lifecycle(errors, &container["lifecycle"], &path.field("lifecycle"));
        probes::all(errors, container, &path);
    }
    host_ports(errors, &spec["containers"], &regular);

    let init = path.field("initContainers");
    for (index, container) in items(&spec["initContainers"]) {
        let path = init.index(index);
        common(errors, container, volumes, host_network, &path);
        unique_name(errors, container, &mut names, &path);
        init_only(errors, container, &path);
    }
}

fn unique_name<'a>(errors: &mut Errors, container: &'a Value, names: &mut HashSet<&'a str>, path: &Path<'_>) {
    let name = text(container, "name");
    if !name.is_empty() && !names.insert(name) {
        errors.duplicate(&path.field("name"), name);
    }
}

/// An init container that is no sidecar runs to its end, so nothing waits for it to be ready.
fn init_only(errors: &mut Errors, container: &Value, path: &Path<'_>) {
    match text(container, "restartPolicy") {
        "Always" => {
            probes::lifecycle(errors, &container["lifecycle"], &path.field("lifecycle"));
            probes::all(errors, container, path);
        }
        "" => {
            for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
                if given(container, field) {
                    let why = "may not be set for init containers without restartPolicy=Always";
                    errors.forbidden(&path.field(field), why);
                }
            }
        }
        policy => errors.unsupported(&path.field("restartPolicy"), policy, &["Always", "Never", "OnFailure"]),
    }
}

/// `validateContainerCommon`.
fn common(
    errors: &mut Errors,
    container: &Value,
    volumes: &BTreeSet<String>,
    host_network: bool,
    path: &Path<'_>,
) {
    let name = text(container, "name");
    if name.is_empty() {
        errors.required(&path.field("name"), "");
    } else {
        errors.broken(&path.field("name"), name, &format::dns_label(name));
    }
    let image = text(container, "image");
    if image.is_empty() {
        errors.required(&path.field("image"), "");
    } else if image.trim() != image {
        errors.invalid(&path.field("image"), image, "must not have leading or trailing whitespace");
    }
    choice(errors, container, "terminationMessagePolicy", &["FallbackToLogsOnError", "File"], path);
    ports(errors, &container["ports"], host_network, &path.field("ports"));
    env::variables(errors, &container["env"], &path.field("env"));
    env::sources(errors, &container["envFrom"], &path.field("envFrom"));
    mounts(errors, &container["volumeMounts"], volumes, &path.field("volumeMounts"));
    choice(errors, container, "imagePullPolicy", &["Always", "IfNotPresent", "Never"], path);
    resources::requirements(errors, &container["resources"], &path.field("resources"));
}

/// `validateContainerPorts`.
fn ports(errors: &mut Errors, ports: &Value, host_network: bool, path: &Path<'_>) {
    let mut names = HashSet::new();
    for (index, port) in items(ports) {
        let path = path.index(index);
        let name = text(port, "name");
        if !name.is_empty() {
            let rules = format::port_name(name);
            errors.broken(&path.field("name"), name, &rules);
            if rules.is_empty() && !names.insert(name) {
                errors.duplicate(&path.field("name"), name);
            }
        }
        let (in_pod, on_host) = (number(port, "containerPort"), number(port, "hostPort"));
        if in_pod == 0 {
            errors.required(&path.field("containerPort"), "");
        } else {
            errors.broken(&path.field("containerPort"), in_pod, &format::port_number(in_pod));
        }
        if on_host != 0 {
            errors.broken(&path.field("hostPort"), on_host, &format::port_number(on_host));
            if host_network && on_host != in_pod {
                let why = "must match `hostPort` when `hostNetwork` is true";
                errors.invalid(&path.field("containerPort"), in_pod, why);
            }
        }
        choice(errors, port, "protocol", PROTOCOLS, &path);
    }
}

/// `checkHostPortConflicts`: a port of the host belongs to one container.
fn host_ports(errors: &mut Errors, containers: &Value, path: &Path<'_>) {
    let mut taken = HashSet::new();
    for (index, container) in items(containers) {
        let path = path.index(index);
        let path = path.field("ports");
        for (index, port) in items(&container["ports"]) {
            let number = number(port, "hostPort");
            if number == 0 {
                continue;
            }
            let address = format!("{}/{}/{number}", text(port, "protocol"), text(port, "hostIP"));
            if taken.contains(&address) {
                let path = path.index(index);
                errors.duplicate(&path.field("hostPort"), address.as_str());
            }
            taken.insert(address);
        }
    }
}

/// `ValidateVolumeMounts`.
fn mounts(errors: &mut Errors, mounts: &Value, volumes: &BTreeSet<String>, path: &Path<'_>) {
    let mut paths = HashSet::new();
    for (index, mount) in items(mounts) {
        let path = path.index(index);
        let (name, target) = (text(mount, "name"), text(mount, "mountPath"));
        if name.is_empty() {
            errors.required(&path.field("name"), "");
        }
        if !volumes.contains(name) {
            errors.not_found(&path.field("name"), name);
        }
        if target.is_empty() {
            errors.required(&path.field("mountPath"), "");
        }
        if !paths.insert(target) {
            errors.invalid(&path.field("mountPath"), target, "must be unique");
        }
        let within = text(mount, "subPath");
        if within.starts_with('/') {
            errors.invalid(&path.field("subPath"), within, "must be a relative path");
        }
        if within.split('/').any(|part| part == "..") {
            errors.invalid(&path.field("subPath"), within, "must not contain '..'");
        }
    }
}
