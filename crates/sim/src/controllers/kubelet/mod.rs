//! Stands in for the kubelet of every node: what is bound to a node that lives, runs, and what is deleted, ends.

mod addresses;
mod behaviour;
mod container;
mod mounts;
mod node;
mod runtime;
mod status;
mod stop;
mod tell;

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use self::addresses::Addresses;
use self::node::Nodes;
use self::runtime::Runtime;
use self::tell::Teller;
use super::bound::{BoundPods, node_of};
use super::{Again, Cluster, Controller, Key, Queue};
use crate::kinds::PODS;
use crate::object;
use crate::programs::Running;
use crate::status::ApiError;
use crate::store::Change;

/// The kubelets of all nodes.
pub(crate) struct Kubelet {
    programs: Arc<Running>,
    nodes: Nodes,
    bound: BoundPods,
    pods: HashMap<Key, Pod>,
    addresses: Addresses,
    teller: Teller,
}

/// A pod that a kubelet has taken.
struct Pod {
    uid: String,
    address: Option<String>,
    /// Absent for a pod that was there before its kubelet with a status that stays.
    runtime: Option<Runtime>,
    /// When it was told to stop.
    told_to_stop: Option<Timestamp>,
}

impl Controller for Kubelet {
    fn observe(&mut self, change: &Change, cluster: &Cluster<'_>, queue: &mut Queue) {
        match change.kind.plural {
            "pods" => self.observe_pod(change, queue),
            "nodes" if self.nodes.observe(change, cluster, queue) => {
                self.bound.of(object::name(&change.object)).for_each(|pod| queue.add(pod.clone()));
            }
            _ => {}
        }
    }

    fn reconcile(&mut self, key: &Key, cluster: &Cluster<'_>) -> Result<Again, ApiError> {
        match key.kind.plural {
            "nodes" => self.nodes.reconcile(&key.name, cluster, &mut self.teller),
            _ => self.reconcile_pod(key, cluster),
        }
    }
}

impl Kubelet {
    pub(crate) fn new(programs: Arc<Running>) -> Kubelet {
        Kubelet {
            programs,
            nodes: Nodes::default(),
            bound: BoundPods::default(),
            pods: HashMap::new(),
            addresses: Addresses::default(),
            teller: Teller::default(),
        }
    }

    fn observe_pod(&mut self, change: &Change, queue: &mut Queue) {
        if node_of(change).is_none() {
            return;
        }
        self.bound.observe(change);
        let key = Key::of(PODS, &change.object);
        let address = change.object["status"]["podIP"].as_str().unwrap_or_default();
        if change.deleted {
            self.forget(&key);
            return self.addresses.give_back(address);
        }
        // Also before the kubelet takes the pod: another may get its address first.
        self.addresses.reserve(address);
        queue.add(key);
    }

    fn forget(&mut self, key: &Key) {
        let Some(Pod { uid, address, .. }) = self.pods.remove(key) else { return };
        self.programs.stop(&uid);
        if let Some(address) = address {
            self.addresses.give_back(&address);
        }
    }

    fn reconcile_pod(&mut self, key: &Key, cluster: &Cluster<'_>) -> Result<Again, ApiError> {
        let Ok(pod) = cluster.api.get(PODS, &key.namespace, &key.name) else {
            self.forget(key);
            return Ok(None);
        };
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        if !self.nodes.is_alive(node, cluster) {
            return Ok(None);
        }
        self.take(key, &pod, cluster);
        let Some(taken) = self.pods.get_mut(key) else { return Ok(None) };
        if object::is_terminating(&pod) {
            if cluster.faults.is_stuck(&key.namespace, &key.name) {
                return Ok(None);
            }
            let told = *taken.told_to_stop.get_or_insert_with(|| {
                self.teller.tell_of_stop(cluster, &pod);
                self.programs.stop(&taken.uid);
                cluster.now
            });
            let at = stop::stopped_at(&pod, told, cluster.delays.stop);
            if at > cluster.now {
                return Ok(Some(at));
            }
            return stop::finish(&pod, cluster).map(|()| None);
        }
        match &mut taken.runtime {
            _ if has_ended(&pod) => Ok(None),
            None => ready_again(&pod, cluster).map(|()| None),
            Some(runtime) => {
                let delays = cluster.delays;
                runtime.follow(&pod, cluster);
                for unmounted in runtime.mount(&pod, cluster) {
                    self.teller.tell_of_mount(cluster, &pod, &unmounted);
                }
                runtime.advance(delays, cluster.now);
                runtime.follow_programs(&pod, &self.programs, cluster.api);
                for container in runtime.init.iter_mut().chain(&mut runtime.main) {
                    for notice in container.take_notices() {
                        self.teller.tell(cluster, &pod, &container.plan, &notice);
                    }
                }
                let host = self.nodes.address(node);
                if runtime.address.is_none() && runtime.has_sandbox(delays, cluster.now) {
                    if pod["spec"]["hostNetwork"] == true {
                        runtime.address = host.map(str::to_owned);
                    } else {
                        taken.address = Some(self.addresses.take());
                        runtime.address.clone_from(&taken.address);
                    }
                }
                let write = |pod: &mut Value| status::write(pod, runtime, host, cluster.now);
                change_status(&pod, cluster, write)?;
                Ok(runtime.next_change(delays, cluster.now))
            }
        }
    }

    /// Notes a pod that the kubelet has not seen before.
    fn take(&mut self, key: &Key, pod: &Value, cluster: &Cluster<'_>) {
        let uid = object::field(pod, "metadata.uid");
        if self.pods.get(key).is_some_and(|taken| taken.uid == uid) {
            return;
        }
        self.forget(key);
        let is_known = pod["status"]["containerStatuses"].is_array() || has_ended(pod);
        let address = pod["status"]["podIP"].as_str().map(str::to_owned);
        let runtime = match is_known {
            true => Runtime::found(pod, cluster),
            false => Some(Runtime::new(pod, cluster)),
        };
        self.pods.insert(key.clone(), Pod { uid, address, runtime, told_to_stop: None });
    }
}

/// Whether nothing of the pod will run any more.
fn has_ended(pod: &Value) -> bool {
    pod["status"]["phase"] == "Succeeded" || pod["status"]["phase"] == "Failed"
}

/// A pod whose node was thought to be dead is ready again once its kubelet speaks.
fn ready_again(pod: &Value, cluster: &Cluster<'_>) -> Result<(), ApiError> {
    let holds = |condition| object::is_true(pod, condition);
    if holds("Ready") || !holds("ContainersReady") || status::unmet_gates(pod).is_some() {
        return Ok(());
    }
    change_status(pod, cluster, |pod| status::set_condition(pod, "Ready", None, cluster.now))
}

/// Changes the status of a pod, unless another has its name by now or it was deleted meanwhile.
fn change_status(
    pod: &Value,
    cluster: &Cluster<'_>,
    change: impl FnOnce(&mut Value),
) -> Result<(), ApiError> {
    let uid = &pod["metadata"]["uid"];
    let change = |present: &mut Value| {
        if present["metadata"]["uid"] == *uid && !object::is_terminating(present) {
            change(present);
        }
    };
    let (namespace, name) = (object::namespace(pod), object::name(pod));
    match cluster.api.update_status(PODS, namespace, name, change) {
        Err(error) if error.code != 404 => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}
