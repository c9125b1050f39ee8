//! What happens when the number of replicas changes: `sync.go` of `pkg/controller/deployment`.

use std::cmp::Reverse;
use std::sync::Arc;

use serde_json::Value;

use super::{DESIRED_REPLICAS, MAX_REPLICAS, Rollout, bounds};
use crate::controllers::workloads::fields::{number, set, text, time, uid};
use crate::kinds::REPLICA_SETS;
use crate::object::{self, Object};
use crate::status::ApiError;

fn replicas(set: &Value) -> i64 {
    number(set, "/spec/replicas")
}

fn annotation(set: &Value, name: &str) -> Option<i64> {
    set["metadata"]["annotations"][name].as_str()?.parse().ok()
}

impl Rollout<'_> {
    /// Whether the wanted number is not the one that the replica sets were scaled for (`isScalingEvent`).
    pub(super) fn is_scaled(&self) -> bool {
        let wanted = self.replicas();
        let mut active = self.all().filter(|set| replicas(set) > 0);
        active.any(|set| annotation(set, DESIRED_REPLICAS).is_some_and(|desired| desired != wanted))
    }

    /// `scale`: the one replica set that counts, or all of them in proportion in the middle of a rollout.
    pub(super) fn scale(&mut self) -> Result<(), ApiError> {
        let active: Vec<_> = self.all().filter(|set| replicas(set) > 0).cloned().collect();
        let only = match active.as_slice() {
            [] => self.new.clone().or_else(|| self.old.last().cloned()),
            [only] => Some(Arc::clone(only)),
            _ => None,
        };
        if let Some(only) = only {
            return self.scale_set(&only, self.replicas());
        }
        if self.new.as_ref().is_some_and(|new| self.is_saturated(new)) {
            for old in self.old.clone() {
                self.scale_set(&old, 0)?;
            }
            return match self.new.clone() {
                Some(new) => self.scale_set(&new, self.replicas()),
                None => Ok(()),
            };
        }
        if text(&self.deployment, "/spec/strategy/type") == "RollingUpdate" {
            self.scale_in_proportion(active)?;
        }
        Ok(())
    }

    /// `IsSaturated`: the new replica set does all of the work.
    fn is_saturated(&self, new: &Value) -> bool {
        let wanted = self.replicas();
        replicas(new) == wanted
            && annotation(new, DESIRED_REPLICAS) == Some(wanted)
            && number(new, "/status/availableReplicas") == wanted
    }

    /// Spreads what is to be added or taken over the replica sets by their sizes; what rounding leaves goes to the
    /// biggest.
    fn scale_in_proportion(&mut self, mut active: Vec<Arc<Object>>) -> Result<(), ApiError> {
        let allowed = if self.replicas() > 0 { self.max_replicas() } else { 0 };
        let present: i64 = active.iter().map(|set| replicas(set)).sum();
        let to_add = allowed - present;
        let created = |set: &Value| time(set, "/metadata/creationTimestamp");
        active.sort_by_key(|set| (Reverse(replicas(set)), created(set)));
        if to_add > 0 {
            active.sort_by_key(|set| (Reverse(replicas(set)), Reverse(created(set))));
        }
        let mut added = 0;
        let mut sizes = Vec::with_capacity(active.len());
        for set in &active {
            let share = self.proportion(set, to_add, added);
            added += share;
            sizes.push(replicas(set) + share);
        }
        if let Some(biggest) = sizes.first_mut() {
            *biggest = (*biggest + to_add - added).max(0);
        }
        for (set, size) in active.iter().zip(sizes) {
            self.scale_set(set, size)?;
        }
        Ok(())
    }

    /// `GetReplicaSetProportion`
    fn proportion(&self, set: &Value, to_add: i64, added: i64) -> i64 {
        let (size, left) = (replicas(set), to_add - added);
        if size == 0 || left == 0 {
            return 0;
        }
        if self.replicas() == 0 {
            return (-size).max(left);
        }
        let known = annotation(set, MAX_REPLICAS).filter(|max| *max > 0);
        let before = known.unwrap_or_else(|| number(&self.deployment, "/status/replicas")).max(1);
        // Rounded to the nearest, as `integer.RoundToInt32` does.
        let scaled = (size.saturating_mul(self.max_replicas()).saturating_mul(2) + before) / (2 * before);
        let share = scaled - size;
        if to_add > 0 { share.min(left) } else { share.max(left) }
    }

    /// Sets size and annotations of a replica set, and tells of a new size (`scaleReplicaSet`).
    pub(super) fn scale_set(&mut self, replica_set: &Value, size: i64) -> Result<(), ApiError> {
        let (desired, max) = (self.replicas().to_string(), self.max_replicas().to_string());
        let before = replicas(replica_set);
        let (namespace, name) = (object::namespace(replica_set), object::name(replica_set));
        let scaled = self.cluster.api.update(REPLICA_SETS, namespace, name, |present| {
            present["metadata"]["uid"] = uid(replica_set).into();
            set(present, &["spec", "replicas"], size.into());
            set(present, &["metadata", "annotations", DESIRED_REPLICAS], desired.into());
            set(present, &["metadata", "annotations", MAX_REPLICAS], max.into());
        })?;
        if size != before {
            let direction = if size > before { "up" } else { "down" };
            let message = format!("Scaled {direction} replica set {name} from {before} to {size}");
            self.tell("ScalingReplicaSet", &message);
        }
        for present in self.old.iter_mut().chain(&mut self.new) {
            if uid(present) == uid(&scaled) {
                *present = Arc::clone(&scaled);
            }
        }
        Ok(())
    }

    /// What must be available for the deployment to be.
    pub(super) fn least_available(&self) -> i64 {
        self.replicas() - bounds::max_unavailable(&self.deployment)
    }
}
