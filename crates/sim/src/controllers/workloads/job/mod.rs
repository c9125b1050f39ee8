//! Runs the pods of a job until enough of them have succeeded (`pkg/controller/job`).

mod indexes;
mod pods;
mod tracking;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::fields::{count, list, number, text, time, uid};
use super::owned::{Owned, controller_of, remove};
use super::{Again, Cluster, Controller, Key, Queue, Recorder, pod};
use crate::api::{DeleteOptions, Preconditions, Propagation};
use crate::kinds::{JOBS, PODS};
use crate::object::{self, Object, seconds_later};
use crate::status::ApiError;
use crate::store::Change;

/// `JobTrackingFinalizer`: keeps a pod until it is counted.
const TRACKING: &str = "batch.kubernetes.io/job-tracking";
/// `JobControllerName`: whoever else is named in `spec.managedBy` does the work instead.
const MANAGER: &str = "kubernetes.io/job-controller";

pub(crate) struct Jobs {
    pods: Owned,
    recorder: Recorder,
}

/// One look at a job (`syncJobCtx`).
struct Sync<'a> {
    cluster: &'a Cluster<'a>,
    recorder: &'a mut Recorder,
    index: &'a mut Owned,
    /// The job with the status as it will be.
    job: Value,
    pods: Vec<Arc<Object>>,
    active: Vec<Arc<Object>>,
    stopping: i64,
    succeeded: i64,
    failed: i64,
    completed: BTreeSet<i64>,
    /// `SuccessCriteriaMet` or `FailureTarget`, once the job is decided.
    verdict: Option<Value>,
}

impl Jobs {
    pub(crate) fn new() -> Jobs {
        Jobs {
            pods: Owned::new(PODS, JOBS).with_finalizer(TRACKING),
            recorder: Recorder::new("job-controller"),
        }
    }
}

impl Controller for Jobs {
    fn observe(&mut self, change: &Change, _: &Cluster<'_>, queue: &mut Queue) {
        self.pods.observe(change, queue);
        let object = &change.object;
        match change.kind.plural {
            "pods" if !change.deleted && may_be_orphan(object) => queue.add(Key::of(PODS, object)),
            "jobs" if change.deleted => {
                let namespace = object::namespace(object);
                for name in self.pods.names_of(object) {
                    queue.add(Key::new(PODS, namespace, &name));
                }
            }
            _ => {}
        }
    }

    fn reconcile(&mut self, key: &Key, cluster: &Cluster<'_>) -> Result<Again, ApiError> {
        if std::ptr::eq(key.kind, PODS) {
            return free_orphan(key, cluster).map(|()| None);
        }
        let Ok(job) = cluster.api.get(JOBS, &key.namespace, &key.name) else { return Ok(None) };
        let manager = text(&job, "/spec/managedBy");
        if !manager.is_empty() && manager != MANAGER {
            return Ok(None);
        }
        if let Some(end) = end_of(&job) {
            return expire(&job, end, cluster);
        }
        let pods = self.pods.claim(&job, cluster)?;
        let mut sync = Sync::new(&job, pods, cluster, &mut self.recorder, &mut self.pods);
        sync.run()
    }
}

/// Whether the job has not counted the pod yet.
fn is_tracked(pod: &Value) -> bool {
    list(pod, "/metadata/finalizers").iter().any(|finalizer| finalizer == TRACKING)
}

fn may_be_orphan(pod: &Value) -> bool {
    is_tracked(pod) && (object::is_terminating(pod) || controller_of(pod).is_none())
}

/// Lets a pod go whose job is gone (`syncOrphanPod`).
fn free_orphan(key: &Key, cluster: &Cluster<'_>) -> Result<(), ApiError> {
    let Ok(pod) = cluster.api.get(PODS, &key.namespace, &key.name) else { return Ok(()) };
    let job = controller_of(&pod)
        .filter(|owner| owner["kind"] == JOBS.kind)
        .and_then(|owner| Some((owner, cluster.api.get(JOBS, &key.namespace, text(owner, "/name")).ok()?)));
    if job.is_some_and(|(owner, job)| text(owner, "/uid") == uid(&job)) {
        return Ok(());
    }
    free(&pod, cluster)
}

