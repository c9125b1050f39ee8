//! Ingresses and network policies: `pkg/apis/networking/v1/defaults.go`.

use serde_json::{Value, json};

use super::fill::{Fields, absent, is_zero, zero};

pub(super) fn fill(ty: &str, fields: &mut Fields) {
    match ty {
        "v1.IngressClassParametersReference" => absent(fields, "scope", "Cluster"),
        "v1.NetworkPolicySpec" => {
            let mut types = vec![Value::from("Ingress")];
            if !is_zero(fields.get("egress")) {
                types.push("Egress".into());
            }
            zero(fields, "policyTypes", json!(types));
        }
        "v1.NetworkPolicyPort" => absent(fields, "protocol", "TCP"),
        _ => {}
    }
}
