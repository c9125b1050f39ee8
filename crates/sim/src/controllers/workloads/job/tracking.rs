//! Counts each pod once, however often the controller is interrupted: `trackJobStatusAndRemoveFinalizers`.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Sync, free, has_failed, indexes, is_tracked};
use crate::controllers::workloads::fields::{count, list, number, uid};
use crate::controllers::workloads::pod;
use crate::kinds::JOBS;
use crate::object::{self, Object};
use crate::status::ApiError;

/// `MaxUncountedPods`: the rest is for the next look.
const MAX_UNCOUNTED: usize = 500;

impl Sync<'_> {
    /// Writes down which pods have ended, lets them go, and counts them then.
    pub(super) fn track(&mut self) -> Result<(), ApiError> {
        let mut uncounted = self.count_freed();
        let ended: Vec<_> =
            self.pods.iter().filter(|pod| is_tracked(pod) && self.has_ended(pod)).cloned().collect();
        let batch = &ended[..ended.len().min(MAX_UNCOUNTED)];
        for pod in batch {
            self.note(pod, &mut uncounted);
        }
        if indexes::is_indexed(&self.job) {
            let completed = indexes::print(&self.completed);
            let completed = if completed.is_empty() { Value::Null } else { completed.into() };
            object::set_or_remove(&mut self.job["status"], "completedIndexes", &completed);
        }
        self.fill_counts();
        if let Some(verdict) = self.verdict.clone()
            && object::condition(&self.job, verdict["type"].as_str().unwrap_or_default()).is_none()
        {
            object::set_condition(&mut self.job, verdict);
        }
        self.write(&uncounted)?;
        for pod in batch {
            free(pod, self.cluster)?;
        }
        self.add_up("succeeded", uncounted[0].len());
        self.add_up("failed", uncounted[1].len());
        if batch.len() == ended.len() {
            self.finish();
        }
        self.write(&[BTreeSet::new(), BTreeSet::new()])
    }

    /// Counts those that an earlier look let go; the others are still to be counted.
    fn count_freed(&mut self) -> [BTreeSet<String>; 2] {
        let tracked: BTreeSet<&str> =
            self.pods.iter().filter(|pod| is_tracked(pod)).map(|pod| uid(pod)).collect();
        let names = ["succeeded", "failed"];
        let (left, freed): (Vec<BTreeSet<String>>, Vec<usize>) = names
            .iter()
            .map(|name| {
                let noted = list(&self.job, &format!("/status/uncountedTerminatedPods/{name}"));
                let (left, freed): (BTreeSet<&str>, BTreeSet<&str>) =
                    noted.iter().filter_map(Value::as_str).partition(|uid| tracked.contains(uid));
                (left.into_iter().map(str::to_owned).collect(), freed.len())
            })
            .unzip();
        for (name, freed) in names.iter().zip(freed) {
            self.add_up(name, freed);
        }
        left.try_into().unwrap_or_default()
    }

    /// Whether nothing more is expected of the pod (`canRemoveFinalizer`).
    fn has_ended(&self, pod: &Value) -> bool {
        object::is_terminating(&self.job)
            || self.verdict.is_some()
            || has_failed(pod, &self.job)
            || pod["status"]["phase"] == "Succeeded"
    }

    /// Writes down how a pod has ended.
    fn note(&self, pod: &Value, uncounted: &mut [BTreeSet<String>; 2]) {
        let [succeeded, failed] = uncounted;
        let is_lost = self.verdict.as_ref().is_some_and(|verdict| verdict["type"] == "FailureTarget");
        if pod["status"]["phase"] == "Succeeded" && !failed.contains(uid(pod)) {
            // The index of a pod is what counts, not the pod.
            if !indexes::is_indexed(&self.job) {
                succeeded.insert(uid(pod).to_owned());
            }
        } else if has_failed(pod, &self.job) || is_lost {
            failed.insert(uid(pod).to_owned());
        }
    }

    fn add_up(&mut self, name: &str, many: usize) {
        if name == "succeeded" && indexes::is_indexed(&self.job) {
            return;
        }
        let total = number(&self.job, &format!("/status/{name}")) + i64::try_from(many).unwrap_or(i64::MAX);
        if total > 0 {
            self.job["status"][name] = total.into();
        }
    }

    fn fill_counts(&mut self) {
        let ready = count(self.active.iter().filter(|pod| pod::is_ready(pod)));
        let active = count(&self.active);
        let stopping = self.stopping;
        let indexed = indexes::is_indexed(&self.job).then(|| count(&self.completed));
        let status = &mut self.job["status"];
        object::set_or_remove(status, "active", &if active == 0 { Value::Null } else { active.into() });
        status["ready"] = ready.into();
        status["terminating"] = stopping.into();
        if let Some(completed) = indexed.filter(|completed| *completed > 0) {
            status["succeeded"] = completed.into();
        }
    }

    /// Adds the last condition, once no pod runs any more (`enactJobFinished`).
    fn finish(&mut self) {
        let Some(verdict) = self.verdict.clone() else { return };
        if self.stopping > 0 || !self.active.is_empty() {
            return;
        }
        let (reason, message) =
            (verdict["reason"].as_str().unwrap_or_default(), verdict["message"].as_str().unwrap_or_default());
        if verdict["type"] == "FailureTarget" {
            self.recorder.warning(self.cluster, &self.job, reason, message);
            let failed = self.condition("Failed", reason, message);
            object::set_condition(&mut self.job, failed);
        } else {
            self.recorder.normal(self.cluster, &self.job, "Completed", "Job completed");
            let complete = self.condition("Complete", reason, message);
            object::set_condition(&mut self.job, complete);
            self.job["status"]["completionTime"] = object::time(self.cluster.now).into();
        }
    }

    /// Writes the status with the pods that are yet to be counted.
    fn write(&mut self, uncounted: &[BTreeSet<String>; 2]) -> Result<(), ApiError> {
        let mut noted = Map::new();
        for (name, uids) in ["succeeded", "failed"].iter().zip(uncounted) {
            if !uids.is_empty() {
                noted.insert((*name).to_owned(), json!(uids));
            }
        }
        self.job["status"]["uncountedTerminatedPods"] = noted.into();
        let (namespace, name) = (object::namespace(&self.job), object::name(&self.job));
        let written: Result<Arc<Object>, ApiError> =
            self.cluster.api.update_status(JOBS, namespace, name, |present| {
                present["metadata"]["uid"] = uid(&self.job).into();
                present["status"] = self.job["status"].clone();
            });
        match written {
            // It went with its last pod.
            Err(error) if error.code == 404 => Ok(()),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
