//! The two strategies: `rolling.go` and `recreate.go` of `pkg/controller/deployment`.

use super::{Rollout, bounds};
use crate::controllers::workloads::fields::number;
use crate::object;
use crate::status::ApiError;

impl Rollout<'_> {
    /// Adds pods to the new replica set, or else takes some from the old ones.
    pub(super) fn roll(&mut self) -> Result<(), ApiError> {
        self.ensure_new_set()?;
        if self.scale_new_up()? {
            return Ok(());
        }
        self.scale_old_down()
    }

    /// `reconcileNewReplicaSet`
    fn scale_new_up(&mut self) -> Result<bool, ApiError> {
        let Some(new) = self.new.clone() else { return Ok(false) };
        let (present, wanted) = (number(&new, "/spec/replicas"), self.replicas());
        let next = if present > wanted { wanted } else { self.replicas_of_new(present) };
        self.scale_set(&new, next)?;
        Ok(next != present)
    }

    /// How many replicas the new replica set may have at once when it has `present` (`NewRSNewReplicas`).
    pub(super) fn replicas_of_new(&self, present: i64) -> i64 {
        let wanted = self.replicas();
        if self.deployment["spec"]["strategy"]["type"] == "Recreate" {
            return wanted;
        }
        let pods: i64 = self.all().map(|set| number(set, "/spec/replicas")).sum();
        let room = (self.max_replicas() - pods).max(0);
        present + room.min(wanted - present).max(0)
    }

    /// `reconcileOldReplicaSets`: those that do not run go first, the others as far as enough pods are available.
    fn scale_old_down(&mut self) -> Result<(), ApiError> {
        let Some(new) = self.new.clone() else { return Ok(()) };
        if self.old.iter().all(|set| number(set, "/spec/replicas") == 0) {
            return Ok(());
        }
        let pods: i64 = self.all().map(|set| number(set, "/spec/replicas")).sum();
        let least = self.replicas() - bounds::max_unavailable(&self.deployment);
        let new_unavailable = number(&new, "/spec/replicas") - number(&new, "/status/availableReplicas");
        let mut room = pods - least - new_unavailable;
        if room <= 0 {
            return Ok(());
        }
        for set in self.old.clone() {
            let (replicas, available) =
                (number(&set, "/spec/replicas"), number(&set, "/status/availableReplicas"));
            let unhealthy = (replicas - available).min(room);
            if unhealthy > 0 {
                self.scale_set(&set, replicas - unhealthy)?;
                room -= unhealthy;
            }
        }
        let available: i64 = self.all().map(|set| number(set, "/status/availableReplicas")).sum();
        let mut surplus = available - least;
        for set in self.old.clone() {
            let replicas = number(&set, "/spec/replicas");
            let fewer = replicas.min(surplus);
            if fewer > 0 {
                self.scale_set(&set, replicas - fewer)?;
                surplus -= fewer;
            }
        }
        Ok(())
    }

    /// Ends all old pods before the first new one.
    pub(super) fn recreate(&mut self) -> Result<(), ApiError> {
        if self.new.is_some() {
            self.keep_new_set()?;
        }
        let mut scaled = false;
        for set in self.old.clone() {
            if number(&set, "/spec/replicas") > 0 {
                self.scale_set(&set, 0)?;
                scaled = true;
            }
        }
        if scaled || self.old_pods_run() {
            return Ok(());
        }
        self.ensure_new_set()?;
        let Some(new) = self.new.clone() else { return Ok(()) };
        self.scale_set(&new, self.replicas())
    }

    /// `oldPodsRunning`: also those that are stopping count, and what a replica set has not told yet.
    fn old_pods_run(&self) -> bool {
        self.old.iter().filter(|set| !object::is_terminating(set)).any(|set| {
            number(set, "/status/replicas") > 0
                || number(set, "/status/terminatingReplicas") > 0
                || number(set, "/status/observedGeneration") < number(set, "/metadata/generation")
        })
    }
}
