//! The quality of service that a pod gets: `ComputePodQOS` in `pkg/apis/core/v1/helper/qos/qos.go`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::schema::Quantity;

/// Only these resources count.
const COUNTED: [&str; 2] = ["cpu", "memory"];

/// `Guaranteed` where every container limits what counts and requests as much, `BestEffort` where none asks for
/// anything, `Burstable` otherwise.
pub(crate) fn qos_class(spec: &Value) -> &'static str {
    // The pod's own resources decide where it has some (KEP-2837).
    let own = &spec["resources"];
    if !amounts(&own["requests"]).is_empty() || !amounts(&own["limits"]).is_empty() {
        return class([own].into_iter());
    }
    let lists = [&spec["containers"], &spec["initContainers"]];
    class(lists.into_iter().filter_map(Value::as_array).flatten().map(|container| &container["resources"]))
}

fn class<'a>(resources: impl Iterator<Item = &'a Value>) -> &'static str {
    let (mut requests, mut limits) = (BTreeMap::new(), BTreeMap::new());
    let mut all_limited = true;
    for resources in resources {
        for (name, amount) in amounts(&resources["requests"]) {
            *requests.entry(name).or_insert(Quantity::ZERO) += amount;
        }
        let limited = amounts(&resources["limits"]);
        all_limited &= limited.len() == COUNTED.len();
        for (name, amount) in limited {
            *limits.entry(name).or_insert(Quantity::ZERO) += amount;
        }
    }
    if requests.is_empty() && limits.is_empty() {
        return "BestEffort";
    }
    let requested_as_limited = requests.len() == limits.len()
        && requests.iter().all(|(name, amount)| limits.get(name) == Some(amount));
    if all_limited && requested_as_limited { "Guaranteed" } else { "Burstable" }
}

/// The amounts above zero of the resources that count.
fn amounts(list: &Value) -> BTreeMap<&'static str, Quantity> {
    COUNTED
        .into_iter()
        .map(|name| (name, Quantity::of(&list[name])))
        .filter(|(_, amount)| *amount > Quantity::ZERO)
        .collect()
}
