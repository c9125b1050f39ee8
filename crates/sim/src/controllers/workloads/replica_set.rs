//! Keeps as many pods as a replica set or, the same in older words, a replication controller asks for
//! (`pkg/controller/replicaset`, `pkg/controller/replication`).

use std::sync::Arc;

use serde_json::{Value, json};

use super::fields::{count, earlier, nonzero, number, text, uid};
use super::owned::{Owned, controller_of};
use super::{Again, Cluster, Controller, Key, Queue, Recorder, pod, ranking};
use crate::api::{DeleteOptions, Preconditions};
use crate::kinds::{Kind, PODS, REPLICA_SETS, REPLICATION_CONTROLLERS};
use crate::object::{self, Object};
use crate::status::ApiError;
use crate::store::Change;

/// `BurstReplicas`: how many pods are made or deleted at a time.
const BURST: usize = 500;
/// A cluster is not made for more pods (kubernetes.io/docs/setup/best-practices/cluster-large): a mistyped number of
/// replicas shall not fill the memory.
pub(crate) const MAX_PODS: i64 = 150_000;

pub(crate) struct ReplicaSets {
    kind: &'static Kind,
    pods: Owned,
    recorder: Recorder,
}

impl ReplicaSets {
    pub(crate) fn new() -> ReplicaSets {
        ReplicaSets::of(REPLICA_SETS, "replicaset-controller")
    }

    pub(crate) fn replication_controllers() -> ReplicaSets {
        ReplicaSets::of(REPLICATION_CONTROLLERS, "replication-controller")
    }

    fn of(kind: &'static Kind, component: &'static str) -> ReplicaSets {
        ReplicaSets { kind, pods: Owned::new(PODS, kind), recorder: Recorder::new(component) }
    }
}

impl Controller for ReplicaSets {
    fn observe(&mut self, change: &Change, _: &Cluster<'_>, queue: &mut Queue) {
        self.pods.observe(change, queue);
    }

    fn reconcile(&mut self, key: &Key, cluster: &Cluster<'_>) -> Result<Again, ApiError> {
        let Ok(set) = cluster.api.get(self.kind, &key.namespace, &key.name) else { return Ok(None) };
        let claimed = self.pods.claim(&set, cluster)?;
        let active: Vec<_> = claimed.iter().filter(|pod| pod::is_active(pod)).cloned().collect();
        let managed = if object::is_terminating(&set) { Ok(()) } else { self.manage(&set, &active, cluster) };
        let stopping = count(claimed.iter().filter(|pod| pod::is_stopping(pod)));
        self.write_status(&set, &active, stopping, managed.as_ref().err(), cluster)?;
        managed.map_err(|(_, error)| error)?;
        Ok(next_available(&set, &active, cluster))
    }
}

impl ReplicaSets {
    /// Makes or deletes pods (`manageReplicas`). A failure comes with the reason of the condition that tells of it.
    fn manage(
        &mut self,
        set: &Value,
        active: &[Arc<Object>],
        cluster: &Cluster<'_>,
    ) -> Result<(), (&'static str, ApiError)> {
        let wanted = number(set, "/spec/replicas").min(MAX_PODS);
        let surplus = count(active) - wanted;
        let burst = usize::try_from(surplus.unsigned_abs()).map_or(BURST, |many| many.min(BURST));
        if surplus < 0 {
            for _ in 0..burst {
                self.create_pod(set, cluster).map_err(|error| ("FailedCreate", error))?;
            }
        } else if surplus > 0 {
            let mut victims = active.to_vec();
            ranking::sort_for_deletion(&mut victims, &self.related(set, active, cluster), cluster.now);
            for victim in victims.iter().take(burst) {
                self.delete_pod(set, victim, cluster).map_err(|error| ("FailedDelete", error))?;
            }
        }
        Ok(())
    }

    fn create_pod(&mut self, set: &Value, cluster: &Cluster<'_>) -> Result<(), ApiError> {
        match cluster.api.create(pod::from_template(&set["spec"]["template"], set)) {
            Ok(created) => {
                self.pods.note(&created);
                let message = format!("Created pod: {}", object::name(&created));
                self.recorder.normal(cluster, set, "SuccessfulCreate", &message);
                Ok(())
            }
            Err(error) => {
                let message = format!("Error creating: {}", error.message);
                self.recorder.warning(cluster, set, "FailedCreate", &message);
                Err(error)
            }
        }
    }

