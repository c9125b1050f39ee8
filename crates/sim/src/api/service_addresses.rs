//! The addresses and ports that services get (`pkg/registry/core/service/storage/alloc.go`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::kinds::{Kind, SERVICES};
use crate::object;
use crate::status::{ApiError, Cause};
use crate::store::Transaction;

/// The range of `kubeadm`, whose first address is that of the API server.
const RANGE: &str = "10.96.0.0/12";
/// What may be asked for: neither the first of the range nor the last.
const ADDRESSES: std::ops::RangeInclusive<Ipv4Addr> =
    Ipv4Addr::new(10, 96, 0, 1)..=Ipv4Addr::new(10, 111, 255, 254);
const FIRST_ADDRESS: u32 = u32::from_be_bytes([10, 96, 0, 10]);
const LAST_ADDRESS: u32 = u32::from_be_bytes([10, 111, 255, 254]);
/// `--service-node-port-range`
const NODE_PORTS: std::ops::RangeInclusive<i64> = 30_000..=32_767;

/// Gives a service what its type needs and it has not; refuses what another service has.
pub(super) fn allocate(store: &Transaction<'_>, kind: &Kind, service: &mut Value) -> Result<(), ApiError> {
    if kind.plural != "services" {
        return Ok(());
    }
    let name = object::name(service).to_owned();
    let namespace = object::namespace(service).to_owned();
    let others: Vec<_> = store
        .objects(SERVICES, None)
        .into_iter()
        .filter(|other| object::name(other) != name || object::namespace(other) != namespace)
        .collect();
    let present = store.get(SERVICES, &object::key(kind, &namespace, &name));
    let invalid = |field: String, why: String| {
        let causes = vec![Cause { reason: "FieldValueInvalid", field, message: why }];
        ApiError::invalid_object(kind.group, kind.kind, &name, causes)
    };
    let Some(spec) = service.get_mut("spec") else { return Ok(()) };
    let service_type = spec["type"].as_str().unwrap_or_default().to_owned();
    if service_type != "ExternalName" {
        let taken: BTreeSet<&str> =
            others.iter().filter_map(|other| other["spec"]["clusterIP"].as_str()).collect();
        let asked = spec["clusterIP"].as_str().unwrap_or_default().to_owned();
        let keeps = present.is_some_and(|present| present["spec"]["clusterIP"] == asked.as_str());
        if asked.is_empty() {
            let free = free_address(&taken);
            set_address(spec, &free.ok_or_else(|| exhausted("serviceIP"))?);
        } else if !keeps && let Some(why) = unavailable(&asked, &taken) {
            let why = format!("Invalid value: [\"{asked}\"]: failed to allocate IP {asked}: {why}");
            return Err(invalid("spec.clusterIPs".to_owned(), why));
        } else {
            set_address(spec, &asked);
        }
    }
    if matches!(service_type.as_str(), "NodePort" | "LoadBalancer") {
        let mut node_ports = NodePorts {
            taken: others.iter().flat_map(|other| node_ports_of(other)).collect(),
            before: present.map(|present| node_ports_of(present).collect()),
        };
        node_ports.allocate(spec, invalid)?;
    }
    Ok(())
}

fn exhausted(what: &str) -> ApiError {
    ApiError::internal(&format!("failed to allocate a {what}: range is full"))
}

fn set_address(spec: &mut Value, address: &str) {
    let families = json!(["IPv4"]);
    for (field, value) in [
        ("clusterIP", json!(address)),
        ("clusterIPs", json!([address])),
        ("ipFamilies", families),
        ("ipFamilyPolicy", json!("SingleStack")),
    ] {
        let present = spec.get(field).is_some_and(|value| !value.is_null());
        if !present || field.starts_with("clusterIP") {
            object::set_or_remove(spec, field, &value);
        }
    }
}

/// Why a service cannot have this address (`pkg/registry/core/service/ipallocator`). Addresses of other families are not
/// told apart.
fn unavailable(asked: &str, taken: &BTreeSet<&str>) -> Option<String> {
    if taken.contains(asked) && asked != "None" {
        return Some("provided IP is already allocated".to_owned());
    }
    let address: Ipv4Addr = asked.parse().ok()?;
    (!ADDRESSES.contains(&address)).then(|| {
        format!("the provided IP ({asked}) is not in the valid range. The range of valid IPs is {RANGE}")
    })
}

/// The lowest free one, so that the same services get the same addresses every time.
fn free_address(taken: &BTreeSet<&str>) -> Option<String> {
    let mut addresses = (FIRST_ADDRESS..=LAST_ADDRESS).map(|bits| Ipv4Addr::from(bits).to_string());
    addresses.find(|address| !taken.contains(address.as_str()))
}

/// The ports of the nodes that a service has.
fn node_ports_of(service: &Value) -> impl Iterator<Item = i64> {
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    ports.filter_map(|port| port["nodePort"].as_i64())
}

/// Which ports of the nodes are given away.
struct NodePorts {
    /// Those of other services, and those that the service asks for.
    taken: BTreeSet<i64>,
    /// Those that the service has already; `None` for a new one.
    before: Option<BTreeSet<i64>>,
}

