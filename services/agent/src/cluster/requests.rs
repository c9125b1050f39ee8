//! What a pod asks of its node.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container, PodSpec},
    apimachinery::pkg::api::resource::Quantity,
};
use kube_quantity::ParsedQuantity;

/// Processor and memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    /// Thousandths of a processor.
    pub(crate) cpu_millis: u64,
    /// Bytes.
    pub(crate) memory_bytes: u64,
}

impl Amount {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.saturating_add(other.cpu_millis),
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
        }
    }

    /// The larger of each.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.max(other.cpu_millis),
            memory_bytes: self.memory_bytes.max(other.memory_bytes),
        }
    }

    /// What a list of resources says of the two; what cannot be read is nothing.
    pub(crate) fn read(resources: Option<&BTreeMap<String, Quantity>>) -> Self {
        Self::of(|name| Some(resources?.get(name)?.0.as_str()))
    }

    /// The same of a list in which quantities are texts.
    pub(crate) fn written(resources: &BTreeMap<String, String>) -> Self {
        Self::of(|name| resources.get(name).map(String::as_str))
    }

    /// A quantity of bytes; what cannot be read is nothing.
    pub(crate) fn bytes(quantity: Option<&Quantity>) -> u64 {
        let parsed = quantity.and_then(|quantity| ParsedQuantity::try_from(quantity).ok()?.to_bytes_f64());
        whole(parsed.unwrap_or_default())
    }

    fn of<'a>(quantity: impl Fn(&str) -> Option<&'a str>) -> Self {
        let parsed = |name| ParsedQuantity::try_from(quantity(name)?).ok()?.to_bytes_f64();
        Self {
            cpu_millis: whole(parsed("cpu").unwrap_or_default() * 1000.0),
            memory_bytes: whole(parsed("memory").unwrap_or_default()),
        }
    }
}

/// Kubernetes rounds parts of a unit up.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast from f64 saturates")]
fn whole(amount: f64) -> u64 {
    // What is a whole number but for the last bits of a float is that number.
    (amount - 1e-6).ceil().max(0.0) as u64
}

/// What a pod asks of its node, part by part.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodRequests {
    /// Of each container that runs, sidecars among them.
    containers: Vec<(String, Amount)>,
    /// The most that is asked for before they run.
    init: Amount,
    /// What is asked for the pod as a whole, in place of its containers'.
    whole_pod: Amount,
    /// What its sandbox takes besides.
    overhead: Amount,
}

impl PodRequests {
    pub(crate) fn of(spec: &PodSpec) -> Self {
        let asked = |container: &Container| {
            Amount::read(container.resources.as_ref().and_then(|resources| resources.requests.as_ref()))
        };
        let (mut containers, mut sidecars, mut init) = (Vec::new(), Amount::default(), Amount::default());
        for container in spec.init_containers.iter().flatten() {
            if container.restart_policy.as_deref() == Some("Always") {
                sidecars = sidecars.plus(asked(container));
                init = init.max(sidecars);
                containers.push((container.name.clone(), asked(container)));
            } else {
                init = init.max(sidecars.plus(asked(container)));
            }
        }
        containers.extend(spec.containers.iter().map(|container| (container.name.clone(), asked(container))));
        let whole_pod = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        Self {
            containers,
            init,
            whole_pod: Amount::read(whole_pod),
            overhead: Amount::read(spec.overhead.as_ref()),
        }
    }

    /// What the pod holds of its node: of each container the larger of what it asks for and what it uses, or what an init
    /// container has asked for where that is more (`PodRequests` of `k8s.io/component-helpers/resource`, and for usage the
    /// specification of OpenCost: at the lowest level, then added up).
    pub(crate) fn held(&self, used: impl Fn(&str) -> Amount) -> Amount {
        let (mut held, mut used_together) = (Amount::default(), Amount::default());
        for (name, asked) in &self.containers {
            held = held.plus(asked.max(used(name)));
            used_together = used_together.plus(used(name));
        }
        let (held, of_whole) = (held.max(self.init), self.whole_pod.max(used_together));
        let held = Amount {
            cpu_millis: if self.whole_pod.cpu_millis > 0 { of_whole.cpu_millis } else { held.cpu_millis },
            memory_bytes: if self.whole_pod.memory_bytes > 0 {
                of_whole.memory_bytes
            } else {
                held.memory_bytes
            },
        };
        held.plus(self.overhead)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn requests(spec: Value) -> (u64, u64) {
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        let Amount { cpu_millis, memory_bytes } = PodRequests::of(&spec).held(|_| Amount::default());
        (cpu_millis, memory_bytes)
    }

    fn container(cpu: &str, memory: &str) -> Value {
        json!({ "name": "c", "resources": { "requests": { "cpu": cpu, "memory": memory } } })
    }

    #[test]
    fn containers_are_added_and_a_larger_init_container_counts_instead() {
        let mut spec = json!({ "containers": [container("100m", "64Mi"), container("0.25", "1G")] });
        assert_eq!(requests(spec.clone()), (350, 64 * 1024 * 1024 + 1_000_000_000));
        spec["initContainers"] = json!([container("2", "1Ki")]);
        assert_eq!(requests(spec.clone()), (2000, 64 * 1024 * 1024 + 1_000_000_000));
        spec["overhead"] = json!({ "cpu": "1m", "memory": "1" });
        assert_eq!(requests(spec).0, 2001);
    }

    #[test]
    fn sidecars_run_beside_both() {
        let mut sidecar = container("100m", "0");
        sidecar["restartPolicy"] = "Always".into();
        let spec = json!({ "containers": [container("1", "0")], "initContainers": [sidecar, container("950m", "0")] });
        assert_eq!(requests(spec).0, 1100);
    }

    #[test]
    fn a_pods_own_requests_take_the_place_of_its_containers() {
        let spec =
            json!({ "containers": [container("1", "1Gi")], "resources": { "requests": { "cpu": "500m" } } });
        assert_eq!(requests(spec), (500, 1024 * 1024 * 1024));
    }

    #[test]
    fn the_larger_of_request_and_usage_counts_container_by_container() {
        let mut spec = json!({ "containers": [container("100m", "0"), { "name": "b" }] });
        let used = |name: &str| Amount { cpu_millis: if name == "b" { 100 } else { 10 }, memory_bytes: 1 };
        let held = |spec: &Value| PodRequests::of(&serde_json::from_value(spec.clone()).unwrap()).held(used);
        assert_eq!((held(&spec).cpu_millis, held(&spec).memory_bytes), (200, 2));
        spec["resources"] = json!({ "requests": { "cpu": "150m" } });
        assert_eq!(held(&spec).cpu_millis, 150);
    }

    #[test]
    fn what_cannot_be_read_is_nothing_and_parts_are_rounded_up() {
        assert_eq!(requests(json!({ "containers": [{ "name": "c" }, container("x", "y")] })), (0, 0));
        assert_eq!(requests(json!({ "containers": [container("100u", "0")] })).0, 1);
        assert_eq!(requests(json!({ "containers": [container("3920m", "0")] })).0, 3920);
    }
}
