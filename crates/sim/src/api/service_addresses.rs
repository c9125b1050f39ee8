//! The addresses and ports that services get (`pkg/registry/core/service/storage/alloc.go`).

use std::collections::BTreeSet;
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
            set_address(spec, &free_address(&taken));
        } else if !keeps && let Some(why) = unavailable(&asked, &taken) {
            let why = format!("Invalid value: [\"{asked}\"]: failed to allocate IP {asked}: {why}");
            return Err(invalid("spec.clusterIPs".to_owned(), why));
        } else {
            set_address(spec, &asked);
        }
    }
    if matches!(service_type.as_str(), "NodePort" | "LoadBalancer") {
        let taken = others.iter().flat_map(|other| other["spec"]["ports"].as_array().into_iter().flatten());
        let mut taken: BTreeSet<i64> = taken.filter_map(|port| port["nodePort"].as_i64()).collect();
        node_ports(spec, &mut taken).map_err(|(field, why)| invalid(field, why))?;
    }
    Ok(())
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
fn free_address(taken: &BTreeSet<&str>) -> String {
    let mut addresses = (FIRST_ADDRESS..=LAST_ADDRESS).map(|bits| Ipv4Addr::from(bits).to_string());
    addresses.find(|address| !taken.contains(address.as_str())).unwrap_or_default()
}

/// The ports of the nodes; an error is a field and what is wrong with it.
fn node_ports(spec: &mut Value, taken: &mut BTreeSet<i64>) -> Result<(), (String, String)> {
    let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
    for (index, port) in ports.into_iter().flatten().enumerate() {
        let asked = port["nodePort"].as_i64().unwrap_or_default();
        let why = if asked == 0 {
            let free = NODE_PORTS.into_iter().find(|port| !taken.contains(port)).unwrap_or_default();
            object::set_or_remove(port, "nodePort", &free.into());
            taken.insert(free);
            continue;
        } else if !NODE_PORTS.contains(&asked) {
            let (least, most) = (NODE_PORTS.start(), NODE_PORTS.end());
            format!("provided port is not in the valid range. The range of valid ports is {least}-{most}")
        } else if !taken.insert(asked) {
            "provided port is already allocated".to_owned()
        } else {
            continue;
        };
        return Err((format!("spec.ports[{index}].nodePort"), format!("Invalid value: {asked}: {why}")));
    }
    Ok(())
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
