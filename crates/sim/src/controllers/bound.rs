//! Which pods are bound to which node.

use std::collections::{BTreeSet, HashMap};

use super::Key;
use crate::kinds::PODS;
use crate::store::Change;

/// Pods by the name of their node, which need not be there.
#[derive(Default)]
pub(super) struct BoundPods(HashMap<String, BTreeSet<Key>>);

impl BoundPods {
    /// Learns of a change of a pod.
    pub(super) fn observe(&mut self, change: &Change) {
        let Some(node) = node_of(change) else { return };
        let key = Key::of(PODS, &change.object);
        if !change.deleted {
            self.0.entry(node.to_owned()).or_default().insert(key);
        } else if let Some(pods) = self.0.get_mut(node) {
            pods.remove(&key);
            if pods.is_empty() {
                self.0.remove(node);
            }
        }
    }

    /// The pods of a node.
    pub(super) fn of(&self, node: &str) -> impl Iterator<Item = &Key> {
        self.0.get(node).into_iter().flatten()
    }
}

/// The node of a pod that has changed, once it is bound to one.
pub(super) fn node_of(change: &Change) -> Option<&str> {
    change.object["spec"]["nodeName"].as_str().filter(|node| !node.is_empty())
}
