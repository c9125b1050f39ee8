//! Where the pods behind a service are: its `Endpoints` and `EndpointSlice` objects
//! (`pkg/controller/endpoint`, `staging/src/k8s.io/endpointslice`).

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

use super::{Again, Cluster, Controller, Key, Queue};
use crate::kinds::{self, ENDPOINT_SLICES, NODES, PODS, SERVICES};
use crate::object;
use crate::selector::LabelSelector;
use crate::status::ApiError;
use crate::store::Change;

/// `--max-endpoints-per-slice`
const SLICE_SIZE: usize = 100;
const HEADLESS: &str = "service.kubernetes.io/headless";
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Looks after the endpoints of services with selectors.
#[derive(Default)]
pub(crate) struct Endpoints {
    services: HashMap<String, BTreeMap<String, LabelSelector>>,
}

impl Controller for Endpoints {
    fn observe(&mut self, change: &Change, _: &Cluster<'_>, queue: &mut Queue) {
        let (object, namespace) = (&change.object, object::namespace(&change.object));
        let before = change.before.as_deref().map(|before| &**before);
        match change.kind.plural {
            "services" => {
                let services = self.services.entry(namespace.to_owned()).or_default();
                match selector(object).filter(|_| !change.deleted) {
                    Some(selector) => drop(services.insert(object::name(object).to_owned(), selector)),
                    None => drop(services.remove(object::name(object))),
                }
                queue.add(Key::of(SERVICES, object));
            }
            "pods" if change.deleted || before.is_none_or(|before| shown(before) != shown(object)) => {
                for (name, selector) in self.services.get(namespace).into_iter().flatten() {
                    if selector.matches(object) || before.is_some_and(|before| selector.matches(before)) {
                        queue.add(Key::new(SERVICES, namespace, name));
                    }
                }
            }
            _ => {}
        }
    }

    fn reconcile(&mut self, key: &Key, cluster: &Cluster<'_>) -> Result<Again, ApiError> {
        let Some(kind) = kinds::by_plural("endpoints") else { return Ok(None) };
        let Ok(service) = cluster.api.get(SERVICES, &key.namespace, &key.name) else {
            let options = crate::api::DeleteOptions::default();
            // Slices go with their owner.
            return match cluster.api.delete(kind, &key.namespace, &key.name, &options) {
                Err(error) if error.code != 404 => Err(error),
                Ok(_) | Err(_) => Ok(None),
            };
        };
        let Some(selector) = selector(&service) else { return Ok(None) };
        let mut pods = cluster.api.objects(PODS, Some(&key.namespace));
        pods.retain(|pod| selector.matches(pod));
        let mut places: Vec<Place> = pods.iter().filter_map(|pod| Place::of(pod, &service)).collect();
        places.sort_by(|one, other| one.address.cmp(other.address));

        let endpoints = endpoints(&service, &places);
        let (namespace, name) = (key.namespace.as_str(), key.name.as_str());
        let update = |present: &mut Value| {
            object::set_or_remove(present, "subsets", &endpoints["subsets"]);
            present["metadata"]["labels"] = endpoints["metadata"]["labels"].clone();
        };
        match cluster.api.update(kind, namespace, name, update) {
            Err(error) if error.code == 404 => drop(cluster.api.create(endpoints)?),
            answer => drop(answer?),
        }
        write_slices(&service, &places, cluster).map(|()| None)
    }
}

/// The selector of a service whose endpoints are looked after here.
fn selector(service: &Value) -> Option<LabelSelector> {
    let labels = service["spec"]["selector"].as_object().filter(|labels| !labels.is_empty())?;
    let is_external = service["spec"]["type"] == "ExternalName";
    LabelSelector::of(&json!({ "matchLabels": labels })).filter(|_| !is_external)
}

/// What of a pod a service shows.
fn shown(pod: &Value) -> impl PartialEq + use<'_> {
    (
        &pod["metadata"]["labels"],
        &pod["status"]["podIP"],
        &pod["status"]["phase"],
        object::is_terminating(pod),
        object::condition(pod, "Ready").map(|ready| &ready["status"]),
    )
}

