//! Ingresses and network policies: `pkg/apis/networking/validation/validation.go`.

use serde_json::Value;

use super::errors::Errors;
use super::read::{given, is_empty, items, number, text};
use super::selectors::selector;
use super::{format, port_or_name};
use crate::schema::Path;

const PATH_TYPES: &[&str] = &["Exact", "ImplementationSpecific", "Prefix"];

/// `ValidateIngressSpec`.
pub(super) fn ingress(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    if is_empty(&spec["rules"]) && spec["defaultBackend"].is_null() {
        errors.invalid(path, &spec["rules"], "either `defaultBackend` or `rules` must be specified");
    }
    if given(spec, "defaultBackend") {
        backend(errors, &spec["defaultBackend"], &path.field("defaultBackend"));
    }
    let rules = path.field("rules");
    for (index, rule) in items(&spec["rules"]) {
        let path = rules.index(index);
        let host = text(rule, "host");
        if !host.is_empty() {
            host_name(errors, host, &path.field("host"));
        }
        if given(rule, "http") {
            let path = path.field("http");
            let path = path.field("paths");
            if is_empty(&rule["http"]["paths"]) {
                errors.required(&path, "");
            }
            for (index, rule) in items(&rule["http"]["paths"]) {
                http_path(errors, rule, &path.index(index));
            }
        }
    }
    let tls = path.field("tls");
    for (index, entry) in items(&spec["tls"]) {
        let path = tls.index(index);
        let hosts = path.field("hosts");
        for (index, host) in items(&entry["hosts"]) {
            let host = host.as_str().unwrap_or_default();
            errors.broken(&hosts.index(index), host, &host_rules(host));
        }
    }
    let class = text(spec, "ingressClassName");
    if !class.is_empty() {
        errors.broken(&path.field("ingressClassName"), class, &format::dns_subdomain(class));
    }
}

fn host_name(errors: &mut Errors, host: &str, path: &Path<'_>) {
    if format::ip(host).is_empty() {
        errors.invalid(path, host, "must be a DNS name, not an IP address");
    }
    errors.broken(path, host, &host_rules(host));
}

fn host_rules(host: &str) -> Vec<String> {
    if host.contains('*') { format::wildcard_subdomain(host) } else { format::dns_subdomain(host) }
}

/// `validateHTTPIngressPath`.
fn http_path(errors: &mut Errors, rule: &Value, path: &Path<'_>) {
    let given = text(rule, "path");
    let at = path.field("path");
    match text(rule, "pathType") {
        "" => {
            errors.required(&path.field("pathType"), "pathType must be specified");
            return;
        }
        "Exact" | "Prefix" => {
            if !given.starts_with('/') {
                errors.invalid(&at, given, "must be an absolute path");
            }
            for part in ["//", "/./", "/../", "%2f", "%2F"].iter().filter(|part| given.contains(**part)) {
                errors.invalid(&at, given, &format!("must not contain '{part}'"));
            }
            for end in ["/..", "/."].iter().filter(|end| given.ends_with(**end)) {
                errors.invalid(&at, given, &format!("cannot end with '{end}'"));
            }
        }
        "ImplementationSpecific" if !given.is_empty() && !given.starts_with('/') => {
            errors.invalid(&at, given, "must be an absolute path");
        }
        "ImplementationSpecific" => {}
        kind => errors.unsupported(&path.field("pathType"), kind, PATH_TYPES),
    }
    backend(errors, &rule["backend"], &path.field("backend"));
}

/// `validateIngressBackend`.
fn backend(errors: &mut Errors, backend: &Value, path: &Path<'_>) {
    match (given(backend, "service"), given(backend, "resource")) {
        (true, true) => errors.invalid(path, "", "cannot set both resource and service backends"),
        (false, true) => {}
        (false, false) => errors.invalid(path, "", "resource or service backend is required"),
        (true, false) => {
            let service = &backend["service"];
            let at = path.field("service");
            match text(service, "name") {
                "" => errors.required(&at.field("name"), ""),
                name => errors.broken(&at.field("name"), name, &format::dns_1035_label(name)),
            }
            let (name, number) = (text(&service["port"], "name"), number(&service["port"], "number"));
            let at = at.field("port");
            match (name, number) {
                ("", 0) => errors.required(path, "port name or number is required"),
                ("", number) => errors.broken(&at.field("number"), number, &format::port_number(number)),
                (name, 0) => errors.broken(&at.field("name"), name, &format::port_name(name)),
                _ => errors.invalid(path, "", "cannot set both port name & port number"),
            }
        }
    }
}

/// `ValidateNetworkPolicySpec`.
pub(super) fn policy(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    selector(errors, &spec["podSelector"], &path.field("podSelector"));
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        let rules = path.field(direction);
        for (index, rule) in items(&spec[direction]) {
            let path = rules.index(index);
            let ports = path.field("ports");
            for (index, port) in items(&rule["ports"]) {
                policy_port(errors, port, &ports.index(index));
            }
            let list = path.field(peers);
            for (index, peer) in items(&rule[peers]) {
                policy_peer(errors, peer, &list.index(index));
            }
        }
    }
    let types = path.field("policyTypes");
    if items(&spec["policyTypes"]).count() > 2 {
        errors.invalid(&types, &spec["policyTypes"], "may not specify more than two policyTypes");
        return;
    }
    for (index, kind) in items(&spec["policyTypes"]) {
        let kind = kind.as_str().unwrap_or_default();
        if !["Egress", "Ingress"].contains(&kind) {
            errors.unsupported(&types.index(index), kind, &["Egress", "Ingress"]);
        }
    }
}

fn policy_port(errors: &mut Errors, port: &Value, path: &Path<'_>) {
    let protocol = text(port, "protocol");
    if !protocol.is_empty() && !["SCTP", "TCP", "UDP"].contains(&protocol) {
        errors.unsupported(&path.field("protocol"), protocol, &["SCTP", "TCP", "UDP"]);
    }
    if given(port, "port") {
        port_or_name(errors, &port["port"], &path.field("port"));
        let end = number(port, "endPort");
        if given(port, "endPort") && end < number(port, "port") {
            errors.invalid(&path.field("endPort"), end, "must be greater than or equal to `port`");
        }
    } else if given(port, "endPort") {
        errors.required(&path.field("port"), "must be specified when `endPort` is specified");
    }
}

fn policy_peer(errors: &mut Errors, peer: &Value, path: &Path<'_>) {
    let by_label = ["podSelector", "namespaceSelector"];
    let labelled = by_label.iter().any(|field| given(peer, field));
    for field in by_label {
        selector(errors, &peer[field], &path.field(field));
    }
    if given(peer, "ipBlock") {
        let block = path.field("ipBlock");
        match text(&peer["ipBlock"], "cidr") {
            "" => errors.required(&block.field("cidr"), ""),
            range => errors.broken(&block.field("cidr"), range, &format::cidr(range)),
        }
        if labelled {
            errors.forbidden(path, "may not specify both ipBlock and another peer");
        }
    } else if !labelled {
        errors.required(path, "must specify a peer");
    }
}
