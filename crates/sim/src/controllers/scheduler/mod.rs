//! The scheduler: gives each pod that waits for a node to the best one, or says why there is none
//! (`pkg/scheduler/schedule_one.go`). It never preempts.

mod cache;
mod filter;
mod node_selector;
mod pod_affinity;
mod resources;
mod spread;
mod spread_score;
mod verdict;
mod volumes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use self::cache::{Cache, Node};
use self::filter::Candidate;
use self::spread_score::SpreadScore;
use self::verdict::{Misfit, Unschedulable};
use super::{Again, Cluster, Controller, Key, Queue, Recorder, later};
use crate::kinds::PODS;
use crate::object::{self, Object};
use crate::status::ApiError;
use crate::store::Change;

/// The name by which pods ask for this scheduler.
const NAME: &str = "default-scheduler";
/// A change that may help pods that wait is answered this much later, with all that follow it.
const PAUSE: Duration = Duration::from_millis(20);
/// `minFeasibleNodesToFind`: in a larger cluster the search ends with so many nodes, or with a share of them.
const MIN_FEASIBLE: usize = 100;

/// The scheduler.
pub(crate) struct Scheduler {
    cache: Cache,
    /// Pods for which there was no node, and whether other pods can help them to one.
    waiting: BTreeMap<Key, bool>,
    events: Recorder,
    /// Where the search for nodes begins, so that all get their turn.
    start: usize,
}

impl Default for Scheduler {
    fn default() -> Scheduler {
        let events = Recorder::new(NAME);
        Scheduler { cache: Cache::default(), waiting: BTreeMap::new(), events, start: 0 }
    }
}

impl Controller for Scheduler {
    fn observe(&mut self, change: &Change, cluster: &Cluster<'_>, queue: &mut Queue) {
        match change.kind.plural {
            "pods" => self.observe_pod(change, cluster, queue),
            "nodes" => {
                let name = object::name(&change.object);
                if change.deleted {
                    self.cache.nodes.remove(name);
                } else if !self.knows(&change.object) {
                    self.cache.set_node(&change.object);
                    self.retry(false, cluster, queue);
                }
            }
            "persistentvolumeclaims" | "persistentvolumes" | "storageclasses" => {
                self.retry(false, cluster, queue);
            }
            _ => {}
        }
    }

    fn reconcile(&mut self, key: &Key, cluster: &Cluster<'_>) -> Result<Again, ApiError> {
        self.waiting.remove(key);
        let Ok(pod) = cluster.api.get(PODS, &key.namespace, &key.name) else { return Ok(None) };
        if !is_to_be_scheduled(&pod) {
            return Ok(None);
        }
        match self.find(&pod, cluster) {
            Ok(Found { node, waits: false }) => {
                let bound = match cluster.api.bind(&key.namespace, &key.name, &node) {
                    // It was deleted or bound meanwhile: the change tells more.
                    Err(error) if error.code == 404 || error.code == 409 => return Ok(None),
                    answer => answer?,
                };
                self.cache.place(key, &bound);
                let message = format!("Successfully assigned {}/{} to {node}", key.namespace, key.name);
                self.events.normal(cluster, &bound, "Scheduled", &message);
            }
            // Its claims are bound first, and then it is looked at again.
            Ok(Found { waits: true, .. }) => drop(self.waiting.insert(key.clone(), false)),
            Err(why) => {
                self.waiting.insert(key.clone(), pod_affinity::looks_at_pods(&pod));
                let never = pod["spec"]["preemptionPolicy"] == "Never";
                self.refuse(&pod, &why.message(never), cluster)?;
            }
        }
        Ok(None)
    }
}

/// A node for a pod.
struct Found {
    node: String,
    /// Whether the pod's volumes are to be made there first.
    waits: bool,
}

impl Scheduler {
    fn observe_pod(&mut self, change: &Change, cluster: &Cluster<'_>, queue: &mut Queue) {
        let (pod, key) = (&change.object, Key::of(PODS, &change.object));
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        let is_over = change.deleted || has_ended(pod);
        if is_over {
            self.waiting.remove(&key);
            if self.cache.remove(&key) {
                self.retry(false, cluster, queue);
            }
        } else if !node.is_empty() {
            let was_elsewhere =
                change.before.as_ref().is_none_or(|before| before["spec"]["nodeName"] != node);
            self.cache.place(&key, pod);
            if was_elsewhere {
                self.retry(true, cluster, queue);
            }
        } else if is_to_be_scheduled(pod) {
            let is_changed = change.before.as_ref().is_none_or(|before| {
                before["spec"] != pod["spec"] || before["metadata"]["labels"] != pod["metadata"]["labels"]
            });
            if is_changed {
                queue.add_at(key, later(cluster.now, cluster.delays.schedule));
            }
        }
    }

    /// Whether nothing of a node has changed that matters here: heartbeats do not.
    fn knows(&self, node: &Value) -> bool {
        self.cache.nodes.get(object::name(node)).is_some_and(|known| {
            known.object["spec"] == node["spec"]
                && known.object["metadata"]["labels"] == node["metadata"]["labels"]
                && known.object["status"]["allocatable"] == node["status"]["allocatable"]
        })
    }

