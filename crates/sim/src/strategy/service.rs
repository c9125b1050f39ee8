//! What a service was given, and what it loses with its type (`patchAllocatedValues` and `dropTypeDependentFields` of
//! `pkg/registry/core/service`).

use std::collections::BTreeSet;

use serde_json::Value;

use super::{put, set};

const CLUSTER_FIELDS: &[&str] = &["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"];

/// Prepares the replacement of `old`.
pub(super) fn update(new: &mut Value, old: &Value) {
    keep_allocated(new, old);
    drop_type_dependent(new, old);
}

/// What both need, the service keeps, although clients leave it out.
fn keep_allocated(new: &mut Value, old: &Value) {
    if needs_cluster_ip(old) && needs_cluster_ip(new) {
        for field in CLUSTER_FIELDS {
            if new["spec"][field].is_null() || new["spec"][field] == "" {
                put(new, "spec", field, old["spec"][field].clone());
            }
        }
    }
    if !needs_node_port(old) || !needs_node_port(new) {
        return;
    }
    let mut used: BTreeSet<i64> = node_ports(old).intersection(&node_ports(new)).copied().collect();
    for port in ports_mut(new) {
        let same = |other: &&Value| other["name"] == port["name"];
        let given = ports(old).find(same).and_then(|other| other["nodePort"].as_i64());
        if let Some(given) = given.filter(|_| port["nodePort"].as_i64().unwrap_or_default() == 0)
            && used.insert(given)
        {
            set(port, "nodePort", given.into());
        }
    }
}

/// What the new type has no use for goes, unless the client has just set it.
fn drop_type_dependent(new: &mut Value, old: &Value) {
    let is_balanced = |service: &Value| type_of(service) == "LoadBalancer";
    let lost = |needs: fn(&Value) -> bool, new: &Value| needs(old) && !needs(new);
    let mut fields: Vec<&str> = Vec::new();
    if lost(needs_cluster_ip, new) {
        fields.extend(CLUSTER_FIELDS);
    }
    if lost(is_accessible, new) {
        fields.push("externalTrafficPolicy");
    }
    if is_balanced(old) && !is_balanced(new) {
        fields.extend(["allocateLoadBalancerNodePorts", "loadBalancerClass"]);
    }
    if lost(needs_health_check, new) {
        fields.push("healthCheckNodePort");
    }
    for field in fields {
        if new["spec"][field] == old["spec"][field] {
            put(new, "spec", field, Value::Null);
        }
    }
    if lost(needs_node_port, new) && node_ports(new).is_subset(&node_ports(old)) {
        ports_mut(new).for_each(|port| set(port, "nodePort", Value::Null));
    }
}

fn type_of(service: &Value) -> &str {
    service["spec"]["type"].as_str().unwrap_or_default()
}

fn needs_cluster_ip(service: &Value) -> bool {
    matches!(type_of(service), "ClusterIP" | "NodePort" | "LoadBalancer")
}

fn needs_node_port(service: &Value) -> bool {
    match type_of(service) {
        "NodePort" => true,
        "LoadBalancer" => service["spec"]["allocateLoadBalancerNodePorts"] != false,
        _ => false,
    }
}

/// `ExternallyAccessible`
fn is_accessible(service: &Value) -> bool {
    let has_addresses = || service["spec"]["externalIPs"].as_array().is_some_and(|list| !list.is_empty());
    matches!(type_of(service), "NodePort" | "LoadBalancer")
        || type_of(service) == "ClusterIP" && has_addresses()
}

fn needs_health_check(service: &Value) -> bool {
    type_of(service) == "LoadBalancer" && service["spec"]["externalTrafficPolicy"] == "Local"
}

fn ports(service: &Value) -> impl Iterator<Item = &Value> {
    service["spec"]["ports"].as_array().into_iter().flatten()
}

fn ports_mut(service: &mut Value) -> impl Iterator<Item = &mut Value> {
    let ports = service.get_mut("spec").and_then(|spec| spec.get_mut("ports")).and_then(Value::as_array_mut);
    ports.into_iter().flatten()
}

fn node_ports(service: &Value) -> BTreeSet<i64> {
    ports(service).filter_map(|port| port["nodePort"].as_i64()).filter(|port| *port != 0).collect()
}
