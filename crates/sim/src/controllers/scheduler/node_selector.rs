//! Which nodes a pod wants, by their labels and names (`GetRequiredNodeAffinity` of `k8s.io/component-helpers`).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::object;
use crate::selector::LabelSelector;

/// What is required of a node.
pub(super) struct NodeSelector {
    labels: LabelSelector,
    /// One of these must hold; absent where nothing more is required.
    terms: Option<Vec<Term>>,
}

/// What is preferred, with its weight.
pub(super) struct Preference {
    term: Term,
    pub(super) weight: i64,
}

struct Term {
    /// Absent where the term cannot be read, or says nothing: it matches no node.
    labels: Option<LabelSelector>,
    /// Names that the node must have, or must not have.
    names: Vec<(bool, BTreeSet<String>)>,
}

impl NodeSelector {
    pub(super) fn of(pod: &Value) -> NodeSelector {
        let labels = json!({ "matchLabels": pod["spec"]["nodeSelector"] });
        let required =
            &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        let terms = |terms: &Vec<Value>| terms.iter().map(Term::of).collect();
        NodeSelector {
            labels: LabelSelector::of(&labels).unwrap_or_default(),
            terms: required["nodeSelectorTerms"].as_array().map(terms),
        }
    }

    /// The terms of a volume's `nodeAffinity.required`.
    pub(super) fn of_terms(required: &Value) -> NodeSelector {
        let terms = required["nodeSelectorTerms"].as_array();
        NodeSelector {
            labels: LabelSelector::default(),
            terms: terms.map(|terms| terms.iter().map(Term::of).collect()),
        }
    }

    pub(super) fn matches(&self, node: &Value) -> bool {
        self.labels.matches(node)
            && self.terms.as_ref().is_none_or(|terms| terms.iter().any(|term| term.matches(node)))
    }

    /// The only nodes that can match, where all terms name some (`PreFilter` of the plugin `NodeAffinity`).
    pub(super) fn names(&self) -> Option<BTreeSet<&str>> {
        let mut all = BTreeSet::new();
        for term in self.terms.as_ref()? {
            let (_, names) = term.names.iter().find(|(wanted, _)| *wanted)?;
            all.extend(names.iter().map(String::as_str));
        }
        Some(all)
    }
}

impl Preference {
    pub(super) fn of_pod(pod: &Value) -> Vec<Preference> {
        let preferred =
            &pod["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"];
        let preferred = preferred.as_array().into_iter().flatten();
        preferred
            .map(|preferred| Preference {
                term: Term::of(&preferred["preference"]),
                weight: preferred["weight"].as_i64().unwrap_or_default(),
            })
            .collect()
    }

    pub(super) fn matches(&self, node: &Value) -> bool {
        self.term.matches(node)
    }
}

impl Term {
    fn of(term: &Value) -> Term {
        let listed = |field: &str| term[field].as_array().filter(|list| !list.is_empty());
        let fields = listed("matchFields");
        let labels = match (listed("matchExpressions"), fields) {
            (None, None) => None,
            (expressions, _) => LabelSelector::of(&json!({ "matchExpressions": expressions })),
        };
        let mut names = Vec::new();
        for field in fields.into_iter().flatten() {
            let values = field["values"].as_array().into_iter().flatten();
            let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
            // `metadata.name` with `In` and `NotIn` is all that fields know.
            names.push((field["operator"] == "In", values));
        }
        Term { labels, names }
    }

    fn matches(&self, node: &Value) -> bool {
        let name = object::name(node);
        self.labels.as_ref().is_some_and(|labels| labels.matches(node))
            && self.names.iter().all(|(wanted, names)| names.contains(name) == *wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_term_must_hold_and_an_empty_one_never_does() {
        let node = json!({ "metadata": { "name": "a", "labels": { "zone": "1", "size": "7" } } });
        let matches = |terms: Value| {
            let required =
                json!({ "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms } });
            let pod = json!({ "spec": { "affinity": { "nodeAffinity": required } } });
            NodeSelector::of(&pod).matches(&node)
        };
        let zone = |zone: &str| json!({ "key": "zone", "operator": "In", "values": [zone] });
        assert!(matches(json!([{ "matchExpressions": [zone("2")] }, { "matchExpressions": [zone("1")] }])));
        assert!(!matches(json!([{ "matchExpressions": [zone("2"), zone("1")] }])));
        assert!(!matches(json!([{}])));
        assert!(matches(
            json!([{ "matchExpressions": [{ "key": "size", "operator": "Gt", "values": ["6"] }] }])
        ));
        let name = |name: &str| json!({ "key": "metadata.name", "operator": "In", "values": [name] });
        assert!(matches(json!([{ "matchFields": [name("a")] }])));
        assert!(!matches(json!([{ "matchFields": [name("b")] }])));
        let selected = json!({ "spec": { "nodeSelector": { "zone": "2" } } });
        assert!(!NodeSelector::of(&selected).matches(&node));
    }
}
