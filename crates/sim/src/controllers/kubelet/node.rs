//! What a kubelet tells of its node: that it is there, what it has, and that it is well.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::tell::Teller;
use crate::annotations::told;
use crate::controllers::{Again, Cluster, Key, Queue, later};
use crate::kinds::{LEASES, NODES};
use crate::object;
use crate::status::ApiError;
use crate::store::Change;

/// Where the leases of nodes are (`NamespaceNodeLease`).
const LEASE_NAMESPACE: &str = "kube-node-lease";
/// `nodeLeaseDurationSeconds` of the kubelet; it renews at a quarter of this.
const LEASE_SECONDS: u64 = 40;
/// `nodeStatusReportFrequency` of the kubelet.
const STATUS_INTERVAL: Duration = Duration::from_secs(300);
/// Beyond so many nodes a kubelet renews later, so that all of them together do not change more than 50 leases a
/// second, but still before its lease ends.
const NODES_AT_FULL_PACE: usize = 500;

/// What `pkg/kubelet/container/runtime.go` and containerd say where pods cannot get addresses.
const NO_NETWORK: &str = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady \
                          message:Network plugin returns error: cni plugin not initialized";

/// The nodes that are there.
#[derive(Debug, Default)]
pub(super) struct Nodes(HashMap<String, Node>);

#[derive(Debug)]
struct Node {
    /// The first `InternalIP` of its status.
    address: Option<String>,
    /// What its annotation `sim.kubesage.io/behaviour` tells: its kubelet is `dead`, or it is `not-ready`.
    behaviour: Option<String>,
    /// Whether it was cordoned when its kubelet spoke of that last.
    is_cordoned: bool,
    lease_due: Timestamp,
    status_due: Timestamp,
}

impl Nodes {
    /// Notes a change of a node; whether its pods are to be looked at again.
    pub(super) fn observe(&mut self, change: &Change, cluster: &Cluster<'_>, queue: &mut Queue) -> bool {
        let (node, name) = (&*change.object, object::name(&change.object));
        if change.deleted {
            self.0.remove(name);
            return false;
        }
        let is_new = !self.0.contains_key(name);
        let now = cluster.now;
        let entry = self.0.entry(name.to_owned()).or_insert_with(|| Node {
            address: None,
            behaviour: None,
            is_cordoned: is_cordoned(node),
            lease_due: now,
            status_due: later(now, share(name, STATUS_INTERVAL)),
        });
        let addresses = node["status"]["addresses"].as_array().into_iter().flatten();
        let address = addresses
            .filter(|address| address["type"] == "InternalIP")
            .find_map(|address| address["address"].as_str().map(str::to_owned));
        let behaviour = told(node, "behaviour").map(str::to_owned);
        if entry.behaviour != behaviour {
            entry.status_due = now;
        }
        let differs = entry.address != address || entry.behaviour != behaviour;
        (entry.address, entry.behaviour) = (address, behaviour);
        let is_unknown = object::condition(node, "Ready").is_none_or(|ready| ready["status"] == "Unknown");
        let is_first = change.before.is_none();
        if is_first || is_new || differs || is_unknown || entry.is_cordoned != is_cordoned(node) {
            queue.add(Key::new(NODES, "", name));
        }
        is_first || is_new || differs
    }

    /// Whether there is such a node and its kubelet works.
    pub(super) fn is_alive(&self, name: &str, cluster: &Cluster<'_>) -> bool {
        self.0.get(name).is_some_and(|node| node.behaviour.as_deref() != Some("dead"))
            && !cluster.faults.is_dead(name)
    }

    pub(super) fn address(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.address.as_deref()
    }

    /// Tells that a node is well, when that is due.
    pub(super) fn reconcile(
        &mut self,
        name: &str,
        cluster: &Cluster<'_>,
        teller: &mut Teller,
    ) -> Result<Again, ApiError> {
        if !self.is_alive(name, cluster) {
            return Ok(None);
        }
        let pace = self.0.len().div_ceil(NODES_AT_FULL_PACE).clamp(1, 3);
        let interval = Duration::from_secs(LEASE_SECONDS / 4) * u32::try_from(pace).unwrap_or(1);
        let Ok(present) = cluster.api.get(NODES, "", name) else { return Ok(None) };
        let Some(node) = self.0.get_mut(name) else { return Ok(None) };
        let now = cluster.now;
        let is_unknown =
            object::condition(&present, "Ready").is_none_or(|ready| ready["status"] == "Unknown");
        if is_unknown || node.status_due <= now {
            node.status_due = later(now, STATUS_INTERVAL);
            if !has_registered(&present) {
                cluster.api.update(NODES, "", name, label)?;
            }
            let reported = cluster.api.update_status(NODES, "", name, |node| report(node, now))?;
            match (object::is_true(&present, "Ready"), object::is_true(&reported, "Ready")) {
                (false, true) => teller.tell_of_node(cluster, &present, "NodeReady"),
                (true, false) => teller.tell_of_node(cluster, &present, "NodeNotReady"),
                _ => {}
            }
        }
        if node.is_cordoned != is_cordoned(&present) {
            node.is_cordoned = !node.is_cordoned;
            let reason = if node.is_cordoned { "NodeNotSchedulable" } else { "NodeSchedulable" };
            teller.tell_of_node(cluster, &present, reason);
        }
        if node.lease_due <= now {
            // Each kubelet's second heartbeat comes at another time, and with it all that follow.
            let has_lease = renew(&present, cluster)?;
            node.lease_due = later(now, if has_lease { interval } else { share(name, interval) });
        }
        Ok(Some(node.lease_due.min(node.status_due)))
    }
}

