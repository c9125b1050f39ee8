//! The replica set of the present template: `sync.go` of `pkg/controller/deployment`.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{DESIRED_REPLICAS, HASH_LABEL, MAX_REPLICAS, REVISION, REVISION_HISTORY, Rollout, bounds};
use crate::controllers::workloads::fields::{number, set, uid};
use crate::controllers::workloads::hash;
use crate::controllers::workloads::owned::is_controlled_by;
use crate::controllers::workloads::pod::set_label;
use crate::kinds::{DEPLOYMENTS, REPLICA_SETS};
use crate::object::{self, Object};
use crate::status::ApiError;

/// `annotationsToSkip`, besides those of the deployment's own making.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const DEPRECATED_ROLLBACK: &str = "deprecated.deployment.rollback.to";

/// Whether the replica set makes the pods that the deployment wants now (`EqualIgnoreHash`).
pub(super) fn has_template_of(set: &Value, deployment: &Value) -> bool {
    without_hash(&set["spec"]["template"]) == without_hash(&deployment["spec"]["template"])
}

fn without_hash(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(HASH_LABEL);
    }
    template
}

/// The revision that a replica set or a deployment has; zero without one.
pub(super) fn revision_of(object: &Value) -> i64 {
    let revision = object["metadata"]["annotations"][REVISION].as_str();
    revision.and_then(|revision| revision.parse().ok()).unwrap_or_default()
}

