//! Moves a deployment from one replica set to the next (`pkg/controller/deployment`).

mod bounds;
mod new_set;
mod rolling;
mod scale;
mod status;

use std::sync::Arc;

use serde_json::{Value, json};

use super::fields::{number, text, time, uid};
use super::owned::Owned;
use super::{Again, Cluster, Controller, Key, Queue, Recorder};
use crate::api::{DeleteOptions, Preconditions};
use crate::kinds::{DEPLOYMENTS, REPLICA_SETS};
use crate::object::{self, Object};
use crate::status::ApiError;
use crate::store::Change;

/// `DeploymentRevisionAnnotation` of `pkg/controller/deployment/util`.
const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";
const HASH_LABEL: &str = "pod-template-hash";

pub(crate) struct Deployments {
    sets: Owned,
    recorder: Recorder,
}

/// A deployment with its replica sets during one look at it.
struct Rollout<'a> {
    cluster: &'a Cluster<'a>,
    recorder: &'a mut Recorder,
    index: &'a mut Owned,
    deployment: Arc<Object>,
    /// The replica set of the present template.
    new: Option<Arc<Object>>,
    /// The others, the oldest first.
    old: Vec<Arc<Object>>,
}

impl Deployments {
    pub(crate) fn new() -> Deployments {
        Deployments {
            sets: Owned::new(REPLICA_SETS, DEPLOYMENTS),
            recorder: Recorder::new("deployment-controller"),
        }
    }
}

impl Controller for Deployments {
    fn observe(&mut self, change: &Change, _: &Cluster<'_>, queue: &mut Queue) {
        self.sets.observe(change, queue);
    }

    /// `syncDeployment`
    fn reconcile(&mut self, key: &Key, cluster: &Cluster<'_>) -> Result<Again, ApiError> {
        let Ok(deployment) = cluster.api.get(DEPLOYMENTS, &key.namespace, &key.name) else {
            return Ok(None);
        };
        if deployment["spec"]["selector"] == json!({}) {
            return self.refuse_to_select_all(&deployment, cluster);
        }
        let mut sets = self.sets.claim(&deployment, cluster)?;
        sets.sort_by_cached_key(|set| {
            (time(set, "/metadata/creationTimestamp"), object::name(set).to_owned())
        });
        let new = sets.iter().position(|set| new_set::has_template_of(set, &deployment));
        let new = new.map(|index| sets.remove(index));
        let mut rollout = Rollout {
            cluster,
            recorder: &mut self.recorder,
            index: &mut self.sets,
            deployment,
            new,
            old: sets,
        };
        rollout.sync()
    }
}

impl Deployments {
    fn refuse_to_select_all(&mut self, deployment: &Value, cluster: &Cluster<'_>) -> Result<Again, ApiError> {
        let message = "This deployment is selecting all pods. A non-empty selector is required.";
        self.recorder.warning(cluster, deployment, "SelectingAll", message);
        let (namespace, name) = (object::namespace(deployment), object::name(deployment));
        cluster.api.update_status(DEPLOYMENTS, namespace, name, |present| {
            present["status"]["observedGeneration"] = present["metadata"]["generation"].clone();
        })?;
        Ok(None)
    }
}

impl Rollout<'_> {
    fn sync(&mut self) -> Result<Again, ApiError> {
        if object::is_terminating(&self.deployment) {
            return self.write_status();
        }
        self.tell_whether_paused()?;
        if self.is_paused() || self.is_scaled() {
            if self.new.is_some() {
                self.keep_new_set()?;
            }
            self.scale()?;
            if self.is_paused() {
                self.clean_up()?;
            }
            return self.write_status();
        }
        if text(&self.deployment, "/spec/strategy/type") == "Recreate" {
            self.recreate()?;
        } else {
            self.roll()?;
        }
        if self.is_complete() {
            self.clean_up()?;
        }
        self.write_rollout_status()
    }

    fn is_paused(&self) -> bool {
        self.deployment["spec"]["paused"] == true
    }

    fn replicas(&self) -> i64 {
        number(&self.deployment, "/spec/replicas")
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.old.iter().chain(&self.new)
    }

    /// Takes away old replica sets beyond the limit of the history (`cleanupDeployment`).
    fn clean_up(&mut self) -> Result<(), ApiError> {
        let limit = number(&self.deployment, "/spec/revisionHistoryLimit");
        let kept: Vec<_> = self.old.iter().filter(|set| !object::is_terminating(set)).cloned().collect();
        let surplus = kept.len().saturating_sub(usize::try_from(limit).unwrap_or_default());
        let mut oldest = kept;
        oldest.sort_by_key(|set| new_set::revision_of(set));
        for set in oldest.iter().take(surplus) {
            let is_used = number(set, "/status/replicas") != 0
                || number(set, "/spec/replicas") != 0
                || number(set, "/metadata/generation") > number(set, "/status/observedGeneration");
            if is_used {
                continue;
            }
            let options = DeleteOptions {
                preconditions: Preconditions { uid: Some(uid(set).to_owned()), resource_version: None },
                ..DeleteOptions::default()
            };
            match self.cluster.api.delete(REPLICA_SETS, object::namespace(set), object::name(set), &options) {
                Err(error) if error.code != 404 => return Err(error),
                Ok(_) | Err(_) => self.old.retain(|present| uid(present) != uid(set)),
            }
        }
        Ok(())
    }
}