fn is_cordoned(node: &Value) -> bool {
    node["spec"]["unschedulable"] == true
}

/// A part of a time that follows from a name.
fn share(name: &str, whole: Duration) -> Duration {
    whole.mul_f64(f64::from(crc32fast::hash(name.as_bytes())) / f64::from(u32::MAX))
}

/// Renews the lease of a node, or makes it; whether it was there.
fn renew(node: &Value, cluster: &Cluster<'_>) -> Result<bool, ApiError> {
    let name = object::name(node);
    let renewed = cluster.now.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    let spec = json!({
        "holderIdentity": name,
        "leaseDurationSeconds": LEASE_SECONDS,
        "renewTime": renewed,
    });
    let update = |lease: &mut Value| lease["spec"] = spec.clone();
    if cluster.api.update(LEASES, LEASE_NAMESPACE, name, update).is_ok() {
        return Ok(true);
    }
    let owner = json!({ "apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"] });
    let metadata = json!({ "name": name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner] });
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": metadata,
        "spec": spec,
    });
    match cluster.api.create(lease) {
        // Somebody has deleted the namespace of leases: a kubelet goes on without.
        Err(error) if error.code == 404 => Ok(false),
        answer => answer.map(|_| false),
    }
}

/// Whether a kubelet, or who made the node, has told what runs there.
fn has_registered(node: &Value) -> bool {
    node["status"]["nodeInfo"]["kubeletVersion"].as_str().is_some_and(|version| !version.is_empty())
}

/// Gives a new node the labels that a kubelet registers it with, unless somebody has given it others
/// (`initialNode` of `pkg/kubelet/kubelet_node_status.go`).
fn label(node: &mut Value) {
    let architecture = node["metadata"]["labels"]["kubernetes.io/arch"].as_str().unwrap_or("amd64");
    let mut labels = json!({
        "beta.kubernetes.io/arch": architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture,
        "kubernetes.io/hostname": object::name(node),
        "kubernetes.io/os": "linux",
    });
    json_patch::merge(&mut labels, &json!(node["metadata"]["labels"].as_object().unwrap_or(&Map::new())));
    node["metadata"]["labels"] = labels;
}

/// The addresses of a node that has told none, in the network that kind gives its nodes.
fn addresses(name: &str) -> Value {
    let digest = crc32fast::hash(name.as_bytes());
    let address = format!("172.18.{}.{}", digest % 250, 2 + digest / 250 % 250);
    json!([{ "type": "InternalIP", "address": address }, { "type": "Hostname", "address": name }])
}

/// Fills in what the node has not told yet, and when it was last seen (`pkg/kubelet/nodestatus/setters.go`).
fn report(node: &mut Value, now: Timestamp) {
    let name = object::name(node).to_owned();
    let resources = json!({ "cpu": "4", "ephemeral-storage": "80Gi", "memory": "16Gi", "pods": "110" });
    if node["status"]["capacity"].is_null() {
        node["status"]["capacity"] = resources.clone();
    }
    if node["status"]["allocatable"].is_null() {
        node["status"]["allocatable"] = node["status"]["capacity"].clone();
    }
    if !has_registered(node) {
        if node["status"]["addresses"].is_null() {
            node["status"]["addresses"] = addresses(&name);
        }
        let label = |label: &str, default: &str| -> String {
            node["metadata"]["labels"][label].as_str().unwrap_or(default).to_owned()
        };
        let (architecture, system) =
            (label("kubernetes.io/arch", "amd64"), label("kubernetes.io/os", "linux"));
        node["status"]["nodeInfo"] = json!({
            "machineID": name,
            "systemUUID": name,
            "bootID": name,
            "kernelVersion": "6.12.40",
            "osImage": "Linux",
            "containerRuntimeVersion": "containerd://2.1.4",
            "kubeletVersion": "v1.36.2",
            "kubeProxyVersion": "",
            "operatingSystem": system,
            "architecture": architecture,
        });
    }
    if node["status"]["daemonEndpoints"].is_null() {
        node["status"]["daemonEndpoints"] = json!({ "kubeletEndpoint": { "Port": 10250 } });
    }
    for (condition, well, reason, message) in [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ] {
        let not_ready = condition == "Ready" && told(node, "behaviour") == Some("not-ready");
        let (status, reason, message) =
            if not_ready { ("False", "KubeletNotReady", NO_NETWORK) } else { (well, reason, message) };
        let mut new = json!({
            "type": condition,
            "status": status,
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": object::time(now),
            "lastTransitionTime": object::time(now),
        });
        if let Some(present) = object::condition(node, condition) {
            // What somebody else has said of the node is only confirmed, unless it is that nobody knows.
            let is_own = present["status"] == "Unknown" || present["message"] == NO_NETWORK || not_ready;
            if present.is_object() && (!is_own || present["status"] == status) {
                new = present.clone();
                new["lastHeartbeatTime"] = object::time(now).into();
            }
        }
        object::set_condition(node, new);
    }
}
