//! Makes jobs when they are due (`pkg/controller/cronjob/cronjob_controllerv2.go`).

mod schedule;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use self::schedule::Schedule;
use super::fields::{list, text, time, uid};
use super::owned::Owned;
use super::{Again, Cluster, Controller, Key, Queue, Recorder};
use crate::api::{DeleteOptions, Preconditions, Propagation};
use crate::kinds::{CRON_JOBS, JOBS};
use crate::object::{self, Object, seconds_later};
use crate::status::ApiError;
use crate::store::Change;

/// `CronJobScheduledTimestampAnnotation`
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// More missed times than this are worth a warning.
const MANY_MISSED: usize = 100;

pub(crate) struct CronJobs {
    jobs: Owned,
    recorder: Recorder,
}

impl CronJobs {
    pub(crate) fn new() -> CronJobs {
        CronJobs { jobs: Owned::new(JOBS, CRON_JOBS), recorder: Recorder::new("cronjob-controller") }
    }
}

impl Controller for CronJobs {
    fn observe(&mut self, change: &Change, _: &Cluster<'_>, queue: &mut Queue) {
        self.jobs.observe(change, queue);
    }

    fn reconcile(&mut self, key: &Key, cluster: &Cluster<'_>) -> Result<Again, ApiError> {
        let Ok(cron) = cluster.api.get(CRON_JOBS, &key.namespace, &key.name) else { return Ok(None) };
        let jobs = self.jobs.of(&cron, cluster);
        self.clean_up(&cron, &jobs, cluster)?;
        let mut status = self.settle(&cron, &jobs, cluster);
        let again =
            if object::is_terminating(&cron) { Ok(None) } else { self.run_due(&cron, &mut status, cluster) };
        cluster.api.update_status(CRON_JOBS, &key.namespace, &key.name, |present| {
            present["metadata"]["uid"] = uid(&cron).into();
            present["status"] = status;
        })?;
        again
    }
}

/// How a job has ended, where it has.
fn end_of(job: &Value) -> Option<&str> {
    let is_true = |end: &&&str| object::is_true(job, end);
    ["Complete", "Failed"].iter().find(is_true).copied()
}

fn reference(job: &Value) -> Value {
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "namespace": job["metadata"]["namespace"],
        "name": job["metadata"]["name"],
        "uid": job["metadata"]["uid"],
        "resourceVersion": job["metadata"]["resourceVersion"],
    })
}

impl CronJobs {
    /// The status with the jobs that are at work, after those that have ended have been told of (`syncCronJob`).
    fn settle(&mut self, cron: &Value, jobs: &[Arc<Object>], cluster: &Cluster<'_>) -> Value {
        let mut status = if cron["status"].is_object() { cron["status"].clone() } else { json!({}) };
        let known = list(cron, "/status/active");
        let mut active: Vec<Value> = Vec::new();
        for job in jobs {
            let present = known.iter().find(|known| known["uid"] == job["metadata"]["uid"]);
            match (end_of(job), present) {
                (None, present) => active.push(present.cloned().unwrap_or_else(|| reference(job))),
                (Some(end), Some(_)) => {
                    let message = format!("Saw completed job: {}, condition: {end}", object::name(job));
                    self.recorder.normal(cluster, cron, "SawCompletedJob", &message);
                }
                (Some(_), None) => {}
            }
            let completed = time(job, "/status/completionTime").filter(|_| end_of(job) == Some("Complete"));
            if completed > time(&status, "/lastSuccessfulTime") {
                status["lastSuccessfulTime"] = job["status"]["completionTime"].clone();
            }
        }
        for lost in
            known.iter().filter(|known| !jobs.iter().any(|job| known["uid"] == job["metadata"]["uid"]))
        {
            let message = format!("Active job went missing: {}", text(lost, "/name"));
            self.recorder.normal(cluster, cron, "MissingJob", &message);
        }
        let active = if active.is_empty() { Value::Null } else { active.into() };
        object::set_or_remove(&mut status, "active", &active);
        status
    }

