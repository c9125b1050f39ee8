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

/// What the scheduler sets aside for a pod (`PodRequests` of `k8s.io/component-helpers/resource`): what its containers ask
/// for together, or an init container where that is more; sidecars run beside both.
pub(crate) fn of_pod(spec: &PodSpec) -> Amount {
    let of = |container: &Container| {
        Amount::read(container.resources.as_ref().and_then(|resources| resources.requests.as_ref()))
    };
    let (mut sidecars, mut init) = (Amount::default(), Amount::default());
    for container in spec.init_containers.iter().flatten() {
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars = sidecars.plus(of(container));
            init = init.max(sidecars);
        } else {
            init = init.max(sidecars.plus(of(container)));
        }
    }
    let main = spec.containers.iter().map(of).fold(sidecars, Amount::plus);
    let of_containers = main.max(init);
    // What is asked for the pod as a whole takes the place of its containers', resource by resource.
    let whole_pod = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let own = Amount::read(whole_pod);
    let asked = Amount {
        cpu_millis: if own.cpu_millis > 0 { own.cpu_millis } else { of_containers.cpu_millis },
        memory_bytes: if own.memory_bytes > 0 { own.memory_bytes } else { of_containers.memory_bytes },
    };
    asked.plus(Amount::read(spec.overhead.as_ref()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn requests(spec: Value) -> (u64, u64) {
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        let Amount { cpu_millis, memory_bytes } = of_pod(&spec);
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
    fn what_cannot_be_read_is_nothing_and_parts_are_rounded_up() {
        assert_eq!(requests(json!({ "containers": [{ "name": "c" }, container("x", "y")] })), (0, 0));
        assert_eq!(requests(json!({ "containers": [container("100u", "0")] })).0, 1);
        assert_eq!(requests(json!({ "containers": [container("3920m", "0")] })).0, 3920);
    }
}
