//! Which pods a job makes and deletes: `manageJob` and `backoff_utils.go` of `pkg/controller/job`.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::indexes::{self, COMPLETION_INDEX};
use super::{Sync, TRACKING, free, has_failed, replaces_only_ended};
use crate::controllers::Again;
use crate::controllers::workloads::fields::{count, list, number, set, time};
use crate::controllers::workloads::replica_set::delete_exactly;
use crate::controllers::workloads::{pod, ranking};
use crate::object::{self, Object, seconds_later};
use crate::status::ApiError;

/// `MaxPodCreateDeletePerSync`
const BURST: usize = 500;
/// `DefaultJobPodFailureBackOff` and `MaxJobPodFailureBackOff`, in seconds.
const FIRST_BACKOFF: i64 = 10;
const MAX_BACKOFF: i64 = 600;

impl Sync<'_> {
    /// Makes as many pods run as should; when to go on where the last failure asks for patience.
    pub(super) fn manage(&mut self) -> Result<Again, ApiError> {
        if self.is_suspended() {
            return self.delete_some(self.active.clone()).map(|()| None);
        }
        let active = count(&self.active);
        let wanted = self.wanted();
        if active > wanted {
            let victims = self.victims(active - wanted);
            return self.delete_some(victims).map(|()| None);
        }
        let stopping = if replaces_only_ended(&self.job) { self.stopping } else { 0 };
        let missing = usize::try_from(wanted - active - stopping).unwrap_or_default().min(BURST);
        if missing == 0 {
            return Ok(None);
        }
        if let Some(at) = self.backoff().filter(|at| *at > self.cluster.now) {
            return Ok(Some(at));
        }
        if indexes::is_indexed(&self.job) {
            let mut taken: BTreeSet<i64> = self.completed.clone();
            taken.extend(self.active.iter().filter_map(|pod| indexes::of_pod(pod, &self.job)));
            for index in indexes::pending(&self.job, &taken, missing) {
                self.create_pod(self.indexed_pod(index))?;
            }
        } else {
            for _ in 0..missing {
                self.create_pod(pod::from_template(&self.job["spec"]["template"], &self.job))?;
            }
        }
        Ok(None)
    }

    /// How many pods should be active.
    fn wanted(&self) -> i64 {
        let parallelism = number(&self.job, "/spec/parallelism");
        match self.job["spec"]["completions"].as_i64() {
            // One success is enough: nothing new is begun after it.
            None if self.succeeded > 0 => count(&self.active),
            None => parallelism,
            Some(completions) => (completions - self.succeeded).min(parallelism).max(0),
        }
    }

    fn victims(&self, many: i64) -> Vec<Arc<Object>> {
        let mut victims = self.active.clone();
        ranking::sort_for_deletion(&mut victims, &self.active, self.cluster.now);
        victims.truncate(usize::try_from(many).unwrap_or_default().min(BURST));
        victims
    }

    /// The time after the last failure: longer after each one since the last success.
    fn backoff(&self) -> Option<Timestamp> {
        let success = self.pods.iter().filter(|pod| pod["status"]["phase"] == "Succeeded");
        let success = success.filter_map(|pod| ended_at(pod)).max();
        let failures: Vec<_> = self
            .pods
            .iter()
            .filter(|pod| has_failed(pod, &self.job))
            .filter_map(|pod| ended_at(pod))
            .filter(|at| success.is_none_or(|success| *at > success))
            .collect();
        let last = failures.iter().max()?;
        let doublings = u32::try_from(failures.len() - 1).unwrap_or(u32::MAX).min(16);
        Some(seconds_later(*last, (FIRST_BACKOFF << doublings).min(MAX_BACKOFF)))
    }

    fn create_pod(&mut self, mut wanted: Value) -> Result<(), ApiError> {
        let mut finalizers = list(&wanted, "/metadata/finalizers").to_vec();
        finalizers.push(TRACKING.into());
        set(&mut wanted, &["metadata", "finalizers"], finalizers.into());
        match self.cluster.api.create(wanted) {
            Ok(created) => {
                self.index.note(&created);
                let message = format!("Created pod: {}", object::name(&created));
                self.recorder.normal(self.cluster, &self.job, "SuccessfulCreate", &message);
                self.active.push(created);
                Ok(())
            }
            Err(error) => {
                let message = format!("Error creating: {}", error.message);
                self.recorder.warning(self.cluster, &self.job, "FailedCreate", &message);
                Err(error)
            }
        }
    }

    /// The pod of one index, which knows it by name and environment.
    fn indexed_pod(&self, index: i64) -> Value {
        let mut wanted = pod::from_template(&self.job["spec"]["template"], &self.job);
        let (name, text) = (object::name(&self.job), index.to_string());
        set(&mut wanted, &["metadata", "annotations", COMPLETION_INDEX], text.as_str().into());
        set(&mut wanted, &["metadata", "labels", COMPLETION_INDEX], text.as_str().into());
        set(&mut wanted, &["metadata", "generateName"], format!("{name}-{index}-").into());
        set(&mut wanted, &["spec", "hostname"], format!("{name}-{index}").into());
        for containers in ["initContainers", "containers"] {
            let containers = wanted["spec"].get_mut(containers).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten() {
                let mut env = list(container, "/env").to_vec();
                let path = format!("metadata.labels['{COMPLETION_INDEX}']");
                if !env.iter().any(|variable| variable["name"] == "JOB_COMPLETION_INDEX") {
                    let from = json!({ "fieldRef": { "fieldPath": path } });
                    env.push(json!({ "name": "JOB_COMPLETION_INDEX", "valueFrom": from }));
                }
                set(container, &["env"], env.into());
            }
        }
        wanted
    }

    /// Ends the pods of a job that is decided; they are counted as they go.
    pub(super) fn delete_active(&mut self) -> Result<(), ApiError> {
        for victim in self.active.clone() {
            delete_exactly(&victim, self.cluster)?;
            self.deleted(&victim);
        }
        self.stopping += count(&self.active);
        self.active.clear();
        Ok(())
    }

    /// Deletes pods that nobody counts: they neither failed nor succeeded.
    fn delete_some(&mut self, victims: Vec<Arc<Object>>) -> Result<(), ApiError> {
        for victim in victims {
            free(&victim, self.cluster)?;
            delete_exactly(&victim, self.cluster)?;
            self.deleted(&victim);
            self.active.retain(|pod| !Arc::ptr_eq(pod, &victim));
            self.pods.retain(|pod| !Arc::ptr_eq(pod, &victim));
            self.stopping += 1;
        }
        Ok(())
    }

    fn deleted(&mut self, victim: &Value) {
        let message = format!("Deleted pod: {}", object::name(victim));
        self.recorder.normal(self.cluster, &self.job, "SuccessfulDelete", &message);
    }
}

/// When the pod ended: its last container, or else its deletion (`getFinishedTime`).
fn ended_at(pod: &Value) -> Option<Timestamp> {
    let containers = list(pod, "/status/containerStatuses").iter();
    let ended = containers.filter_map(|status| time(status, "/state/terminated/finishedAt")).max();
    ended
        .or_else(|| {
            let ready = object::condition(pod, "Ready").filter(|ready| ready["status"] == "False");
            ready.and_then(|ready| time(ready, "/lastTransitionTime"))
        })
        .or_else(|| {
            let deleted = time(pod, "/metadata/deletionTimestamp")?;
            Some(seconds_later(deleted, -number(pod, "/metadata/deletionGracePeriodSeconds")))
        })
        .or_else(|| time(pod, "/metadata/creationTimestamp"))
}
