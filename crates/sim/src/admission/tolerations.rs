//! `DefaultTolerationSeconds` and `TaintNodesByCondition`: pods stay for a while on a node that is lost, and none
//! goes to a node that is not ready yet.

use serde_json::{Value, json};

use super::list;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// `default-not-ready-toleration-seconds` and its like.
const SECONDS: i32 = 300;

/// Lets a pod stay for a while on a node that is lost.
pub(crate) fn pod(pod: &mut Value) {
    let Some(tolerations) = list(pod, "spec", "tolerations") else { return };
    for key in [NOT_READY, UNREACHABLE] {
        let tolerated = tolerations.iter().any(|toleration| {
            let has = |field: &str, value: &str| {
                let given = toleration[field].as_str().unwrap_or_default();
                given.is_empty() || given == value
            };
            has("key", key) && has("effect", "NoExecute")
        });
        if !tolerated {
            tolerations.push(json!({
                "key": key,
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": SECONDS,
            }));
        }
    }
}

pub(super) fn node(node: &mut Value) {
    let Some(taints) = list(node, "spec", "taints") else { return };
    let taint = json!({ "key": NOT_READY, "effect": "NoSchedule" });
    if !taints.iter().any(|present| present["key"] == taint["key"] && present["effect"] == taint["effect"]) {
        taints.push(taint);
    }
}
