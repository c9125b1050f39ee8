//! Taints of nodes and what pods tolerate of them (`k8s.io/component-helpers/scheduling/corev1`).

use serde_json::Value;

/// `TaintNodeUnschedulable`
pub(crate) const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// `TaintNodeNotReady`
pub(crate) const NOT_READY: &str = "node.kubernetes.io/not-ready";
/// `TaintNodeUnreachable`
pub(crate) const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// The taints of a node.
pub(crate) fn of(node: &Value) -> impl Iterator<Item = &Value> {
    node["spec"]["taints"].as_array().into_iter().flatten()
}

/// Whether the taint keeps new pods away.
pub(crate) fn repels(taint: &Value) -> bool {
    taint["effect"] == "NoSchedule" || taint["effect"] == "NoExecute"
}

/// The tolerations of a pod.
pub(crate) fn tolerations(pod: &Value) -> impl Iterator<Item = &Value> {
    pod["spec"]["tolerations"].as_array().into_iter().flatten()
}

/// Whether a pod tolerates a taint.
pub(crate) fn is_tolerated(pod: &Value, taint: &Value) -> bool {
    tolerations(pod).any(|toleration| tolerates(toleration, taint))
}

/// `ToleratesTaint`
pub(crate) fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let text = |object: &Value, field: &str| object[field].as_str().unwrap_or_default().to_owned();
    let (effect, key) = (text(toleration, "effect"), text(toleration, "key"));
    if !effect.is_empty() && effect != text(taint, "effect") {
        return false;
    }
    if !key.is_empty() && key != text(taint, "key") {
        return false;
    }
    match toleration["operator"].as_str().unwrap_or_default() {
        "" | "Equal" => !key.is_empty() && text(toleration, "value") == text(taint, "value"),
        "Exists" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tolerations_match_key_value_and_effect() {
        let taint = json!({ "key": "a", "value": "b", "effect": "NoSchedule" });
        for (toleration, expected) in [
            (json!({ "operator": "Exists" }), true),
            (json!({ "operator": "Exists", "effect": "NoExecute" }), false),
            (json!({ "key": "a", "operator": "Exists" }), true),
            (json!({ "key": "a", "value": "b" }), true),
            (json!({ "key": "a", "value": "b", "effect": "NoSchedule" }), true),
            (json!({ "key": "a", "value": "c" }), false),
            (json!({ "key": "x", "operator": "Exists" }), false),
            (json!({}), false),
        ] {
            assert_eq!(tolerates(&toleration, &taint), expected, "{toleration}");
        }
    }
}
