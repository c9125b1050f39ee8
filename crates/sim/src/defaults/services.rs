//! Services and what stands behind them: `core/v1` and `discovery/v1`.

use serde_json::{Value, json};

use super::fill::{Fields, absent, text, zero};

/// `DefaultClientIPServiceAffinitySeconds`: three hours.
const AFFINITY_SECONDS: i32 = 10_800;

pub(super) fn fill(ty: &str, fields: &mut Fields) {
    match ty {
        "v1.ServiceSpec" => spec(fields),
        "v1.ServicePort" => {
            zero(fields, "protocol", "TCP");
            if let Some(port) = fields.get("port").cloned() {
                zero(fields, "targetPort", port);
            }
        }
        "v1.EndpointPort" => {
            // Ports of `Endpoints` have no name by default, those of an EndpointSlice the empty one.
            zero(fields, "protocol", "TCP");
        }
        "v1.EndpointSlice" => {
            for port in fields.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(port) = port.as_object_mut() {
                    absent(port, "name", "");
                    absent(port, "protocol", "TCP");
                }
            }
        }
        _ => {}
    }
}

/// `SetDefaults_Service`.
fn spec(fields: &mut Fields) {
    zero(fields, "sessionAffinity", "None");
    match text(fields, "sessionAffinity") {
        "None" => {
            fields.remove("sessionAffinityConfig");
        }
        "ClientIP" => {
            let config = fields.get("sessionAffinityConfig").unwrap_or(&Value::Null);
            if config["clientIP"]["timeoutSeconds"].is_null() {
                let config = json!({ "clientIP": { "timeoutSeconds": AFFINITY_SECONDS } });
                fields.insert("sessionAffinityConfig".to_owned(), config);
            }
        }
        _ => {}
    }
    zero(fields, "type", "ClusterIP");
    let kind = text(fields, "type").to_owned();
    let has_external_ips =
        fields.get("externalIPs").and_then(Value::as_array).is_some_and(|ips| !ips.is_empty());
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") || kind == "ClusterIP" && has_external_ips {
        zero(fields, "externalTrafficPolicy", "Cluster");
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer" | "ClusterIP") {
        absent(fields, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        absent(fields, "allocateLoadBalancerNodePorts", true);
    }
}
