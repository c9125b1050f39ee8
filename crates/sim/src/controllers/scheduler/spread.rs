//! Pods that are to be spread evenly (`pkg/scheduler/framework/plugins/podtopologyspread/filtering.go`). Here only
//! constraints with `DoNotSchedule` count, the others give a [score](super::spread_score).

use std::collections::BTreeMap;

use serde_json::Value;

use super::cache::Cache;
use super::node_selector::NodeSelector;
use super::pod_affinity::label;
use super::verdict::Misfit;
use crate::controllers::taints;
use crate::object;
use crate::selector::LabelSelector;

/// The constraints of a pod, with the present state of each.
pub(super) struct Spread(Vec<Constraint>);

/// One constraint, with what it depends on.
pub(super) struct Constraint {
    pub(super) key: String,
    pub(super) max_skew: i64,
    /// Matching pods by place.
    pub(super) counts: BTreeMap<String, i64>,
    /// How many there are at least in each place.
    least: i64,
    /// One, where the pod itself counts.
    own: i64,
}

impl Spread {
    pub(super) fn of(pod: &Value, cache: &Cache) -> Spread {
        let constraints = pod["spec"]["topologySpreadConstraints"].as_array().into_iter().flatten();
        let constraints: Vec<&Value> =
            constraints.filter(|constraint| constraint["whenUnsatisfiable"] == "DoNotSchedule").collect();
        let keys: Vec<&str> =
            constraints.iter().filter_map(|constraint| constraint["topologyKey"].as_str()).collect();
        Spread(constraints.iter().map(|constraint| Constraint::of(constraint, &keys, pod, cache)).collect())
    }

    pub(super) fn check(&self, node: &Value) -> Result<(), Misfit> {
        for constraint in &self.0 {
            let Some(place) = label(node, &constraint.key) else {
                let reason = "node(s) didn't match pod topology spread constraints (missing required label)";
                return Err(Misfit::lasting(reason));
            };
            let count = constraint.counts.get(place).copied().unwrap_or_default();
            if count + constraint.own - constraint.least > constraint.max_skew {
                return Err(Misfit::passing("node(s) didn't match pod topology spread constraints"));
            }
        }
        Ok(())
    }
}

impl Constraint {
    /// Reads a constraint of a pod; nodes without all labels of these `keys` do not count.
    pub(super) fn of(constraint: &Value, keys: &[&str], pod: &Value, cache: &Cache) -> Constraint {
        let key = constraint["topologyKey"].as_str().unwrap_or_default();
        let selector = LabelSelector::of(&constraint["labelSelector"]);
        let same = constraint["matchLabelKeys"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let same: Vec<(&str, &Value)> = same
            .map(|key| (key, &pod["metadata"]["labels"][key]))
            .filter(|(_, value)| value.is_string())
            .collect();
        let matches = |other: &Value| {
            selector.as_ref().is_some_and(|selector| selector.matches(other))
                && same.iter().all(|(key, value)| other["metadata"]["labels"][*key] == **value)
        };
        let wanted = NodeSelector::of(pod);
        let honours_selector = constraint["nodeAffinityPolicy"] != "Ignore";
        let honours_taints = constraint["nodeTaintsPolicy"] == "Honor";
        let namespace = object::namespace(pod);
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        for (name, node) in &cache.nodes {
            let node = &*node.object;
            let is_open =
                || taints::of(node).all(|taint| !taints::repels(taint) || taints::is_tolerated(pod, taint));
            if !keys.iter().all(|key| label(node, key).is_some())
                || (honours_selector && !wanted.matches(node))
                || (honours_taints && !is_open())
            {
                continue;
            }
            let Some(place) = label(node, key) else { continue };
            let pods = cache.pods_in(namespace, name);
            let pods = pods.filter(|other| !object::is_terminating(other) && matches(other));
            *counts.entry(place.to_owned()).or_default() += i64::try_from(pods.count()).unwrap_or(i64::MAX);
        }
        let places = i64::try_from(counts.len()).unwrap_or(i64::MAX);
        let is_few = constraint["minDomains"].as_i64().is_some_and(|least| places < least);
        let least = if is_few { 0 } else { counts.values().copied().min().unwrap_or_default() };
        Constraint {
            key: key.to_owned(),
            max_skew: constraint["maxSkew"].as_i64().unwrap_or(1),
            counts,
            least,
            own: i64::from(matches(pod)),
        }
    }
}
