//! Replaces the pods of an old template (`pkg/controller/daemon/update.go`).

use std::sync::Arc;

use super::Look;
use super::placement;
use crate::controllers::workloads::fields::{count, scaled};
use crate::object::{self, Object};

impl Look<'_> {
    fn bound(&self, name: &str) -> i64 {
        let setting = &self.set["spec"]["updateStrategy"]["rollingUpdate"][name];
        scaled(setting, count(self.wanted_nodes()), true)
    }

    fn wanted_nodes(&self) -> impl Iterator<Item = &str> {
        let wanted = self.nodes.iter().filter(|node| placement::should_run(self.template_spec(), node).0);
        wanted.map(|node| object::name(node))
    }

    /// Whether a node may have a new pod beside the old one.
    pub(super) fn surges(&self) -> bool {
        self.bound("maxSurge") > 0
    }

    /// Where new pods may be made beside old ones, and which old ones may go (`rollingUpdate`).
    pub(super) fn roll(&self) -> (Vec<String>, Vec<Arc<Object>>) {
        if self.surges() { self.surge() } else { (Vec::new(), self.replace()) }
    }

    /// The old and the new pod of a node, those that are stopping aside.
    fn pair(&self, node: &str) -> [Option<&Arc<Object>>; 2] {
        let staying = || self.pods_on(node).iter().filter(|pod| !object::is_terminating(pod));
        [staying().find(|pod| !self.is_new(pod)), staying().find(|pod| self.is_new(pod))]
    }

    /// Old pods that nobody misses go at once, the others as far as enough pods are left.
    fn replace(&self) -> Vec<Arc<Object>> {
        let (mut unavailable, mut victims, mut candidates) = (0, Vec::new(), Vec::new());
        for node in self.wanted_nodes() {
            match self.pair(node) {
                [Some(old), None] if self.is_available(old) => candidates.push(Arc::clone(old)),
                [Some(old), None] => {
                    unavailable += 1;
                    victims.push(Arc::clone(old));
                }
                [_, Some(new)] if self.is_available(new) => {}
                [_, Some(_)] | [None, None] => unavailable += 1,
            }
        }
        // At least one, or nothing could ever change.
        let room = usize::try_from(self.bound("maxUnavailable").max(1) - unavailable).unwrap_or_default();
        victims.extend(candidates.into_iter().take(room));
        victims
    }

    fn surge(&self) -> (Vec<String>, Vec<Arc<Object>>) {
        let (mut surging, mut create, mut candidates, mut delete) = (0, Vec::new(), Vec::new(), Vec::new());
        for node in self.wanted_nodes() {
            match self.pair(node) {
                [Some(old), None] if self.is_available(old) => candidates.push(node.to_owned()),
                [Some(_), None] => create.push(node.to_owned()),
                [Some(old), Some(new)] if self.is_available(new) => delete.push(Arc::clone(old)),
                [Some(_), Some(_)] => surging += 1,
                [None, _] => {}
            }
        }
        let room = usize::try_from(self.bound("maxSurge") - surging).unwrap_or_default();
        create.extend(candidates.into_iter().take(room));
        (create, delete)
    }
}
