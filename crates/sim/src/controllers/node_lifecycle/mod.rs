//! What the control plane makes of the state of nodes: whether their kubelets still speak, the taints that follow, and
//! what becomes of their pods (`pkg/controller/nodelifecycle`, `pkg/controller/tainteviction`, `pkg/controller/podgc`).

mod eviction;
mod health;
mod pod_gc;

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::bound::{BoundPods, node_of};
use super::{Again, Cluster, Controller, Key, Queue, Recorder, later};
use crate::kinds::{NODES, PODS};
use crate::object;
use crate::status::ApiError;
use crate::store::Change;

/// How long a kubelet may be silent: `--node-monitor-grace-period`, at the length of a node's lease.
const GRACE: Duration = Duration::from_secs(40);
/// `quarantineTime` of `gc_controller.go`: the pods of a node stay so long after it is gone.
const QUARANTINE: Duration = Duration::from_secs(40);
/// Events are kept for an hour.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);
/// A kubelet that seems to be silent is looked at once more: it may be about to speak, as after the clock was moved.
const SECOND_LOOK: Duration = Duration::from_millis(100);

/// Looks after nodes.
pub(crate) struct NodeLifecycle {
    seen: HashMap<String, Seen>,
    bound: BoundPods,
    events: Recorder,
}

/// When a node's kubelet spoke last.
struct Seen {
    at: Timestamp,
    is_suspect: bool,
}

impl Default for NodeLifecycle {
    fn default() -> NodeLifecycle {
        let events = Recorder::new("node-controller");
        NodeLifecycle { seen: HashMap::new(), bound: BoundPods::default(), events }
    }
}

impl Controller for NodeLifecycle {
    fn observe(&mut self, change: &Change, cluster: &Cluster<'_>, queue: &mut Queue) {
        match change.kind.plural {
            "nodes" => self.observe_node(change, cluster, queue),
            "pods" => self.observe_pod(change, cluster, queue),
            "leases" if object::namespace(&change.object) == "kube-node-lease" && !change.deleted => {
                let renewed = change.object["spec"]["renewTime"].as_str().and_then(|time| time.parse().ok());
                let seen = self.seen.get_mut(object::name(&change.object));
                if let (Some(seen), Some(renewed)) = (seen, renewed) {
                    let renewed: Timestamp = renewed;
                    // The same lease may be shown once more: only a newer one is a sign of life.
                    if renewed > seen.at {
                        *seen = Seen { at: renewed.min(cluster.now), is_suspect: false };
                    }
                }
            }
            _ => {}
        }
    }

    fn reconcile(&mut self, key: &Key, cluster: &Cluster<'_>) -> Result<Again, ApiError> {
        if key.kind.plural == "pods" {
            return eviction::reconcile(key, cluster, &mut self.events);
        }
        let Ok(node) = cluster.api.get(NODES, "", &key.name) else {
            let mut pods = self.bound.of(&key.name);
            return pods.try_for_each(|pod| pod_gc::collect(pod, cluster)).map(|()| None);
        };
        health::mirror_labels(&node, cluster)?;
        health::update_taints(&node, cluster)?;
        pod_gc::collect_out_of_service(&node, self.bound.of(&key.name), cluster)?;
        self.watch_health(&node, cluster)
    }
}

impl NodeLifecycle {
    fn observe_node(&mut self, change: &Change, cluster: &Cluster<'_>, queue: &mut Queue) {
        let name = object::name(&change.object);
        let key = Key::new(NODES, "", name);
        if change.deleted {
            let message = format!("Node {name} event: Removing Node {name} from Controller");
            self.events.normal(cluster, &change.object, "RemovingNode", &message);
            self.seen.remove(name);
            return queue.add_at(key, later(cluster.now, QUARANTINE));
        }
        let heartbeat =
            |node: &Value| object::condition(node, "Ready").map(|ready| ready["lastHeartbeatTime"].clone());
        let speaks =
            change.before.as_ref().is_none_or(|before| heartbeat(before) != heartbeat(&change.object));
        let seen = Seen { at: cluster.now, is_suspect: false };
        if !self.seen.contains_key(name) && is_new(&change.object, cluster.now) {
            let message = format!("Node {name} event: Registered Node {name} in Controller");
            self.events.normal(cluster, &change.object, "RegisteredNode", &message);
        }
        if !self.seen.contains_key(name) || (speaks && change.before.is_some()) {
            self.seen.insert(name.to_owned(), seen);
        }
        let before = change.before.as_deref().map(|before| &**before);
        let differs =
            |part: fn(&Value) -> &Value| before.is_none_or(|before| part(before) != part(&change.object));
        if differs(|node| &node["spec"]["taints"]) {
            self.bound.of(name).for_each(|pod| queue.add(pod.clone()));
        }
        if differs(|node| &node["spec"])
            || differs(|node| &node["metadata"]["labels"])
            || differs(|node| &node["status"])
        {
            queue.add(key);
        }
    }

    fn observe_pod(&mut self, change: &Change, cluster: &Cluster<'_>, queue: &mut Queue) {
        let Some(node) = node_of(change) else { return };
        self.bound.observe(change);
        let before = change.before.as_deref().map(|before| &before["spec"]);
        if change.deleted || before == Some(&change.object["spec"]) {
            return;
        }
        if self.seen.contains_key(node) {
            queue.add(Key::of(PODS, &change.object));
        } else {
            queue.add_at(Key::new(NODES, "", node), later(cluster.now, QUARANTINE));
        }
    }

    /// Nobody knows how a node is whose kubelet has not spoken for too long (`tryUpdateNodeHealth`).
    fn watch_health(&mut self, node: &Value, cluster: &Cluster<'_>) -> Result<Again, ApiError> {
        let (name, now) = (object::name(node), cluster.now);
        let seen = self.seen.entry(name.to_owned()).or_insert(Seen { at: now, is_suspect: false });
        let silent_at = later(seen.at, GRACE);
        if silent_at > now {
            return Ok(Some(silent_at));
        }
        if !seen.is_suspect {
            seen.is_suspect = true;
            return Ok(Some(later(now, SECOND_LOOK)));
        }
        let was_ready = object::is_true(node, "Ready");
        health::mark_unknown(name, cluster)?;
        if was_ready {
            let message = format!("Node {name} status is now: NodeNotReady");
            self.events.normal(cluster, node, "NodeNotReady", &message);
            for pod in self.bound.of(name) {
                health::mark_pod_not_ready(pod, cluster, &mut self.events)?;
            }
        }
        // It is looked at again when it speaks.
        Ok(None)
    }
}

/// Whether a node has just come: what was told of older ones is forgotten by now.
fn is_new(node: &Value, now: Timestamp) -> bool {
    let created = node["metadata"]["creationTimestamp"].as_str().and_then(|time| time.parse().ok());
    created.is_some_and(|created| later(created, REMEMBERED) > now)
}
