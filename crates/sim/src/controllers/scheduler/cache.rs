//! The nodes and what is on them, kept up with every change.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::resources::{self, Resources};
use crate::controllers::Key;
use crate::object::{self, Object};

/// What the scheduler knows of the cluster.
#[derive(Default)]
pub(super) struct Cache {
    pub(super) nodes: BTreeMap<String, Node>,
    /// By the name of the node, which need not be there yet.
    used: HashMap<String, Used>,
    /// Where each pod is.
    placed: HashMap<Key, String>,
    /// The pods that keep others away from them.
    pub(super) repelling: BTreeMap<Key, Arc<Object>>,
}

/// A node that is there.
pub(super) struct Node {
    pub(super) object: Arc<Object>,
    pub(super) allocatable: Resources,
}

/// What the pods of a node use.
#[derive(Default)]
pub(super) struct Used {
    pub(super) requests: Resources,
    /// As the score counts it: by processor and by memory.
    pub(super) scored: [i128; 2],
    pub(super) pods: BTreeMap<Key, Placed>,
}

/// A pod that has a node.
pub(super) struct Placed {
    pub(super) object: Arc<Object>,
    requests: Resources,
}

impl Cache {
    pub(super) fn set_node(&mut self, object: &Arc<Object>) {
        let allocatable = resources::of(&object["status"]["allocatable"]);
        let node = Node { object: Arc::clone(object), allocatable };
        self.nodes.insert(object::name(object).to_owned(), node);
    }

    /// Notes a pod that is on a node and has not ended.
    pub(super) fn place(&mut self, key: &Key, pod: &Arc<Object>) {
        self.remove(key);
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned();
        let requests = resources::requests(pod);
        let used = self.used.entry(node.clone()).or_default();
        resources::add(&mut used.requests, &requests);
        for (sum, name) in used.scored.iter_mut().zip(["cpu", "memory"]) {
            *sum = sum.saturating_add(resources::scored(&requests, name));
        }
        if !pod["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
            .is_null()
        {
            self.repelling.insert(key.clone(), Arc::clone(pod));
        }
        used.pods.insert(key.clone(), Placed { object: Arc::clone(pod), requests });
        self.placed.insert(key.clone(), node);
    }

    /// Forgets a pod; whether it was on a node.
    pub(super) fn remove(&mut self, key: &Key) -> bool {
        self.repelling.remove(key);
        let Some(node) = self.placed.remove(key) else { return false };
        let Some(used) = self.used.get_mut(&node) else { return false };
        let Some(placed) = used.pods.remove(key) else { return false };
        resources::subtract(&mut used.requests, &placed.requests);
        for (sum, name) in used.scored.iter_mut().zip(["cpu", "memory"]) {
            *sum = sum.saturating_sub(resources::scored(&placed.requests, name));
        }
        if used.pods.is_empty() {
            self.used.remove(&node);
        }
        true
    }

    pub(super) fn used(&self, node: &str) -> Option<&Used> {
        self.used.get(node)
    }

    /// The pods on a node.
    pub(super) fn pods_on(&self, node: &str) -> impl Iterator<Item = &Object> {
        self.used(node).into_iter().flat_map(|used| used.pods.values()).map(|placed| &*placed.object)
    }

    /// The pods of a namespace on a node.
    pub(super) fn pods_in(&self, namespace: &str, node: &str) -> impl Iterator<Item = &Object> {
        let pods = self.used(node).into_iter().flat_map(|used| &used.pods);
        pods.filter(move |(key, _)| key.namespace == namespace).map(|(_, placed)| &*placed.object)
    }

    /// The node of a pod, where both are there.
    pub(super) fn node_of(&self, pod: &Value) -> Option<&Node> {
        self.nodes.get(pod["spec"]["nodeName"].as_str()?)
    }
}
