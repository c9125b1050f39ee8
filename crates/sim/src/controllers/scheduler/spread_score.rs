//! How evenly pods would be spread with one more on a node
//! (`pkg/scheduler/framework/plugins/podtopologyspread/scoring.go`): by the pod's own constraints with
//! `ScheduleAnyway`, or by the scheduler's for all pods that have no constraints.

use serde_json::{Value, json};

use super::cache::{Cache, Node};
use super::pod_affinity::label;
use super::spread::Constraint;
use crate::api::Api;
use crate::controllers::workloads::controller_of;
use crate::kinds;
use crate::object;
use crate::selector::LabelSelector;

/// `systemDefaultConstraints`: by key, how uneven it may be before it counts more.
const DEFAULT_CONSTRAINTS: [(&str, u8); 2] =
    [("kubernetes.io/hostname", 3), ("topology.kubernetes.io/zone", 5)];
/// Twice the greatest score of one plugin, as this plugin has the weight two.
const GREATEST: i128 = 2 * 10_000;

/// What a pod's constraints make of the nodes that it can go to.
pub(super) struct SpreadScore {
    constraints: Vec<Constraint>,
    /// Whether nodes that lack a label of the constraints are the worst.
    needs_labels: bool,
    least: i128,
    most: i128,
}

impl SpreadScore {
    pub(super) fn of(pod: &Value, fitting: &[(&String, &Node)], cache: &Cache, api: &Api) -> SpreadScore {
        let own = pod["spec"]["topologySpreadConstraints"].as_array().filter(|own| !own.is_empty());
        let constraints = match own {
            // There is no choice.
            _ if fitting.len() < 2 => Vec::new(),
            Some(own) => {
                own.iter().filter(|one| one["whenUnsatisfiable"] == "ScheduleAnyway").cloned().collect()
            }
            None => default_constraints(pod, api),
        };
        let keys = constraints.iter().filter_map(|constraint| constraint["topologyKey"].as_str());
        let keys: Vec<&str> = keys.filter(|_| own.is_some()).collect();
        let constraints =
            constraints.iter().map(|constraint| Constraint::of(constraint, &keys, pod, cache)).collect();
        let mut score = SpreadScore { constraints, needs_labels: own.is_some(), least: 0, most: 0 };
        let costs = || fitting.iter().filter_map(|(_, node)| score.cost(&node.object));
        (score.least, score.most) = (costs().min().unwrap_or_default(), costs().max().unwrap_or_default());
        score
    }

    /// How good a node is (`NormalizeScore`).
    pub(super) fn of_node(&self, node: &Value) -> i128 {
        match self.cost(node) {
            Some(_) if self.most == 0 => GREATEST,
            Some(cost) => GREATEST * (self.most + self.least - cost) / self.most,
            None => 0,
        }
    }

    /// How many matching pods there are where a node is; each constraint weighs the more, the more places it tells
    /// apart (`scoreForCount` and `topologyNormalizingWeight`).
    #[expect(clippy::cast_possible_truncation, reason = "pods times a logarithm")]
    fn cost(&self, node: &Value) -> Option<i128> {
        let mut sum = 0.0;
        for constraint in &self.constraints {
            let Some(place) = label(node, &constraint.key) else {
                if self.needs_labels {
                    return None;
                }
                continue;
            };
            let count = constraint.counts.get(place).copied().unwrap_or_default();
            let weight = (constraint.counts.len() as f64 + 2.0).ln();
            sum += count as f64 * weight + (constraint.max_skew - 1) as f64;
        }
        Some(sum.round() as i128)
    }
}

/// The scheduler's constraints for a pod without any (`buildDefaultConstraints`); none where nothing selects the pod.
fn default_constraints(pod: &Value, api: &Api) -> Vec<Value> {
    let selector = default_selector(pod, api);
    if LabelSelector::of(&selector).is_none_or(|selector| selector.is_empty()) {
        return Vec::new();
    }
    let constraint =
        |(key, max_skew)| json!({ "topologyKey": key, "maxSkew": max_skew, "labelSelector": selector });
    DEFAULT_CONSTRAINTS.map(constraint).into()
}

/// What selects the pod: its services and its controller together (`DefaultSelector` of
/// `pkg/scheduler/framework/plugins/helper/spread.go`). All of them match the pod, so none contradicts another.
fn default_selector(pod: &Value, api: &Api) -> Value {
    let namespace = object::namespace(pod);
    let services = kinds::by_plural("services").map(|kind| api.objects(kind, Some(namespace)));
    let mut selector = json!({ "matchLabels": {} });
    for service in services.into_iter().flatten() {
        let labels = json!({ "matchLabels": service["spec"]["selector"] });
        if LabelSelector::of(&labels).is_some_and(|labels| !labels.is_empty() && labels.matches(pod)) {
            json_patch::merge(&mut selector, &labels);
        }
    }
    let Some(owner) = controller_of(pod) else { return selector };
    let plural = match owner["kind"].as_str() {
        Some("ReplicationController") => "replicationcontrollers",
        Some("ReplicaSet") => "replicasets",
        Some("StatefulSet") => "statefulsets",
        Some(_) | None => return selector,
    };
    let name = owner["name"].as_str().unwrap_or_default();
    if let Some(Ok(owner)) = kinds::by_plural(plural).map(|kind| api.get(kind, namespace, name)) {
        match plural {
            "replicationcontrollers" => {
                json_patch::merge(&mut selector["matchLabels"], &owner["spec"]["selector"]);
            }
            _ => json_patch::merge(&mut selector, &owner["spec"]["selector"]),
        }
    }
    selector
}
