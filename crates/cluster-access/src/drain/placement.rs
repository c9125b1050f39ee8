//! Whether another node would take a pod: by labels, taints and the places of its volumes. Room is not counted: a cluster
//! that grows by itself makes some.

use k8s_openapi::api::core::v1::{
    Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PersistentVolume, Pod, PodSpec, Taint,
    Toleration,
};

use super::node::{is_cordoned, is_ready};

/// A node as a scheduler sees it, and nothing else of it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) name: String,
    labels: std::collections::BTreeMap<String, String>,
    taints: Vec<Taint>,
    pub(super) is_ready: bool,
    is_cordoned: bool,
}

impl Place {
    pub(super) fn of(node: Node) -> Self {
        let (is_ready, is_cordoned) = (is_ready(&node), is_cordoned(&node));
        Self {
            name: node.metadata.name.unwrap_or_default(),
            labels: node.metadata.labels.unwrap_or_default(),
            taints: node.spec.and_then(|spec| spec.taints).unwrap_or_default(),
            is_ready,
            is_cordoned,
        }
    }

    /// The same without some of its taints.
    pub(super) fn without_taints(mut self, gone: impl Fn(&Taint) -> bool) -> Self {
        self.taints.retain(|taint| !gone(taint));
        self
    }

    /// Whether it takes the pod, whose volumes are at `volumes`.
    pub(super) fn takes(&self, pod: &PodSpec, volumes: &[&NodeSelector]) -> bool {
        self.is_ready && !self.is_cordoned && self.suits(pod, volumes)
    }

    /// The same if it were ready and not cordoned.
    pub(super) fn suits(&self, pod: &PodSpec, volumes: &[&NodeSelector]) -> bool {
        let tolerations = pod.tolerations.as_deref().unwrap_or_default();
        let keeps_off = |taint: &Taint| {
            matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute")
                && !tolerations.iter().any(|toleration| tolerates(toleration, taint))
        };
        let wanted = pod.node_selector.iter().flatten();
        !self.taints.iter().any(keeps_off)
            && wanted.into_iter().all(|(key, value)| self.labels.get(key) == Some(value))
            && affinity(pod).into_iter().chain(volumes.iter().copied()).all(|selector| self.is_in(selector))
    }

    fn is_in(&self, selector: &NodeSelector) -> bool {
        selector.node_selector_terms.iter().any(|term| self.meets(term))
    }

    /// A term without requirements selects nothing.
    fn meets(&self, NodeSelectorTerm { match_expressions, match_fields }: &NodeSelectorTerm) -> bool {
        let (labels, fields) =
            (match_expressions.as_deref().unwrap_or_default(), match_fields.as_deref().unwrap_or_default());
        let label = |wanted: &NodeSelectorRequirement| meets(wanted, self.labels.get(&wanted.key));
        // `metadata.name` is the only field that there is.
        let field = |wanted: &NodeSelectorRequirement| meets(wanted, Some(&self.name));
        !(labels.is_empty() && fields.is_empty()) && labels.iter().all(label) && fields.iter().all(field)
    }
}

fn affinity(pod: &PodSpec) -> Option<&NodeSelector> {
    pod.affinity
        .as_ref()?
        .node_affinity
        .as_ref()?
        .required_during_scheduling_ignored_during_execution
        .as_ref()
}

/// <https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#operators>
fn meets(wanted: &NodeSelectorRequirement, value: Option<&String>) -> bool {
    let values = wanted.values.as_deref().unwrap_or_default();
    let compared = |holds: fn(i64, i64) -> bool| {
        let number = |text: &String| text.parse::<i64>().ok();
        value.and_then(number).zip(values.first().and_then(number)).is_some_and(|(is, than)| holds(is, than))
    };
    match wanted.operator.as_str() {
        "In" => value.is_some_and(|value| values.contains(value)),
        "NotIn" => value.is_none_or(|value| !values.contains(value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compared(|is, than| is > than),
        "Lt" => compared(|is, than| is < than),
        _ => false,
    }
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let key = toleration.key.as_deref().unwrap_or_default();
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let is_same = match toleration.operator.as_deref() {
        Some("Exists") => true,
        _ => toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default(),
    };
    (effect.is_empty() || effect == taint.effect)
        && (key.is_empty() && toleration.operator.as_deref() == Some("Exists") || key == taint.key)
        && is_same
}

/// The claims of a pod, which are of its namespace: those that it names, and those that are made for it
/// (<https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/#persistentvolumeclaim-naming>).
pub(super) fn claims(pod: &Pod) -> impl Iterator<Item = String> {
    let own = pod.metadata.name.as_deref().unwrap_or_default();
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(move |volume| match &volume.persistent_volume_claim {
        Some(claim) => Some(claim.claim_name.clone()),
        None => volume.ephemeral.as_ref().map(|_| format!("{own}-{}", volume.name)),
    })
}

/// Where the pod's volumes are, as far as they are somewhere.
pub(super) fn places_of_volumes<'a>(pod: &Pod, volumes: &'a [PersistentVolume]) -> Vec<&'a NodeSelector> {
    let claimed = volumes_of(pod, volumes);
    claimed.filter_map(|volume| volume.spec.as_ref()?.node_affinity.as_ref()?.required.as_ref()).collect()
}