    fn delete_pod(&mut self, set: &Value, victim: &Value, cluster: &Cluster<'_>) -> Result<(), ApiError> {
        let name = object::name(victim);
        match delete_exactly(victim, cluster) {
            Ok(()) => {
                let message = format!("Deleted pod: {name}");
                self.recorder.normal(cluster, set, "SuccessfulDelete", &message);
                Ok(())
            }
            Err(error) => {
                let message = format!("Error deleting: {}", error.message);
                self.recorder.warning(cluster, set, "FailedDelete", &message);
                Err(error)
            }
        }
    }

    /// The pods of all replica sets of the same deployment (`getIndirectlyRelatedPods`).
    fn related(&mut self, set: &Value, own: &[Arc<Object>], cluster: &Cluster<'_>) -> Vec<Arc<Object>> {
        let Some(deployment) = controller_of(set).map(|owner| text(owner, "/uid")) else {
            return own.to_vec();
        };
        let sets = cluster.api.objects(REPLICA_SETS, Some(object::namespace(set)));
        let siblings = sets.iter().filter(|sibling| {
            controller_of(sibling).is_some_and(|owner| text(owner, "/uid") == deployment)
                && number(sibling, "/status/replicas") > 0
        });
        siblings.flat_map(|sibling| self.pods.of(sibling, cluster)).collect()
    }

    /// `calculateStatus` in `replica_set_utils.go`.
    fn write_status(
        &self,
        set: &Value,
        active: &[Arc<Object>],
        stopping: i64,
        failure: Option<&(&'static str, ApiError)>,
        cluster: &Cluster<'_>,
    ) -> Result<(), ApiError> {
        let template_labels = set["spec"]["template"]["metadata"]["labels"].as_object();
        let fully_labeled = |pod: &&Arc<Object>| {
            let labels = &pod["metadata"]["labels"];
            template_labels.into_iter().flatten().all(|(key, value)| labels[key.as_str()] == *value)
        };
        let min_ready = number(set, "/spec/minReadySeconds");
        let available =
            |pod: &&Arc<Object>| pod::available_at(pod, min_ready).is_some_and(|at| at <= cluster.now);
        let mut status = nonzero([
            ("fullyLabeledReplicas", count(active.iter().filter(fully_labeled))),
            ("readyReplicas", count(active.iter().filter(|pod| pod::is_ready(pod)))),
            ("availableReplicas", count(active.iter().filter(available))),
            ("observedGeneration", number(set, "/metadata/generation")),
        ]);
        status.insert("replicas".to_owned(), count(active).into());
        if std::ptr::eq(self.kind, REPLICA_SETS) {
            status.insert("terminatingReplicas".to_owned(), stopping.into());
        }
        let conditions = conditions(set, failure, cluster);
        if !conditions.is_empty() {
            status.insert("conditions".to_owned(), conditions.into());
        }
        cluster.api.update_status(self.kind, object::namespace(set), object::name(set), |present| {
            present["metadata"]["uid"] = uid(set).into();
            present["status"] = status.into();
        })?;
        Ok(())
    }
}

/// Deletes a pod, and not another one that has its name by now. One that is gone is fine.
pub(crate) fn delete_exactly(pod: &Value, cluster: &Cluster<'_>) -> Result<(), ApiError> {
    let preconditions = Preconditions { uid: Some(uid(pod).to_owned()), resource_version: None };
    let options = DeleteOptions { preconditions, ..DeleteOptions::default() };
    match cluster.api.delete(PODS, object::namespace(pod), object::name(pod), &options) {
        Ok(_) => Ok(()),
        Err(error) if error.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}

/// The conditions with `ReplicaFailure` as long as something fails.
fn conditions(set: &Value, failure: Option<&(&'static str, ApiError)>, cluster: &Cluster<'_>) -> Vec<Value> {
    let present = object::condition(set, "ReplicaFailure");
    let mut conditions = super::fields::list(set, "/status/conditions").to_vec();
    match (failure, present) {
        (Some(_), Some(_)) | (None, None) => {}
        (None, Some(_)) => conditions.retain(|condition| condition["type"] != "ReplicaFailure"),
        (Some((reason, error)), None) => conditions.push(json!({
            "type": "ReplicaFailure",
            "status": "True",
            "lastTransitionTime": object::time(cluster.now),
            "reason": reason,
            "message": error.message,
        })),
    }
    conditions
}

/// When the next pod will have been ready for long enough.
fn next_available(set: &Value, active: &[Arc<Object>], cluster: &Cluster<'_>) -> Again {
    let min_ready = number(set, "/spec/minReadySeconds");
    let times = active.iter().map(|pod| pod::available_at(pod, min_ready));
    times.filter(|at| at.is_some_and(|at| at > cluster.now)).fold(None, earlier)
}
