//! Status and conditions: `progress.go` and `sync.go` of `pkg/controller/deployment`.

use serde_json::{Map, Value, json};

use super::Rollout;
use crate::controllers::Again;
use crate::controllers::workloads::fields::{list, nonzero, number, text, time};
use crate::object::{self, seconds_later};
use crate::status::ApiError;

/// `HasProgressDeadline`: this number of seconds means that there is none.
const NO_DEADLINE: i64 = i32::MAX as i64;

impl Rollout<'_> {
    /// Writes the status without judging the progress (`syncDeploymentStatus`).
    pub(super) fn write_status(&mut self) -> Result<Again, ApiError> {
        let (status, conditions) = (self.counts(), self.conditions());
        self.put_status(status, conditions).map(|()| None)
    }

    /// Writes the status with how the rollout gets on (`syncRolloutStatus`).
    pub(super) fn write_rollout_status(&mut self) -> Result<Again, ApiError> {
        let status = self.counts();
        let mut conditions = self.conditions();
        let progress = object::condition(&self.deployment, "Progressing").cloned();
        let is_past =
            progress.as_ref().is_some_and(|progress| progress["reason"] == "NewReplicaSetAvailable")
                && number_of(&status, "replicas") == number_of(&status, "updatedReplicas");
        match self.deadline() {
            None => conditions.retain(|condition| condition["type"] != "Progressing"),
            Some(_) if is_past => {}
            Some(deadline) => self.judge(&status, &mut conditions, progress.as_ref(), deadline),
        }
        match self.failure() {
            Some(failure) => self.set_condition(&mut conditions, failure),
            None => conditions.retain(|condition| condition["type"] != "ReplicaFailure"),
        }
        self.put_status(status, conditions)?;
        Ok(self.next_check())
    }

    /// Says whether the rollout is done, goes on or has taken too long.
    fn judge(
        &self,
        status: &Map<String, Value>,
        conditions: &mut Vec<Value>,
        progress: Option<&Value>,
        deadline: i64,
    ) {
        let what = match &self.new {
            Some(new) => format!("ReplicaSet \"{}\"", object::name(new)),
            None => format!("Deployment \"{}\"", object::name(&self.deployment)),
        };
        let condition = |status: &str, reason: &str, message: &str| {
            self.condition("Progressing", status, reason, &format!("{what} {message}"))
        };
        if self.is_complete_with(status) {
            let done = condition("True", "NewReplicaSetAvailable", "has successfully progressed.");
            self.set_condition(conditions, done);
        } else if self.has_progressed(status) {
            let mut going_on = condition("True", "ReplicaSetUpdated", "is progressing.");
            if let Some(progress) = progress.filter(|progress| progress["status"] == "True") {
                going_on["lastTransitionTime"] = progress["lastTransitionTime"].clone();
            }
            conditions.retain(|condition| condition["type"] != "Progressing");
            conditions.push(going_on);
        } else if progress.is_some_and(|progress| self.has_timed_out(progress, deadline)) {
            let late = condition("False", "ProgressDeadlineExceeded", "has timed out progressing.");
            self.set_condition(conditions, late);
        }
    }

    /// `DeploymentTimedOut`
    fn has_timed_out(&self, progress: &Value, deadline: i64) -> bool {
        match text(progress, "/reason") {
            "NewReplicaSetAvailable" => false,
            "ProgressDeadlineExceeded" => true,
            _ => time(progress, "/lastUpdateTime")
                .is_some_and(|updated| seconds_later(updated, deadline) < self.cluster.now),
        }
    }

    /// `DeploymentProgressing`
    fn has_progressed(&self, status: &Map<String, Value>) -> bool {
        let before = |name: &str| self.deployment["status"][name].as_i64().unwrap_or_default();
        let now = |name| number_of(status, name);
        now("updatedReplicas") > before("updatedReplicas")
            || now("replicas") - now("updatedReplicas") < before("replicas") - before("updatedReplicas")
            || now("readyReplicas") > before("readyReplicas")
            || now("availableReplicas") > before("availableReplicas")
    }

    /// `DeploymentComplete`
    pub(super) fn is_complete(&self) -> bool {
        let status = self.deployment["status"].as_object();
        status.is_some_and(|status| self.is_complete_with(status))
    }

    fn is_complete_with(&self, status: &Map<String, Value>) -> bool {
        let wanted = self.replicas();
        ["updatedReplicas", "replicas", "availableReplicas"]
            .iter()
            .all(|name| number_of(status, name) == wanted)
            && number_of(status, "observedGeneration") >= number(&self.deployment, "/metadata/generation")
    }

    /// `calculateStatus`
    fn counts(&self) -> Map<String, Value> {
        let sum = |pointer: &str| self.all().map(|set| number(set, pointer)).sum::<i64>();
        let available = sum("/status/availableReplicas");
        let mut status = nonzero([
            ("observedGeneration", number(&self.deployment, "/metadata/generation")),
            ("replicas", sum("/status/replicas")),
            ("updatedReplicas", self.new.as_ref().map_or(0, |new| number(new, "/status/replicas"))),
            ("readyReplicas", sum("/status/readyReplicas")),
            ("availableReplicas", available),
            ("unavailableReplicas", (sum("/spec/replicas") - available).max(0)),
        ]);
        status.insert("terminatingReplicas".to_owned(), sum("/status/terminatingReplicas").into());
        let collisions = &self.deployment["status"]["collisionCount"];
        if !collisions.is_null() {
            status.insert("collisionCount".to_owned(), collisions.clone());
        }
        status
    }

    /// The present conditions with `Available` as it is now.
    fn conditions(&self) -> Vec<Value> {
        let mut conditions = list(&self.deployment, "/status/conditions").to_vec();
        let available: i64 = self.all().map(|set| number(set, "/status/availableReplicas")).sum();
        let condition = if available >= self.least_available() {
            let message = "Deployment has minimum availability.";
            self.condition("Available", "True", "MinimumReplicasAvailable", message)
        } else {
            let message = "Deployment does not have minimum availability.";
            self.condition("Available", "False", "MinimumReplicasUnavailable", message)
        };
        self.set_condition(&mut conditions, condition);
        conditions
    }

    /// The failure of a replica set, of the new one first.
    fn failure(&self) -> Option<Value> {
        let failure = |set: &Value| object::condition(set, "ReplicaFailure").cloned();
        let failure = self
            .new
            .iter()
            .find_map(|set| failure(set))
            .or_else(|| self.old.iter().find_map(|set| failure(set)))?;
        let mut condition = self.condition(
            "ReplicaFailure",
            text(&failure, "/status"),
            text(&failure, "/reason"),
            text(&failure, "/message"),
        );
        condition["lastTransitionTime"] = failure["lastTransitionTime"].clone();
        condition["lastUpdateTime"] = failure["lastTransitionTime"].clone();
        Some(condition)
    }

    fn condition(&self, condition_type: &str, status: &str, reason: &str, message: &str) -> Value {
        let now = object::time(self.cluster.now);
        json!({
            "type": condition_type,
            "status": status,
            "lastUpdateTime": now,
            "lastTransitionTime": now,
            "reason": reason,
            "message": message,
        })
    }

    /// `SetDeploymentCondition`: the same status for the same reason is no news.
    fn set_condition(&self, conditions: &mut Vec<Value>, mut condition: Value) {
        let present = conditions.iter().find(|present| present["type"] == condition["type"]);
        if let Some(present) = present.filter(|present| present["status"] == condition["status"]) {
            if present["reason"] == condition["reason"] {
                return;
            }
            condition["lastTransitionTime"] = present["lastTransitionTime"].clone();
        }
        conditions.retain(|present| present["type"] != condition["type"]);
        conditions.push(condition);
    }

    fn put_status(&mut self, mut status: Map<String, Value>, conditions: Vec<Value>) -> Result<(), ApiError> {
        if !conditions.is_empty() {
            status.insert("conditions".to_owned(), conditions.into());
        }
        self.update_deployment(|present| present["status"] = status.into())
    }

    /// Sets `Progressing`, where progress is watched at all.
    pub(super) fn set_progress(&mut self, status: &str, reason: &str, message: &str) -> Result<(), ApiError> {
        if self.deadline().is_none() {
            return Ok(());
        }
        let mut conditions = list(&self.deployment, "/status/conditions").to_vec();
        let condition = self.condition("Progressing", status, reason, message);
        self.set_condition(&mut conditions, condition);
        self.update_deployment(|present| present["status"]["conditions"] = conditions.into())
    }

    /// `checkPausedConditions`
    pub(super) fn tell_whether_paused(&mut self) -> Result<(), ApiError> {
        let reason =
            object::condition(&self.deployment, "Progressing").map(|present| text(present, "/reason"));
        match (self.is_paused(), reason) {
            // A rollout that took too long is known for that.
            (_, Some("ProgressDeadlineExceeded")) | (true, Some("DeploymentPaused")) => Ok(()),
            (true, _) => self.set_progress("Unknown", "DeploymentPaused", "Deployment is paused"),
            (false, Some("DeploymentPaused")) => {
                self.set_progress("Unknown", "DeploymentResumed", "Deployment is resumed")
            }
            (false, _) => Ok(()),
        }
    }

    fn deadline(&self) -> Option<i64> {
        self.deployment["spec"]["progressDeadlineSeconds"].as_i64().filter(|seconds| *seconds != NO_DEADLINE)
    }

    /// When the rollout will have taken too long (`requeueStuckDeployment`).
    fn next_check(&self) -> Again {
        let deadline = self.deadline()?;
        let progress = object::condition(&self.deployment, "Progressing")?;
        let is_judged =
            matches!(text(progress, "/reason"), "NewReplicaSetAvailable" | "ProgressDeadlineExceeded");
        if is_judged || self.is_complete() {
            return None;
        }
        let at = seconds_later(time(progress, "/lastUpdateTime")?, deadline.saturating_add(1));
        Some(at.max(seconds_later(self.cluster.now, 1)))
    }
}

fn number_of(status: &Map<String, Value>, name: &str) -> i64 {
    status.get(name).and_then(Value::as_i64).unwrap_or_default()
}