/// The volumes that the pod claims.
pub(super) fn volumes_of<'a>(
    pod: &Pod,
    volumes: &'a [PersistentVolume],
) -> impl Iterator<Item = &'a PersistentVolume> {
    let (namespace, claims) = (pod.metadata.namespace.clone(), claims(pod).collect::<Vec<_>>());
    let is_claimed = move |volume: &&PersistentVolume| {
        let is_bound = volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
        let claim = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
        // One that was released still names its claim.
        is_bound
            && claim.is_some_and(|claim| {
                claim.namespace == namespace && claim.name.as_ref().is_some_and(|name| claims.contains(name))
            })
    };
    volumes.iter().filter(is_claimed)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn place(spec: &Value) -> Place {
        let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
        let labels = json!({"zone": "a", "cores": "8"});
        let node = json!({"metadata": {"name": "n", "labels": labels}, "spec": spec, "status": ready});
        Place::of(serde_json::from_value(node).unwrap())
    }

    fn spec(mut of: Value) -> PodSpec {
        of["containers"] = json!([]);
        serde_json::from_value(of).unwrap()
    }

    fn selector(operator: &str, key: &str, values: &[&str]) -> Value {
        json!({"nodeSelectorTerms": [{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]})
    }

    #[test]
    fn a_node_takes_what_its_labels_and_taints_let_in() {
        let plain = place(&json!({}));
        assert!(plain.takes(&spec(json!({})), &[]));
        assert!(plain.takes(&spec(json!({"nodeSelector": {"zone": "a"}})), &[]));
        assert!(!plain.takes(&spec(json!({"nodeSelector": {"zone": "b"}})), &[]));
        assert!(!place(&json!({"unschedulable": true})).takes(&spec(json!({})), &[]));

        let tainted = place(&json!({"taints": [{"key": "spot", "value": "yes", "effect": "NoSchedule"}]}));
        for (toleration, takes) in [
            (json!([]), false),
            (json!([{"key": "spot", "value": "yes"}]), true),
            (json!([{"key": "spot", "value": "no"}]), false),
            (json!([{"key": "spot", "operator": "Exists", "effect": "NoSchedule"}]), true),
            (json!([{"key": "spot", "operator": "Exists", "effect": "NoExecute"}]), false),
            (json!([{"operator": "Exists"}]), true),
        ] {
            assert_eq!(tainted.takes(&spec(json!({"tolerations": toleration})), &[]), takes, "{toleration}");
        }
        let preferred = place(&json!({"taints": [{"key": "spot", "effect": "PreferNoSchedule"}]}));
        assert!(preferred.takes(&spec(json!({})), &[]));
    }

    #[test]
    fn affinities_of_pods_and_volumes_are_met_or_not() {
        let node = place(&json!({}));
        for (wanted, takes) in [
            (selector("In", "zone", &["a", "b"]), true),
            (selector("In", "zone", &["b"]), false),
            (selector("NotIn", "zone", &["b"]), true),
            (selector("NotIn", "missing", &["b"]), true),
            (selector("Exists", "zone", &[]), true),
            (selector("DoesNotExist", "zone", &[]), false),
            (selector("Gt", "cores", &["4"]), true),
            (selector("Lt", "cores", &["4"]), false),
            (selector("Gt", "zone", &["4"]), false),
            (json!({"nodeSelectorTerms": [{}]}), false),
        ] {
            let affinity =
                json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": wanted}});
            assert_eq!(node.takes(&spec(json!({"affinity": affinity})), &[]), takes, "{wanted}");
            let of_volume: NodeSelector = serde_json::from_value(wanted.clone()).unwrap();
            assert_eq!(node.takes(&spec(json!({})), &[&of_volume]), takes, "{wanted}");
        }
    }
}