    /// Makes the job that is due; when the next one is.
    fn run_due(
        &mut self,
        cron: &Value,
        status: &mut Value,
        cluster: &Cluster<'_>,
    ) -> Result<Again, ApiError> {
        if cron["spec"]["suspend"] == true {
            return Ok(None);
        }
        let (text_of, zone) = (text(cron, "/spec/schedule"), text(cron, "/spec/timeZone"));
        let Some(schedule) = Schedule::parse(text_of, zone) else {
            let message = format!("unparseable schedule: \"{text_of}\"");
            self.recorder.warning(cluster, cron, "UnparseableSchedule", &message);
            return Ok(None);
        };
        let now = cluster.now;
        let started = time(cron, "/status/lastScheduleTime");
        let mut earliest = started.or_else(|| time(cron, "/metadata/creationTimestamp")).unwrap_or(now);
        let deadline = cron["spec"]["startingDeadlineSeconds"].as_i64();
        if let Some(deadline) = deadline {
            earliest = earliest.max(seconds_later(now, -deadline));
        }
        let (due, missed) = schedule.last(earliest, now);
        if missed > MANY_MISSED {
            let message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock \
                           skew";
            self.recorder.warning(cluster, cron, "TooManyMissedTimes", message);
        }
        if let Some(due) = due {
            self.start(cron, due, status, cluster)?;
        }
        Ok(schedule.next(now))
    }

    /// Makes the job of a time, as far as those at work allow it.
    fn start(
        &mut self,
        cron: &Value,
        due: Timestamp,
        status: &mut Value,
        cluster: &Cluster<'_>,
    ) -> Result<(), ApiError> {
        let active = list(status, "/active").to_vec();
        match text(cron, "/spec/concurrencyPolicy") {
            "Forbid" if !active.is_empty() => {
                let message =
                    "Not starting job because prior execution is running and concurrency policy is Forbid";
                self.recorder.normal(cluster, cron, "JobAlreadyActive", message);
                return Ok(());
            }
            "Replace" => {
                for job in &active {
                    self.delete(cron, text(job, "/name"), text(job, "/uid"), cluster)?;
                }
                object::set_or_remove(status, "active", &Value::Null);
            }
            _ => {}
        }
        match cluster.api.create(job_of(cron, due)) {
            Ok(job) => {
                self.jobs.note(&job);
                let message = format!("Created job {}", object::name(&job));
                self.recorder.normal(cluster, cron, "SuccessfulCreate", &message);
                let mut active = list(status, "/active").to_vec();
                active.push(reference(&job));
                status["active"] = active.into();
            }
            // It was made before the status could be written.
            Err(error) if error.reason == "AlreadyExists" => {}
            Err(error) => {
                let message = format!("Error creating job: {}", error.message);
                self.recorder.warning(cluster, cron, "FailedCreate", &message);
                return Err(error);
            }
        }
        status["lastScheduleTime"] = object::time(due).into();
        Ok(())
    }

    fn delete(&mut self, cron: &Value, name: &str, uid: &str, cluster: &Cluster<'_>) -> Result<(), ApiError> {
        let options = DeleteOptions {
            preconditions: Preconditions { uid: Some(uid.to_owned()), resource_version: None },
            propagation: Some(Propagation::Background),
            ..DeleteOptions::default()
        };
        match cluster.api.delete(JOBS, object::namespace(cron), name, &options) {
            Ok(_) => {
                self.recorder.normal(cluster, cron, "SuccessfulDelete", &format!("Deleted job {name}"));
                Ok(())
            }
            Err(error) if error.code == 404 => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Deletes the oldest ended jobs beyond the limits (`cleanupFinishedJobs`).
    fn clean_up(
        &mut self,
        cron: &Value,
        jobs: &[Arc<Object>],
        cluster: &Cluster<'_>,
    ) -> Result<(), ApiError> {
        for (end, limit) in [("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")]
        {
            let Some(limit) = cron["spec"][limit].as_u64() else { continue };
            let ended = jobs.iter().filter(|job| end_of(job) == Some(end) && !object::is_terminating(job));
            let mut ended: Vec<_> = ended.collect();
            ended.sort_by_cached_key(|job| (time(job, "/status/startTime"), object::name(job).to_owned()));
            let surplus = ended.len().saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
            for job in ended.into_iter().take(surplus) {
                self.delete(cron, object::name(job), uid(job), cluster)?;
            }
        }
        Ok(())
    }
}

/// The job of a time, which its name tells in minutes (`getJobFromTemplate2`).
fn job_of(cron: &Value, due: Timestamp) -> Value {
    let template = &cron["spec"]["jobTemplate"];
    let mut annotations = template["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
    annotations.insert(SCHEDULED.to_owned(), object::time(due).into());
    let mut metadata = json!({
        "name": format!("{}-{}", object::name(cron), due.as_second() / 60),
        "namespace": object::namespace(cron),
        "annotations": annotations,
        "ownerReferences": [object::controller_reference(cron)],
    });
    object::set_or_remove(&mut metadata, "labels", &template["metadata"]["labels"]);
    json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"] })
}