    /// Looks again at the pods that wait; where only a pod came to a node, at those that look at other pods.
    fn retry(&mut self, only_affine: bool, cluster: &Cluster<'_>, queue: &mut Queue) {
        let pause = PAUSE.min(cluster.delays.schedule);
        let waiting = self.waiting.iter().filter(|(_, is_affine)| !only_affine || **is_affine);
        waiting.for_each(|(key, _)| queue.add_at(key.clone(), later(cluster.now, pause)));
    }

    fn find(&mut self, pod: &Value, cluster: &Cluster<'_>) -> Result<Found, Unschedulable> {
        let nodes = self.cache.nodes.len();
        if nodes == 0 {
            return Err(Unschedulable::NoNodes);
        }
        let candidate = Candidate::new(pod, &self.cache, cluster.api)
            .map_err(|reason| Unschedulable::Pod { reason, nodes })?;
        let (fitting, misfits) = self.search(&candidate);
        let spread = SpreadScore::of(pod, &fitting, &self.cache, cluster.api);
        let best = fitting.into_iter().max_by_key(|(name, node)| {
            let score = candidate.score(name, node, &self.cache) + spread.of_node(&node.object);
            let pods = self.cache.used(name).map_or(0, |used| used.pods.len());
            (score, std::cmp::Reverse(pods), std::cmp::Reverse(*name))
        });
        let Some((node, _)) = best else { return Err(Unschedulable::Nodes(misfits)) };
        let node = node.clone();
        self.start = (self.start + 1) % nodes;
        let waits = candidate.volumes.select_node(&node, cluster.api).unwrap_or(true);
        Ok(Found { node, waits })
    }

    /// The nodes that the pod can go to, and what is wrong with the others. In a large cluster the search ends once
    /// there are enough (`findNodesThatPassFilters`).
    fn search(&self, candidate: &Candidate<'_>) -> (Vec<(&String, &Node)>, Vec<Misfit>) {
        let nodes = &self.cache.nodes;
        if let Some(names) = candidate.selector.names() {
            let (mut fitting, mut misfits) = (Vec::new(), Vec::new());
            for (name, node) in names.iter().filter_map(|name| nodes.get_key_value(*name)) {
                match candidate.check(name, node, &self.cache) {
                    Ok(()) => fitting.push((name, node)),
                    Err(misfit) => misfits.push(misfit),
                }
            }
            let others = nodes.len() - fitting.len() - misfits.len();
            let other = Misfit::lasting("node(s) didn't satisfy plugin(s) [NodeAffinity]");
            misfits.extend(std::iter::repeat_n(other, others));
            return (fitting, misfits);
        }
        let enough = enough(nodes.len());
        let (mut fitting, mut misfits) = (Vec::new(), Vec::new());
        for (name, node) in nodes.iter().cycle().skip(self.start).take(nodes.len()) {
            match candidate.check(name, node, &self.cache) {
                Ok(()) => fitting.push((name, node)),
                Err(misfit) => misfits.push(misfit),
            }
            if fitting.len() >= enough {
                break;
            }
        }
        (fitting, misfits)
    }

    /// Tells why there is no node for the pod.
    fn refuse(&mut self, pod: &Arc<Object>, message: &str, cluster: &Cluster<'_>) -> Result<(), ApiError> {
        self.events.warning(cluster, pod, "FailedScheduling", message);
        let now = object::time(cluster.now);
        let refuse = |present: &mut Value| {
            if present["metadata"]["uid"] != pod["metadata"]["uid"] {
                return;
            }
            let before =
                object::condition(present, "PodScheduled").filter(|found| found["status"] == "False");
            let since = before.map_or_else(|| now.into(), |found| found["lastTransitionTime"].clone());
            object::set_condition(
                present,
                json!({
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "Unschedulable",
                    "message": message,
                    "lastProbeTime": null,
                    "lastTransitionTime": since,
                }),
            );
        };
        match cluster.api.update_status(PODS, object::namespace(pod), object::name(pod), refuse) {
            Err(error) if error.code != 404 => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

fn has_ended(pod: &Value) -> bool {
    pod["status"]["phase"] == "Succeeded" || pod["status"]["phase"] == "Failed"
}

/// Whether the pod waits for this scheduler to give it a node.
fn is_to_be_scheduled(pod: &Value) -> bool {
    let is_empty = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
    pod["spec"]["nodeName"].as_str().unwrap_or_default().is_empty()
        && pod["spec"]["schedulerName"].as_str().unwrap_or(NAME) == NAME
        && is_empty(&pod["spec"]["schedulingGates"])
        && !object::is_terminating(pod)
        && !has_ended(pod)
}

/// `numFeasibleNodesToFind`: of 5000 nodes a tenth, of fewer a greater share.
fn enough(nodes: usize) -> usize {
    let share = 50_usize.saturating_sub(nodes / 125).max(5);
    (nodes * share / 100).max(MIN_FEASIBLE)
}