/// Takes the finalizer off a pod, which may be gone.
fn free(pod: &Value, cluster: &Cluster<'_>) -> Result<(), ApiError> {
    let freed = cluster.api.update(PODS, object::namespace(pod), object::name(pod), |present| {
        if uid(present) == uid(pod) {
            remove(present, "finalizers", |finalizer| finalizer == TRACKING);
        }
    });
    match freed {
        Err(error) if error.code != 404 => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The condition that says that the job has completed or failed (`IsJobFinished`).
fn end_of(job: &Value) -> Option<&Value> {
    let is_true = |condition: &&Value| condition["status"] == "True";
    ["Complete", "Failed"].iter().find_map(|end| object::condition(job, end).filter(is_true))
}

/// Deletes a finished job after its time (`pkg/controller/ttlafterfinished`).
fn expire(job: &Value, end: &Value, cluster: &Cluster<'_>) -> Result<Again, ApiError> {
    let Some(ttl) = job["spec"]["ttlSecondsAfterFinished"].as_i64() else { return Ok(None) };
    let Some(finished) = time(end, "/lastTransitionTime") else { return Ok(None) };
    let at = seconds_later(finished, ttl);
    if at > cluster.now {
        return Ok(Some(at));
    }
    if object::is_terminating(job) {
        return Ok(None);
    }
    let options = DeleteOptions {
        preconditions: Preconditions { uid: Some(uid(job).to_owned()), resource_version: None },
        propagation: Some(Propagation::Foreground),
        ..DeleteOptions::default()
    };
    cluster.api.delete(JOBS, object::namespace(job), object::name(job), &options).map(|_| None)
}

impl<'a> Sync<'a> {
    fn new(
        job: &Value,
        pods: Vec<Arc<Object>>,
        cluster: &'a Cluster<'a>,
        recorder: &'a mut Recorder,
        index: &'a mut Owned,
    ) -> Sync<'a> {
        let counted = |name: &str| list(job, &format!("/status/uncountedTerminatedPods/{name}"));
        let is_new = |pod: &&Arc<Object>, name: &str| {
            is_tracked(pod) && !counted(name).iter().any(|counted| counted == uid(pod))
        };
        let succeeded = |pod: &Value| pod["status"]["phase"] == "Succeeded";
        let newly_succeeded = pods.iter().filter(|pod| succeeded(pod) && is_new(pod, "succeeded"));
        let newly_failed = pods.iter().filter(|pod| has_failed(pod, job) && is_new(pod, "failed"));
        let mut completed = indexes::completed(job);
        if indexes::is_indexed(job) {
            completed
                .extend(pods.iter().filter(|pod| succeeded(pod)).filter_map(|pod| indexes::of_pod(pod, job)));
        }
        let succeeded = if indexes::is_indexed(job) {
            count(&completed)
        } else {
            number(job, "/status/succeeded") + count(counted("succeeded")) + count(newly_succeeded)
        };
        Sync {
            cluster,
            recorder,
            index,
            succeeded,
            failed: number(job, "/status/failed") + count(counted("failed")) + count(newly_failed),
            active: pods.iter().filter(|pod| pod::is_active(pod)).cloned().collect(),
            stopping: count(pods.iter().filter(|pod| pod::is_stopping(pod))),
            verdict: None,
            completed,
            pods,
            job: job.clone(),
        }
    }

    fn is_suspended(&self) -> bool {
        self.job["spec"]["suspend"] == true
    }

    /// `syncJob`
    fn run(&mut self) -> Result<Again, ApiError> {
        let mut again = None;
        if self.job["status"]["startTime"].is_null() && !self.is_suspended() {
            self.job["status"]["startTime"] = object::time(self.cluster.now).into();
        }
        self.verdict = self.judge();
        if self.verdict.is_some() {
            self.delete_active()?;
        } else {
            if !object::is_terminating(&self.job) {
                again = self.manage()?;
            }
            if self.is_complete() {
                let message = "Reached expected number of succeeded pods";
                self.verdict = Some(self.condition("SuccessCriteriaMet", "CompletionsReached", message));
            } else if !object::is_terminating(&self.job) {
                self.tell_whether_suspended();
            }
        }
        self.track()?;
        Ok(super::fields::earlier(again, self.deadline().filter(|at| *at > self.cluster.now)))
    }

    /// Whether the job is decided, by an earlier look or by what its pods have come to.
    fn judge(&self) -> Option<Value> {
        for decided in ["FailureTarget", "SuccessCriteriaMet"] {
            if let Some(condition) = object::condition(&self.job, decided) {
                return Some(condition.clone());
            }
        }
        if self.failed > number(&self.job, "/spec/backoffLimit") || self.restarts_too_often() {
            let message = "Job has reached the specified backoff limit";
            return Some(self.condition("FailureTarget", "BackoffLimitExceeded", message));
        }
        if !self.is_suspended() && self.deadline().is_some_and(|at| at <= self.cluster.now) {
            let message = "Job was active longer than specified deadline";
            return Some(self.condition("FailureTarget", "DeadlineExceeded", message));
        }
        None
    }

    /// `pastBackoffLimitOnFailure`: pods that are restarted in place count by their restarts.
    fn restarts_too_often(&self) -> bool {
        if text(&self.job, "/spec/template/spec/restartPolicy") != "OnFailure" {
            return false;
        }
        let statuses = |pod: &Value| {
            let all = ["/status/initContainerStatuses", "/status/containerStatuses"];
            all.iter().flat_map(|of| list(pod, of)).map(|status| number(status, "/restartCount")).sum::<i64>()
        };
        let restarts: i64 = self.active.iter().map(|pod| statuses(pod)).sum();
        let limit = number(&self.job, "/spec/backoffLimit");
        if limit == 0 { restarts > 0 } else { restarts >= limit }
    }

    fn deadline(&self) -> Again {
        let seconds = self.job["spec"]["activeDeadlineSeconds"].as_i64().filter(|_| !self.is_suspended())?;
        Some(seconds_later(time(&self.job, "/status/startTime")?, seconds))
    }

    /// Without a number of completions, one success ends the job when the other pods have ended too.
    fn is_complete(&self) -> bool {
        let enough = self.job["spec"]["completions"].as_i64().unwrap_or(1);
        self.succeeded >= enough && self.active.is_empty()
    }

    fn tell_whether_suspended(&mut self) {
        let told = object::is_true(&self.job, "Suspended");
        let (status, reason, event, message) = match (self.is_suspended(), told) {
            (true, false) => ("True", "JobSuspended", "Suspended", "Job suspended"),
            (false, true) => ("False", "JobResumed", "Resumed", "Job resumed"),
            (true, true) | (false, false) => return,
        };
        let mut condition = self.condition("Suspended", reason, message);
        condition["status"] = status.into();
        object::set_condition(&mut self.job, condition);
        if event == "Resumed" {
            self.job["status"]["startTime"] = object::time(self.cluster.now).into();
        }
        self.recorder.normal(self.cluster, &self.job, event, message);
    }

    fn condition(&self, condition_type: &str, reason: &str, message: &str) -> Value {
        let now = object::time(self.cluster.now);
        json!({
            "type": condition_type,
            "status": "True",
            "lastProbeTime": now,
            "lastTransitionTime": now,
            "reason": reason,
            "message": message,
        })
    }
}

/// Whether the pod counts as failed: one that was deleted does, unless only ended pods are replaced (`isPodFailed`).
fn has_failed(pod: &Value, job: &Value) -> bool {
    match text(pod, "/status/phase") {
        "Failed" => true,
        "Succeeded" => false,
        _ => object::is_terminating(pod) && !replaces_only_ended(job),
    }
}

/// `onlyReplaceFailedPods`
fn replaces_only_ended(job: &Value) -> bool {
    job["spec"]["podReplacementPolicy"] == "Failed"
}