impl Rollout<'_> {
    /// Makes the new replica set where there is none (`getNewReplicaSet`).
    pub(super) fn ensure_new_set(&mut self) -> Result<(), ApiError> {
        if self.new.is_some() {
            return self.keep_new_set();
        }
        let replicas = self.replicas_of_new(0);
        let hash = hash::of_template(
            &self.deployment["spec"]["template"],
            number(&self.deployment, "/status/collisionCount"),
        );
        let wanted = self.new_set(&hash, replicas);
        let name = object::name(&wanted).to_owned();
        match self.cluster.api.create(wanted) {
            Ok(created) => {
                self.index.note(&created);
                if replicas > 0 {
                    self.tell(
                        "ScalingReplicaSet",
                        &format!("Scaled up replica set {name} from 0 to {replicas}"),
                    );
                }
                self.set_revision(revision_of(&created))?;
                self.set_progress(
                    "True",
                    "NewReplicaSetCreated",
                    &format!("Created new replica set \"{name}\""),
                )?;
                self.new = Some(created);
                Ok(())
            }
            Err(error) if error.reason == "AlreadyExists" => self.avoid_collision(&name, error),
            Err(error) => {
                let message = format!("Failed to create new replica set \"{name}\": {}", error.message);
                self.set_progress("False", "ReplicaSetCreateError", &message)?;
                self.recorder.warning(self.cluster, &self.deployment, "ReplicaSetCreateError", &message);
                Err(error)
            }
        }
    }

    /// Another replica set has the name: from the next look on the hash is another one.
    fn avoid_collision(&mut self, name: &str, error: ApiError) -> Result<(), ApiError> {
        let namespace = object::namespace(&self.deployment).to_owned();
        let present = self.cluster.api.get(REPLICA_SETS, &namespace, name)?;
        if is_controlled_by(&present, &self.deployment) && has_template_of(&present, &self.deployment) {
            self.index.note(&present);
            self.new = Some(present);
            return Ok(());
        }
        self.update_deployment(|deployment| {
            let collisions = number(deployment, "/status/collisionCount").saturating_add(1);
            set(deployment, &["status", "collisionCount"], collisions.into());
        })?;
        Err(error)
    }

    fn new_set(&self, hash: &str, replicas: i64) -> Value {
        let deployment = &self.deployment;
        let mut template = deployment["spec"]["template"].clone();
        set_label(&mut template, HASH_LABEL, hash);
        let mut selector = deployment["spec"]["selector"].clone();
        set(&mut selector, &["matchLabels", HASH_LABEL], hash.into());
        let mut annotations = inherited_annotations(deployment);
        annotations.insert(REVISION.to_owned(), (self.last_revision() + 1).to_string().into());
        annotations.insert(DESIRED_REPLICAS.to_owned(), self.replicas().to_string().into());
        annotations.insert(MAX_REPLICAS.to_owned(), self.max_replicas().to_string().into());
        let mut wanted = json!({
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": format!("{}-{hash}", object::name(deployment)),
                "namespace": object::namespace(deployment),
                "ownerReferences": [object::controller_reference(deployment)],
                "labels": template["metadata"]["labels"],
                "annotations": annotations,
            },
            "spec": { "replicas": replicas, "selector": selector, "template": template },
        });
        let min_ready = &deployment["spec"]["minReadySeconds"];
        object::set_or_remove(&mut wanted["spec"], "minReadySeconds", min_ready);
        wanted
    }

    /// Brings annotations and revision of the present new replica set up to date.
    pub(super) fn keep_new_set(&mut self) -> Result<(), ApiError> {
        let Some(new) = self.new.clone() else { return Ok(()) };
        let (revision, last) = (revision_of(&new), self.last_revision());
        let next = if revision <= last { last + 1 } else { revision };
        let inherited = inherited_annotations(&self.deployment);
        let min_ready = self.deployment["spec"]["minReadySeconds"].clone();
        let kept = self.cluster.api.update(
            REPLICA_SETS,
            object::namespace(&new),
            object::name(&new),
            |present| {
                present["metadata"]["uid"] = uid(&new).into();
                for (name, value) in inherited {
                    set(present, &["metadata", "annotations", &name], value);
                }
                if next > revision {
                    append_to_history(present, revision);
                    set(present, &["metadata", "annotations", REVISION], next.to_string().into());
                }
                object::set_or_remove(&mut present["spec"], "minReadySeconds", &min_ready);
            },
        )?;
        self.new = Some(kept);
        self.set_revision(next)?;
        if object::condition(&self.deployment, "Progressing").is_none() {
            let message = format!("Found new replica set \"{}\"", object::name(&new));
            self.set_progress("True", "FoundNewReplicaSet", &message)?;
        }
        Ok(())
    }

    /// The highest revision of the old replica sets (`MaxRevision`).
    fn last_revision(&self) -> i64 {
        self.old.iter().map(|set| revision_of(set)).max().unwrap_or_default()
    }

    pub(super) fn max_replicas(&self) -> i64 {
        self.replicas() + bounds::max_surge(&self.deployment)
    }

    fn set_revision(&mut self, revision: i64) -> Result<(), ApiError> {
        if revision_of(&self.deployment) == revision {
            return Ok(());
        }
        self.update_deployment(|deployment| {
            set(deployment, &["metadata", "annotations", REVISION], revision.to_string().into());
        })
    }

    /// Writes by the subresource `status`, as the controller does: then the revision does not count as a change of what
    /// is wanted.
    pub(super) fn update_deployment(&mut self, change: impl FnOnce(&mut Value)) -> Result<(), ApiError> {
        let (namespace, name) = (object::namespace(&self.deployment), object::name(&self.deployment));
        let updated = self.cluster.api.update_status(DEPLOYMENTS, namespace, name, |present| {
            present["metadata"]["uid"] = uid(&self.deployment).into();
            change(present);
        })?;
        self.follow(updated);
        Ok(())
    }

    /// Goes on with the status just written. A change of what is wanted is for the next look.
    fn follow(&mut self, updated: Arc<Object>) {
        if updated["metadata"]["generation"] == self.deployment["metadata"]["generation"] {
            self.deployment = updated;
        }
    }

    pub(super) fn tell(&mut self, reason: &str, message: &str) {
        self.recorder.normal(self.cluster, &self.deployment, reason, message);
    }
}

/// The annotations of a deployment that its replica sets have as well.
fn inherited_annotations(deployment: &Value) -> Map<String, Value> {
    let skipped =
        [LAST_APPLIED, DEPRECATED_ROLLBACK, REVISION, REVISION_HISTORY, DESIRED_REPLICAS, MAX_REPLICAS];
    let annotations = deployment["metadata"]["annotations"].as_object().into_iter().flatten();
    annotations
        .filter(|(name, _)| !skipped.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Remembers which revisions a replica set has been before.
fn append_to_history(replica_set: &mut Value, revision: i64) {
    if revision == 0 {
        return;
    }
    let history = match replica_set["metadata"]["annotations"][REVISION_HISTORY].as_str() {
        Some(history) if !history.is_empty() => format!("{history},{revision}"),
        _ => revision.to_string(),
    };
    // `maxRevHistoryLengthInChars`
    if history.len() <= 2000 {
        set(replica_set, &["metadata", "annotations", REVISION_HISTORY], history.into());
    }
}
