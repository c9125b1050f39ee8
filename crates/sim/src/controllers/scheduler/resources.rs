//! What pods ask for and nodes have.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::schema::Quantity;

/// Amounts by the name of the resource, in thousandths.
pub(super) type Resources = BTreeMap<String, i128>;

/// A list such as `resources.requests` or `status.allocatable`.
pub(super) fn of(list: &Value) -> Resources {
    let list = list.as_object().into_iter().flatten();
    list.map(|(name, amount)| (name.clone(), Quantity::of(amount).milli())).collect()
}

pub(super) fn add(sum: &mut Resources, other: &Resources) {
    for (name, amount) in other {
        let total = sum.entry(name.clone()).or_default();
        *total = total.saturating_add(*amount);
    }
}

pub(super) fn subtract(sum: &mut Resources, other: &Resources) {
    for (name, amount) in other {
        let total = sum.entry(name.clone()).or_default();
        *total = total.saturating_sub(*amount);
    }
}

fn at_least(most: &mut Resources, other: &Resources) {
    for (name, amount) in other {
        let present = most.entry(name.clone()).or_default();
        *present = (*present).max(*amount);
    }
}

/// What a pod asks of its node: `PodRequests` of `k8s.io/component-helpers/resource`.
pub(super) fn requests(pod: &Value) -> Resources {
    let spec = &pod["spec"];
    let containers = |field: &str| spec[field].as_array().into_iter().flatten();
    let mut sum = Resources::new();
    for container in containers("containers") {
        add(&mut sum, &of(&container["resources"]["requests"]));
    }
    // Init containers run one after the other, beside the sidecars that came before them.
    let (mut sidecars, mut most) = (Resources::new(), Resources::new());
    for container in containers("initContainers") {
        let own = of(&container["resources"]["requests"]);
        if container["restartPolicy"] == "Always" {
            add(&mut sidecars, &own);
            at_least(&mut most, &sidecars);
        } else {
            let mut together = sidecars.clone();
            add(&mut together, &own);
            at_least(&mut most, &together);
        }
    }
    add(&mut sum, &sidecars);
    at_least(&mut sum, &most);
    // What is asked for the pod as a whole counts instead (KEP-2837).
    sum.extend(of(&spec["resources"]["requests"]));
    add(&mut sum, &of(&spec["overhead"]));
    sum
}

/// An amount for the score: containers that ask for nothing still use something (`GetNonzeroRequests`).
pub(super) fn scored(requests: &Resources, name: &str) -> i128 {
    let least = if name == "cpu" { 100 } else { 200 * 1024 * 1024 * 1000 };
    requests.get(name).copied().filter(|amount| *amount > 0).unwrap_or(least)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn init_containers_count_by_their_greatest_and_sidecars_always() {
        let cpu = |amount: &str| json!({ "requests": { "cpu": amount } });
        let pod = json!({ "spec": {
            "containers": [{ "resources": cpu("1") }, { "resources": cpu("500m") }],
            "initContainers": [
                { "resources": cpu("1600m") },
                { "resources": cpu("200m"), "restartPolicy": "Always" },
                { "resources": cpu("1700m") },
            ],
            "overhead": { "cpu": "10m" },
        } });
        assert_eq!(requests(&pod)["cpu"], 1910);
        assert_eq!(requests(&json!({ "spec": 1 })), Resources::new());
    }
}