/// One pod behind a service.
struct Place<'a> {
    pod: &'a Value,
    address: &'a str,
    ports: Vec<Value>,
    is_ready: bool,
    is_terminating: bool,
    /// Whether it is shown whatever its state (`publishNotReadyAddresses`).
    is_published: bool,
}

impl<'a> Place<'a> {
    fn of(pod: &'a Value, service: &Value) -> Option<Place<'a>> {
        let address = pod["status"]["podIP"].as_str().filter(|address| !address.is_empty())?;
        if pod["status"]["phase"] == "Succeeded" || pod["status"]["phase"] == "Failed" {
            return None;
        }
        let ports = service["spec"]["ports"].as_array().into_iter().flatten();
        Some(Place {
            pod,
            address,
            ports: ports.filter_map(|port| resolve(port, pod)).collect(),
            is_ready: object::is_true(pod, "Ready"),
            is_terminating: object::is_terminating(pod),
            is_published: service["spec"]["publishNotReadyAddresses"] == true,
        })
    }

    fn target(&self) -> Value {
        let metadata = &self.pod["metadata"];
        json!({
            "kind": "Pod",
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        })
    }

    /// The name by which a headless service knows the pod.
    fn hostname(&self, service: &Value) -> Option<&str> {
        let spec = &self.pod["spec"];
        spec["hostname"].as_str().filter(|_| spec["subdomain"] == *object::name(service))
    }
}

/// The port of a pod that a service's port leads to (`FindPort`).
fn resolve(port: &Value, pod: &Value) -> Option<Value> {
    let protocol = port["protocol"].as_str().unwrap_or("TCP");
    let number = match &port["targetPort"] {
        Value::String(name) => {
            let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
            let mut ports =
                containers.flat_map(|container| container["ports"].as_array().into_iter().flatten());
            let named = |port: &&Value| {
                port["name"] == name.as_str() && port["protocol"].as_str().unwrap_or("TCP") == protocol
            };
            ports.find(named)?["containerPort"].as_u64()?
        }
        Value::Number(number) if number.as_u64() != Some(0) => number.as_u64()?,
        _ => port["port"].as_u64()?,
    };
    let mut resolved = json!({ "port": number, "protocol": protocol });
    for field in ["name", "appProtocol"] {
        object::set_or_remove(&mut resolved, field, &port[field]);
    }
    Some(resolved)
}

fn is_headless(service: &Value) -> bool {
    service["spec"]["clusterIP"] == "None"
}

fn endpoints(service: &Value, places: &[Place<'_>]) -> Value {
    let mut subsets: Vec<(&Vec<Value>, Vec<Value>, Vec<Value>)> = Vec::new();
    for place in places.iter().filter(|place| place.is_published || !place.is_terminating) {
        if place.ports.is_empty() && !is_headless(service) {
            continue;
        }
        let mut address = json!({ "ip": place.address, "targetRef": place.target() });
        object::set_or_remove(&mut address, "nodeName", &place.pod["spec"]["nodeName"]);
        if let Some(hostname) = place.hostname(service) {
            address["hostname"] = hostname.into();
        }
        let index = subsets.iter().position(|(ports, ..)| **ports == place.ports).unwrap_or_else(|| {
            subsets.push((&place.ports, Vec::new(), Vec::new()));
            subsets.len() - 1
        });
        let (_, ready, unready) = &mut subsets[index];
        if place.is_ready || place.is_published { ready.push(address) } else { unready.push(address) }
    }
    let subsets: Vec<Value> = subsets
        .into_iter()
        .map(|(ports, ready, unready)| {
            let mut subset = Map::new();
            for (field, list) in
                [("addresses", ready), ("notReadyAddresses", unready), ("ports", ports.clone())]
            {
                if !list.is_empty() {
                    subset.insert(field.to_owned(), list.into());
                }
            }
            Value::Object(subset)
        })
        .collect();
    let mut labels = labels(service);
    labels.insert("endpoints.kubernetes.io/managed-by".to_owned(), "endpoint-controller".into());
    let mut endpoints = json!({
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": service["metadata"]["name"],
            "namespace": service["metadata"]["namespace"],
            "labels": labels,
        },
    });
    if !subsets.is_empty() {
        endpoints["subsets"] = subsets.into();
    }
    endpoints
}

/// The labels of a service, and one that says that it is headless.
fn labels(service: &Value) -> Map<String, Value> {
    let mut labels = service["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    if is_headless(service) {
        labels.insert(HEADLESS.to_owned(), "".into());
    }
    labels
}

/// Writes the slices of a service, at most [`SLICE_SIZE`] pods each; those that are there are used first.
fn write_slices(service: &Value, places: &[Place<'_>], cluster: &Cluster<'_>) -> Result<(), ApiError> {
    let (namespace, name) = (object::namespace(service), object::name(service));
    let mut groups: Vec<(&Vec<Value>, Vec<&Place<'_>>)> = Vec::new();
    for place in places {
        match groups.iter_mut().find(|(ports, _)| **ports == place.ports) {
            Some((_, group)) => group.push(place),
            None => groups.push((&place.ports, vec![place])),
        }
    }
    let chunks =
        groups.iter().flat_map(|(ports, group)| group.chunks(SLICE_SIZE).map(move |chunk| (*ports, chunk)));
    let mut wanted: Vec<(Value, Value)> = chunks
        .map(|(ports, chunk)| {
            let endpoints: Value = chunk.iter().map(|place| endpoint(place, service, cluster)).collect();
            (ports.clone().into(), endpoints)
        })
        .collect();
    if wanted.is_empty() {
        wanted.push((json!([]), json!([])));
    }
    let mut present = cluster.api.objects(ENDPOINT_SLICES, Some(namespace));
    present.retain(|slice| {
        let owners = slice["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        owners.into_iter().any(|owner| owner["uid"] == service["metadata"]["uid"])
    });
    let mut labels = labels(service);
    labels.insert(SERVICE_NAME.to_owned(), name.into());
    let manager = "endpointslice-controller.k8s.io";
    labels.insert("endpointslice.kubernetes.io/managed-by".to_owned(), manager.into());
    for surplus in present.iter().skip(wanted.len()) {
        let options = crate::api::DeleteOptions::default();
        cluster.api.delete(ENDPOINT_SLICES, namespace, object::name(surplus), &options)?;
    }
    for (index, (ports, endpoints)) in wanted.into_iter().enumerate() {
        let fill = |slice: &mut Value| {
            slice["metadata"]["labels"] = labels.clone().into();
            slice["ports"] = ports;
            slice["endpoints"] = endpoints;
        };
        if let Some(slice) = present.get(index) {
            cluster.api.update(ENDPOINT_SLICES, namespace, object::name(slice), fill)?;
            continue;
        }
        let owner = object::controller_reference(service);
        let mut slice = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": { "generateName": format!("{name}-"), "namespace": namespace, "ownerReferences": [owner] },
            "addressType": "IPv4",
        });
        fill(&mut slice);
        cluster.api.create(slice)?;
    }
    Ok(())
}

fn endpoint(place: &Place<'_>, service: &Value, cluster: &Cluster<'_>) -> Value {
    let mut endpoint = json!({
        "addresses": [place.address],
        "conditions": {
            "ready": place.is_published || (place.is_ready && !place.is_terminating),
            "serving": place.is_ready,
            "terminating": place.is_terminating,
        },
        "targetRef": place.target(),
    });
    if let Some(hostname) = place.hostname(service) {
        endpoint["hostname"] = hostname.into();
    }
    let node = &place.pod["spec"]["nodeName"];
    object::set_or_remove(&mut endpoint, "nodeName", node);
    if let Ok(node) = cluster.api.get(NODES, "", node.as_str().unwrap_or_default()) {
        let zone = &node["metadata"]["labels"]["topology.kubernetes.io/zone"];
        object::set_or_remove(&mut endpoint, "zone", zone);
    }
    endpoint
}
