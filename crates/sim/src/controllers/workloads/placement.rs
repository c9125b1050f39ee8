//! Which nodes a daemon set's pods may run on (`NodeShouldRunDaemonPod` in `pkg/controller/daemon`).

use serde_json::{Value, json};

use super::fields::{list, text};
use crate::object;
use crate::selector::LabelSelector;

const REQUIRED: &str =
    "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";

/// What every daemon tolerates (`AddOrUpdateDaemonPodTolerations`).
pub(crate) fn default_tolerations(spec: &Value) -> Vec<Value> {
    let mut tolerations = vec![
        ("node.kubernetes.io/not-ready", "NoExecute"),
        ("node.kubernetes.io/unreachable", "NoExecute"),
        ("node.kubernetes.io/disk-pressure", "NoSchedule"),
        ("node.kubernetes.io/memory-pressure", "NoSchedule"),
        ("node.kubernetes.io/pid-pressure", "NoSchedule"),
        ("node.kubernetes.io/unschedulable", "NoSchedule"),
    ];
    if spec["hostNetwork"] == true {
        tolerations.push(("node.kubernetes.io/network-unavailable", "NoSchedule"));
    }
    let tolerations = tolerations.into_iter();
    tolerations.map(|(key, effect)| json!({ "key": key, "operator": "Exists", "effect": effect })).collect()
}

/// Whether a new pod goes to the node, and whether one that is there may stay.
pub(crate) fn should_run(spec: &Value, node: &Value) -> (bool, bool) {
    let name = text(spec, "/nodeName");
    let fits = (name.is_empty() || name == object::name(node)) && selects(spec, node);
    let intolerable = |effects: &[&str]| {
        list(node, "/spec/taints")
            .iter()
            .any(|taint| effects.contains(&text(taint, "/effect")) && !is_tolerated(taint, spec))
    };
    (fits && !intolerable(&["NoSchedule", "NoExecute"]), fits && !intolerable(&["NoExecute"]))
}

/// By node selector and required node affinity.
fn selects(spec: &Value, node: &Value) -> bool {
    let labels = spec["nodeSelector"].as_object().into_iter().flatten();
    let mut labels = labels.map(|(key, value)| node["metadata"]["labels"][key.as_str()] == *value);
    let terms = spec.pointer(REQUIRED).and_then(Value::as_array);
    labels.all(|matches| matches) && terms.is_none_or(|terms| terms.iter().any(|term| matches(term, node)))
}

/// A term without any requirement selects nothing.
fn matches(term: &Value, node: &Value) -> bool {
    let fields = list(term, "/matchFields");
    if fields.is_empty() && list(term, "/matchExpressions").is_empty() {
        return false;
    }
    let name = object::name(node);
    let by_field = fields.iter().all(|field| {
        let named = list(field, "/values").iter().any(|value| value == name);
        field["key"] == "metadata.name" && named == (field["operator"] == "In")
    });
    let expressions = json!({ "matchExpressions": term["matchExpressions"] });
    by_field && LabelSelector::of(&expressions).is_some_and(|selector| selector.matches(node))
}

fn is_tolerated(taint: &Value, spec: &Value) -> bool {
    let own = list(spec, "/tolerations").iter();
    own.chain(&default_tolerations(spec)).any(|toleration| {
        let (key, effect) = (text(toleration, "/key"), text(toleration, "/effect"));
        let by_value = match text(toleration, "/operator") {
            "Exists" => true,
            _ => !key.is_empty() && text(toleration, "/value") == text(taint, "/value"),
        };
        (key.is_empty() || key == text(taint, "/key"))
            && (effect.is_empty() || effect == text(taint, "/effect"))
            && by_value
    })
}

/// Ties a pod to a node by the node's name, whatever other terms say (`ReplaceDaemonSetPodNodeNameNodeAffinity`).
pub(crate) fn tie_to(spec: &mut Value, node: &str) {
    let path =
        ["affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"];
    let field = json!({ "key": "metadata.name", "operator": "In", "values": [node] });
    super::fields::set(spec, &path, json!([{ "matchFields": [field] }]));
}

/// The node that a pod runs on or is tied to (`GetTargetNodeName`).
pub(crate) fn node_of(pod: &Value) -> Option<&str> {
    let assigned = text(pod, "/spec/nodeName");
    if !assigned.is_empty() {
        return Some(assigned);
    }
    let terms = list(&pod["spec"], REQUIRED).iter();
    let mut fields = terms.flat_map(|term| list(term, "/matchFields"));
    fields.find(|field| field["key"] == "metadata.name")?["values"][0].as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_and_taints_decide() {
        let node = json!({
            "metadata": { "name": "n", "labels": { "disk": "ssd" } },
            "spec": { "taints": [{ "key": "a", "effect": "NoSchedule" }] },
        });
        let tolerant = json!([{ "key": "a", "operator": "Exists" }]);
        for (spec, expected) in [
            (json!({}), (false, true)),
            (json!({ "tolerations": tolerant }), (true, true)),
            (json!({ "tolerations": tolerant, "nodeSelector": { "disk": "hdd" } }), (false, false)),
            (json!({ "tolerations": tolerant, "nodeName": "other" }), (false, false)),
        ] {
            assert_eq!(should_run(&spec, &node), expected, "{spec}");
        }
        let mut tied = json!({ "tolerations": tolerant });
        tie_to(&mut tied, "other");
        assert_eq!(should_run(&tied, &node), (false, false));
        assert_eq!(node_of(&json!({ "spec": tied })), Some("other"));
    }
}
