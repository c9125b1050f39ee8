//! Pods that want to be near others, or far from them (`pkg/scheduler/framework/plugins/interpodaffinity`). Only what
//! is required counts here.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::cache::Cache;
use super::verdict::Misfit;
use crate::kinds::NAMESPACES;
use crate::object;
use crate::selector::LabelSelector;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";

/// What the pods of the cluster mean for one that looks for a node.
#[derive(Default)]
pub(super) struct PodAffinity {
    /// For each term of the pod's affinity: its key, and the places where pods are that it wants. `None` where there
    /// are none anywhere and the pod itself would be the first.
    near: Vec<(String, Option<BTreeSet<String>>)>,
    /// The places that the pod keeps away from, by key.
    far: BTreeSet<(String, String)>,
    /// The places that other pods keep it away from, by key.
    repelled: BTreeSet<(String, String)>,
}

/// One term, of a pod in a namespace.
struct Term {
    key: String,
    labels: Option<LabelSelector>,
    namespaces: BTreeSet<String>,
    namespace_selector: Option<LabelSelector>,
}

impl PodAffinity {
    pub(super) fn of(pod: &Value, cache: &Cache, api: &crate::api::Api) -> PodAffinity {
        let mut affinity = PodAffinity::default();
        let (wanted, unwanted) = (Term::all(pod, "podAffinity"), Term::all(pod, "podAntiAffinity"));
        let mut near = vec![BTreeSet::new(); wanted.len()];
        if !wanted.is_empty() || !unwanted.is_empty() {
            for (name, node) in &cache.nodes {
                for other in cache.pods_on(name) {
                    for (term, places) in wanted.iter().zip(&mut near) {
                        places.extend(term.place(&node.object).filter(|_| term.matches(other, api)));
                    }
                    for term in &unwanted {
                        let place = term.place(&node.object).filter(|_| term.matches(other, api));
                        affinity.far.extend(place.map(|place| (term.key.clone(), place)));
                    }
                }
            }
        }
        // The first of pods that want each other finds none yet.
        let is_first =
            near.iter().all(BTreeSet::is_empty) && wanted.iter().all(|term| term.matches(pod, api));
        let near = near.into_iter().map(|places| (!is_first).then_some(places));
        affinity.near = wanted.into_iter().map(|term| term.key).zip(near).collect();
        for other in cache.repelling.values() {
            let Some(node) = cache.node_of(other) else { continue };
            for term in Term::all(other, "podAntiAffinity") {
                let place = term.place(&node.object).filter(|_| term.matches(pod, api));
                affinity.repelled.extend(place.map(|place| (term.key, place)));
            }
        }
        affinity
    }

    pub(super) fn check(&self, node: &Value) -> Result<(), Misfit> {
        let is_in = |places: &BTreeSet<(String, String)>| {
            places.iter().any(|(key, place)| label(node, key) == Some(place.as_str()))
        };
        let is_near = self.near.iter().all(|(key, places)| {
            label(node, key).is_some_and(|label| places.as_ref().is_none_or(|places| places.contains(label)))
        });
        if !is_near {
            return Err(Misfit::lasting("node(s) didn't match pod affinity rules"));
        }
        if is_in(&self.far) {
            return Err(Misfit::passing("node(s) didn't match pod anti-affinity rules"));
        }
        if is_in(&self.repelled) {
            return Err(Misfit::passing("node(s) didn't satisfy existing pods anti-affinity rules"));
        }
        Ok(())
    }
}

impl Term {
    fn all(pod: &Value, affinity: &str) -> Vec<Term> {
        let terms = pod["spec"]["affinity"][affinity][REQUIRED].as_array().into_iter().flatten();
        terms.map(|term| Term::of(pod, term)).collect()
    }

    fn of(pod: &Value, term: &Value) -> Term {
        let listed = term["namespaces"].as_array().into_iter().flatten();
        let mut namespaces: BTreeSet<String> = listed.filter_map(Value::as_str).map(str::to_owned).collect();
        let namespace_selector = LabelSelector::of(&term["namespaceSelector"]);
        if namespaces.is_empty() && namespace_selector.is_none() {
            namespaces.insert(object::namespace(pod).to_owned());
        }
        Term {
            key: term["topologyKey"].as_str().unwrap_or_default().to_owned(),
            labels: LabelSelector::of(&term["labelSelector"]),
            namespaces,
            namespace_selector,
        }
    }

    /// Where a node is, as this term tells places apart.
    fn place(&self, node: &Value) -> Option<String> {
        label(node, &self.key).map(str::to_owned)
    }

    fn matches(&self, pod: &Value, api: &crate::api::Api) -> bool {
        let namespace = object::namespace(pod);
        self.labels.as_ref().is_some_and(|labels| labels.matches(pod))
            && (self.namespaces.contains(namespace) || self.selects_namespace(namespace, api))
    }

    fn selects_namespace(&self, name: &str, api: &crate::api::Api) -> bool {
        self.namespace_selector.as_ref().is_some_and(|selector| {
            selector.is_empty()
                || api.get(NAMESPACES, "", name).is_ok_and(|namespace| selector.matches(&namespace))
        })
    }
}

/// The label of a node.
pub(super) fn label<'a>(node: &'a Value, key: &str) -> Option<&'a str> {
    node["metadata"]["labels"][key].as_str()
}

/// Whether it depends on other pods where a pod can go.
pub(super) fn looks_at_pods(pod: &Value) -> bool {
    let affinity = &pod["spec"]["affinity"];
    let is_set = |value: &Value| *value != json!(null);
    is_set(&affinity["podAffinity"])
        || is_set(&affinity["podAntiAffinity"])
        || is_set(&pod["spec"]["topologySpreadConstraints"])
}