impl NodePorts {
    /// Takes what the service asks for, and gives it what it leaves to the server (`initNodePorts`, `updateNodePorts`).
    fn allocate(
        &mut self,
        spec: &mut Value,
        invalid: impl Fn(String, String) -> ApiError,
    ) -> Result<(), ApiError> {
        let gives = spec["type"] != "LoadBalancer" || spec["allocateLoadBalancerNodePorts"] != false;
        let Some(ports) = spec.get_mut("ports").and_then(Value::as_array_mut) else { return Ok(()) };
        // Protocols of a new service that have the same port share a port of the nodes.
        let mut shared = BTreeMap::new();
        for (index, port) in ports.iter().enumerate() {
            let Some(asked) = port["nodePort"].as_i64().filter(|asked| *asked != 0) else { continue };
            let number = port["port"].as_i64();
            let has = match &self.before {
                None => shared.get(&number) == Some(&asked),
                Some(before) => before.contains(&asked),
            };
            if !has {
                let field = format!("spec.ports[{index}].nodePort");
                self.take(asked).map_err(|why| invalid(field, format!("Invalid value: {asked}: {why}")))?;
            }
            shared.entry(number).or_insert(asked);
        }
        if !gives {
            return Ok(());
        }
        self.taken.extend(self.before.iter().flatten());
        let mut free = NODE_PORTS.filter(|port| !self.taken.contains(port));
        for port in ports.iter_mut().filter(|port| port["nodePort"].as_i64().is_none_or(|asked| asked == 0)) {
            let number = port["port"].as_i64();
            let same = shared.get(&number).copied().filter(|_| self.before.is_none());
            let given = same.or_else(|| free.next()).ok_or_else(|| exhausted("nodePort"))?;
            shared.insert(number, given);
            object::set_or_remove(port, "nodePort", &given.into());
        }
        Ok(())
    }

    fn take(&mut self, asked: i64) -> Result<(), String> {
        let (least, most) = (NODE_PORTS.start(), NODE_PORTS.end());
        if !NODE_PORTS.contains(&asked) {
            return Err(format!(
                "provided port is not in the valid range. The range of valid ports is {least}-{most}"
            ));
        }
        // The protocols of a service that is changed may share a port, whatever their own ports are.
        if let Some(before) = &mut self.before {
            before.insert(asked);
        }
        let is_free = self.taken.insert(asked);
        is_free.then_some(()).ok_or_else(|| "provided port is already allocated".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::Api;

    fn service(name: &str, spec: &serde_json::Value) -> serde_json::Value {
        let metadata = json!({ "name": name, "namespace": "default" });
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec })
    }

    #[test]
    fn services_get_what_nobody_else_has() {
        let api = Api::new(10);
        api.create(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "default" } }))
            .unwrap();
        let ports = json!([{ "port": 80 }]);
        let one = api.create(service("one", &json!({ "ports": ports }))).unwrap();
        let two = api.create(service("two", &json!({ "ports": ports, "type": "NodePort" }))).unwrap();
        assert_eq!(one["spec"]["clusterIPs"][0], one["spec"]["clusterIP"]);
        assert_eq!(one["spec"]["ipFamilies"], json!(["IPv4"]));
        assert_ne!(one["spec"]["clusterIP"], two["spec"]["clusterIP"]);
        assert_eq!(two["spec"]["ports"][0]["nodePort"], 30_000);

        let taken = json!({ "ports": ports, "clusterIP": one["spec"]["clusterIP"] });
        let refused = api.create(service("three", &taken)).unwrap_err();
        assert!(refused.message.ends_with("provided IP is already allocated"), "{refused}");
        let taken = json!({ "ports": [{ "port": 80, "nodePort": 30_000 }], "type": "NodePort" });
        let refused = api.create(service("four", &taken)).unwrap_err();
        let why = "Service \"four\" is invalid: spec.ports[0].nodePort: Invalid value: 30000: provided port is \
                   already allocated";
        assert_eq!(refused.message, why);
    }

    #[test]
    fn an_address_from_elsewhere_stays() {
        let api = Api::new(10);
        let planted = api.restore(service("one", &json!({ "clusterIP": "172.20.0.77" }))).unwrap();
        assert_eq!(planted["spec"]["clusterIP"], "172.20.0.77");
        let changed = api.update(crate::kinds::SERVICES, "default", "one", |object| {
            object["metadata"]["labels"] = json!({ "a": "b" });
            object["spec"]["ports"] = json!([{ "port": 80 }]);
        });
        assert_eq!(changed.unwrap()["spec"]["clusterIP"], "172.20.0.77");
    }

    #[test]
    fn a_service_keeps_what_it_got() {
        let api = Api::new(10);
        api.create(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "default" } }))
            .unwrap();
        let before = api.create(service("one", &json!({ "ports": [{ "port": 80 }] }))).unwrap();
        let spec = json!({ "ports": [{ "port": 81 }], "type": "NodePort" });
        let after =
            api.update(crate::kinds::SERVICES, "default", "one", |object| object["spec"] = spec).unwrap();
        assert_eq!(after["spec"]["clusterIP"], before["spec"]["clusterIP"]);
        assert_eq!(after["spec"]["ports"][0]["nodePort"], 30_000);
    }
}
