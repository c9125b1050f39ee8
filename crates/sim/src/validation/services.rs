//! Services and their endpoints: `ValidateService` in `pkg/apis/core/validation/validation.go`.

use std::collections::HashSet;

use serde_json::Value;

use super::errors::{Errors, Raw, quote};
use super::read::{given, is_empty, items, number, text};
use super::{format, metadata, pod, port_or_name};
use crate::schema::Path;

const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

pub(super) fn service(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    let kind = text(spec, "type");
    let headless = text(spec, "clusterIP") == "None";
    if is_empty(&spec["ports"]) && !headless && kind != "ExternalName" {
        errors.required(&path.field("ports"), "");
    }
    match kind {
        "NodePort" | "LoadBalancer" if headless => {
            let why = format!("may not be set to 'None' for {kind} services");
            let path = path.field("clusterIPs");
            errors.invalid(&path.index(0), "None", &why);
        }
        "ExternalName" => external_name(errors, spec, path),
        _ => {}
    }
    ports(errors, spec, &path.field("ports"));
    metadata::labels(errors, &spec["selector"], &path.field("selector"));
    pod::choice(errors, spec, "sessionAffinity", &["ClientIP", "None"], path);
    let address = text(spec, "clusterIP");
    if kind != "ExternalName" && !["", "None"].contains(&address) {
        errors.broken(&path.field("clusterIPs").index(0), address, &format::ip(address));
    }
    pod::choice(errors, spec, "type", TYPES, path);
    let addresses = path.field("externalIPs");
    for (index, address) in items(&spec["externalIPs"]) {
        let address = address.as_str().unwrap_or_default();
        errors.broken(&addresses.index(index), address, &format::ip(address));
    }
    for field in ["internalTrafficPolicy", "externalTrafficPolicy"] {
        if given(spec, field) {
            pod::choice(errors, spec, field, &["Cluster", "Local"], path);
        }
    }
    if kind == "ClusterIP" {
        node_ports(errors, spec, path);
    }
    duplicate_node_ports(errors, spec, path);
    duplicate_ports(errors, spec, path);
}

fn external_name(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    let name = text(spec, "externalName");
    if name.is_empty() {
        errors.required(&path.field("externalName"), "");
    } else {
        errors.broken(&path.field("externalName"), name, &format::dns_subdomain(name.trim_end_matches('.')));
    }
}

/// `validateServicePort`.
fn ports(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    let needs_names = items(&spec["ports"]).count() > 1;
    let mut names = HashSet::new();
    for (index, port) in items(&spec["ports"]) {
        let path = path.index(index);
        let name = text(port, "name");
        if !name.is_empty() {
            errors.broken(&path.field("name"), name, &format::dns_label(name));
            if !names.insert(name) {
                errors.duplicate(&path.field("name"), name);
            }
        } else if needs_names {
            errors.required(&path.field("name"), "");
        }
        let number = number(port, "port");
        errors.broken(&path.field("port"), number, &format::port_number(number));
        pod::choice(errors, port, "protocol", PROTOCOLS, &path);
        port_or_name(errors, &port["targetPort"], &path.field("targetPort"));
    }
}

fn node_ports(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    let path = path.field("ports");
    for (index, port) in items(&spec["ports"]) {
        if number(port, "nodePort") != 0 {
            let path = path.index(index);
            errors.forbidden(&path.field("nodePort"), "may not be used when `type` is 'ClusterIP'");
        }
    }
}

/// The same port of the nodes twice: protocols may share one.
fn duplicate_node_ports(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    let path = path.field("ports");
    let mut seen = HashSet::new();
    for (index, port) in items(&spec["ports"]) {
        let asked = number(port, "nodePort");
        if asked != 0 && !seen.insert((text(port, "protocol"), asked)) {
            errors.duplicate(&path.index(index).field("nodePort"), asked);
        }
    }
}

/// The same port twice; the value is a `core.ServicePort`, whose fields have no JSON names.
fn duplicate_ports(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    let path = path.field("ports");
    let mut seen = HashSet::new();
    for (index, port) in items(&spec["ports"]) {
        let (protocol, number) = (text(port, "protocol"), number(port, "port"));
        if !seen.insert((protocol, number)) {
            let shown = format!(
                "{{\"Name\":\"\",\"Protocol\":{},\"AppProtocol\":null,\"Port\":{number},\"TargetPort\":0,\
                 \"NodePort\":0}}",
                quote(protocol),
            );
            errors.duplicate(&path.index(index), Raw(&shown));
        }
    }
}

/// `validateUpgradeDowngradeClusterIPs`: the first address of a service stays while it has one.
pub(super) fn update(errors: &mut Errors, new: &Value, old: &Value) {
    let root = Path::ROOT;
    let path = root.field("spec");
    let (new, old) = (&new["spec"], &old["spec"]);
    let had = text(old, "clusterIP");
    if had.is_empty() || text(old, "type") == "ExternalName" || text(new, "type") == "ExternalName" {
        return;
    }
    let has = text(new, "clusterIP");
    let addresses = path.field("clusterIPs");
    if has.is_empty() {
        errors.invalid(&addresses.index(0), &new["clusterIPs"], "primary clusterIP can not be unset");
    } else if has != had {
        errors.invalid(&addresses.index(0), &serde_json::json!([has]), "may not change once set");
    }
}

/// `ValidateEndpointSlice`.
pub(super) fn endpoint_slice(errors: &mut Errors, slice: &Value) {
    let root = Path::ROOT;
    let kind = text(slice, "addressType");
    match kind {
        "" => errors.required(&root.field("addressType"), ""),
        "IPv4" | "IPv6" | "FQDN" => {}
        kind => errors.unsupported(&root.field("addressType"), kind, &["FQDN", "IPv4", "IPv6"]),
    }
    let endpoints = root.field("endpoints");
    for (index, endpoint) in items(&slice["endpoints"]) {
        let path = endpoints.index(index);
        let path = path.field("addresses");
        if is_empty(&endpoint["addresses"]) {
            errors.required(&path, "must contain at least 1 address");
        }
        for (index, address) in items(&endpoint["addresses"]) {
            let address = address.as_str().unwrap_or_default();
            let rules = if kind == "FQDN" { format::dns_subdomain(address) } else { format::ip(address) };
            errors.broken(&path.index(index), address, &rules);
        }
    }
    let ports = root.field("ports");
    let mut names = HashSet::new();
    for (index, port) in items(&slice["ports"]) {
        let path = ports.index(index);
        let name = text(port, "name");
        if !names.insert(name) {
            errors.duplicate(&path.field("name"), name);
        }
        if !name.is_empty() {
            errors.broken(&path.field("name"), name, &format::dns_label(name));
        }
        let protocol = text(port, "protocol");
        if !PROTOCOLS.contains(&protocol) {
            errors.unsupported(&path.field("protocol"), protocol, PROTOCOLS);
        }
    }
}
