//! Keeps pods that have a name and storage of their own (`pkg/controller/statefulset`).

mod identity;
mod status;
mod update;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::fields::{earlier, number, text};
use super::owned::Owned;
use super::replica_set::{MAX_PODS, delete_exactly};
use super::revisions::Revisions;
use super::{Again, Cluster, Controller, Key, Queue, Recorder, pod};
use crate::kinds::{CONTROLLER_REVISIONS, PODS, STATEFUL_SETS};
use crate::object::{self, Object};
use crate::status::ApiError;
use crate::store::Change;

/// `ControllerRevisionHashLabelKey` of `pkg/controller/history`.
const REVISION_HASH: &str = "controller.kubernetes.io/hash";
/// `StatefulSetRevisionLabel`
const REVISION_LABEL: &str = "controller-revision-hash";
/// How many pods are made or deleted at a time.
const BURST: usize = 500;

pub(crate) struct StatefulSets {
    pods: Owned,
    revisions: Owned,
    recorder: Recorder,
}

/// A stateful set during one look at it.
struct Look<'a> {
    cluster: &'a Cluster<'a>,
    recorder: &'a mut Recorder,
    index: &'a mut Owned,
    set: Arc<Object>,
    /// By ordinal, whether or not the set still wants it.
    pods: BTreeMap<i64, Arc<Object>>,
    revisions: Revisions,
    /// The revision that all pods had before the update.
    current: Arc<Object>,
    again: Again,
}

impl StatefulSets {
    pub(crate) fn new() -> StatefulSets {
        StatefulSets {
            pods: Owned::new(PODS, STATEFUL_SETS),
            revisions: Owned::new(CONTROLLER_REVISIONS, STATEFUL_SETS),
            recorder: Recorder::new("statefulset-controller"),
        }
    }
}

impl Controller for StatefulSets {
    fn observe(&mut self, change: &Change, _: &Cluster<'_>, queue: &mut Queue) {
        self.pods.observe(change, queue);
        self.revisions.observe(change, queue);
    }

    fn reconcile(&mut self, key: &Key, cluster: &Cluster<'_>) -> Result<Again, ApiError> {
        let Ok(set) = cluster.api.get(STATEFUL_SETS, &key.namespace, &key.name) else { return Ok(None) };
        let claimed = self.pods.claim(&set, cluster)?;
        let revisions = Revisions::of(&set, &mut self.revisions, REVISION_HASH, cluster)?;
        let named = text(&set, "/status/currentRevision");
        let current = revisions.all.iter().find(|revision| object::name(revision) == named);
        let current = Arc::clone(current.unwrap_or(&revisions.update));
        let pods = claimed.into_iter().filter_map(|pod| Some((identity::ordinal(&pod, &set)?, pod)));
        let mut look = Look {
            cluster,
            recorder: &mut self.recorder,
            index: &mut self.pods,
            pods: pods.collect(),
            set,
            revisions,
            current,
            again: None,
        };
        let managed = if object::is_terminating(&look.set) { Ok(()) } else { look.manage() };
        look.write_status()?;
        managed?;
        look.revisions.truncate(&look.set, &look.revisions_in_use(), cluster)?;
        Ok(look.again)
    }
}

impl Look<'_> {
    fn is_parallel(&self) -> bool {
        self.set["spec"]["podManagementPolicy"] == "Parallel"
    }

    fn first(&self) -> i64 {
        number(&self.set, "/spec/ordinals/start")
    }

    /// The first ordinal that the set does not want.
    fn end(&self) -> i64 {
        self.first().saturating_add(number(&self.set, "/spec/replicas").min(MAX_PODS))
    }

    /// `updateStatefulSet`: what is missing, what is too much, what is old.
    fn manage(&mut self) -> Result<(), ApiError> {
        if self.keep_wanted()? && self.end_unwanted()? {
            self.roll()?;
        }
        Ok(())
    }

    /// Makes pods in order, each after the one before it is available; whether all are as they should be.
    fn keep_wanted(&mut self) -> Result<bool, ApiError> {
        let mut made = 0;
        for ordinal in self.first()..self.end() {
            let is_well = match self.pods.get(&ordinal).cloned() {
                None => {
                    self.create_pod(ordinal)?;
                    made += 1;
                    false
                }
                Some(pod) => self.keep(&pod)?,
            };
            if (!is_well && !self.is_parallel()) || made == BURST {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the pod is available; one that has ended is deleted to be made again.
    fn keep(&mut self, pod: &Arc<Object>) -> Result<bool, ApiError> {
        if object::is_terminating(pod) {
            return Ok(false);
        }
        if pod::is_finished(pod) {
            let message = format!(
                "StatefulSet {}/{} is recreating failed Pod {}",
                object::namespace(&self.set),
                object::name(&self.set),
                object::name(pod),
            );
            self.recorder.warning(self.cluster, &self.set, "RecreatingFailedPod", &message);
            self.delete_pod(pod)?;
            return Ok(false);
        }
        Ok(self.is_available(pod))
    }

    fn is_available(&mut self, pod: &Value) -> bool {
        let at = pod::available_at(pod, number(&self.set, "/spec/minReadySeconds"));
        let waits = at.filter(|at| *at > self.cluster.now);
        self.again = earlier(self.again, waits);
        at.is_some() && waits.is_none()
    }

    /// Deletes pods beyond the last that is wanted, the highest first; whether there are none any more.
    fn end_unwanted(&mut self) -> Result<bool, ApiError> {
        let wanted = self.first()..self.end();
        let unwanted: Vec<_> = self
            .pods
            .iter()
            .rev()
            .filter(|(ordinal, _)| !wanted.contains(ordinal))
            .map(|(_, pod)| pod)
            .cloned()
            .collect();
        // One that never becomes well must not hold up the others.
        let unhealthy =
            self.pods.values().find(|pod| !is_healthy(pod)).map(|pod| object::name(pod).to_owned());
        for pod in unwanted.iter().take(BURST) {
            let waits = object::is_terminating(pod)
                || (!pod::is_ready(pod) && unhealthy.as_deref() != Some(object::name(pod)));
            if waits && !self.is_parallel() {
                return Ok(false);
            }
            if !object::is_terminating(pod) {
                self.delete_pod(pod)?;
            }
            if !self.is_parallel() {
                return Ok(false);
            }
        }
        Ok(unwanted.is_empty() || self.is_parallel())
    }

    fn delete_pod(&mut self, pod: &Value) -> Result<(), ApiError> {
        let deleted = delete_exactly(pod, self.cluster);
        let (name, set) = (object::name(pod), object::name(&self.set).to_owned());
        match &deleted {
            Ok(()) => {
                let message = format!("delete Pod {name} in StatefulSet {set} successful");
                self.recorder.normal(self.cluster, &self.set, "SuccessfulDelete", &message);
            }
            Err(error) => {
                let message =
                    format!("delete Pod {name} in StatefulSet {set} failed error: {}", error.message);
                self.recorder.warning(self.cluster, &self.set, "FailedDelete", &message);
            }
        }
        deleted
    }

    fn revisions_in_use(&self) -> BTreeSet<String> {
        let of_pods = self.pods.values().map(|pod| identity::revision_of(pod).to_owned());
        let fixed = [&self.current, &self.revisions.update].map(|revision| object::name(revision).to_owned());
        of_pods.chain(fixed).collect()
    }
}

/// `isHealthy`: it runs, is ready and stays.
fn is_healthy(pod: &Value) -> bool {
    text(pod, "/status/phase") == "Running" && pod::is_ready(pod) && !object::is_terminating(pod)
}
