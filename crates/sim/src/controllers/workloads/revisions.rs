//! The templates that a daemon set or a stateful set has had, as controller revisions
//! (`pkg/controller/history/controller_history.go`).

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::fields::{number, set, uid};
use super::owned::Owned;
use super::{Cluster, hash};
use crate::api::{DeleteOptions, Preconditions};
use crate::kinds::CONTROLLER_REVISIONS;
use crate::object::{self, Object};
use crate::status::ApiError;

/// How often a name that another revision has is tried with another hash.
const MAX_COLLISIONS: i64 = 10;

/// The revisions of an owner.
pub(crate) struct Revisions {
    /// From the oldest to the newest.
    pub(crate) all: Vec<Arc<Object>>,
    /// That of the present template.
    pub(crate) update: Arc<Object>,
    pub(crate) collisions: i64,
}

impl Revisions {
    /// Finds the revision of the present template, or makes it. `hash_label` is what the kind calls the hash.
    pub(crate) fn of(
        owner: &Value,
        index: &mut Owned,
        hash_label: &str,
        cluster: &Cluster<'_>,
    ) -> Result<Revisions, ApiError> {
        let mut all = index.claim(owner, cluster)?;
        all.sort_by_key(|revision| number(revision, "/revision"));
        let data = data_of(owner);
        let next = all.last().map_or(0, |last| number(last, "/revision")) + 1;
        let mut collisions = number(owner, "/status/collisionCount");
        if let Some(position) = all.iter().rposition(|revision| revision["data"] == data) {
            let mut update = all.remove(position);
            if position < all.len() {
                // An old template is the newest again.
                update = renumber(&update, next, cluster)?;
            }
            all.push(Arc::clone(&update));
            return Ok(Revisions { all, update, collisions });
        }
        let update = loop {
            match cluster.api.create(revision(owner, &data, next, hash_label, collisions)) {
                Err(error) if error.reason == "AlreadyExists" && collisions < MAX_COLLISIONS => {
                    collisions += 1
                }
                created => break created?,
            }
        };
        index.note(&update);
        all.push(Arc::clone(&update));
        Ok(Revisions { all, update, collisions })
    }

    /// Deletes the oldest revisions beyond the limit, except those that are in use.
    pub(crate) fn truncate(
        &self,
        owner: &Value,
        in_use: &BTreeSet<String>,
        cluster: &Cluster<'_>,
    ) -> Result<(), ApiError> {
        let limit = usize::try_from(number(owner, "/spec/revisionHistoryLimit")).unwrap_or_default();
        let unused: Vec<_> =
            self.all.iter().filter(|revision| !in_use.contains(object::name(revision))).collect();
        for revision in unused.iter().take(unused.len().saturating_sub(limit)) {
            let options = DeleteOptions {
                preconditions: Preconditions { uid: Some(uid(revision).to_owned()), resource_version: None },
                ..DeleteOptions::default()
            };
            let (namespace, name) = (object::namespace(revision), object::name(revision));
            match cluster.api.delete(CONTROLLER_REVISIONS, namespace, name, &options) {
                Err(error) if error.code != 404 => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }
}

/// The first revision of an owner, as its controller would make it.
pub(crate) fn first(owner: &Value, hash_label: &str) -> Value {
    revision(owner, &data_of(owner), 1, hash_label, 0)
}

/// The template as a patch that brings it back (`getPatch`).
fn data_of(owner: &Value) -> Value {
    let mut template = owner["spec"]["template"].clone();
    set(&mut template, &["$patch"], "replace".into());
    json!({ "spec": { "template": template } })
}

/// The template that a revision stands for.
pub(crate) fn template_of(revision: &Value) -> Value {
    let mut template = revision["data"]["spec"]["template"].clone();
    object::set_or_remove(&mut template, "$patch", &Value::Null);
    template
}

fn revision(owner: &Value, data: &Value, number: i64, hash_label: &str, collisions: i64) -> Value {
    let hash = hash::of_template(data, collisions);
    // `maxLen` of `ControllerRevisionName`: names have at most 253 characters.
    let prefix: String = object::name(owner).chars().take(223).collect();
    let mut wanted = json!({
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": format!("{prefix}-{hash}"),
            "namespace": object::namespace(owner),
            "labels": owner["spec"]["template"]["metadata"]["labels"],
            "ownerReferences": [object::controller_reference(owner)],
        },
        "data": data,
        "revision": number,
    });
    object::set_or_remove(&mut wanted["metadata"], "annotations", &owner["metadata"]["annotations"]);
    set(&mut wanted, &["metadata", "labels", hash_label], hash.into());
    wanted
}

fn renumber(revision: &Value, number: i64, cluster: &Cluster<'_>) -> Result<Arc<Object>, ApiError> {
    let (namespace, name) = (object::namespace(revision), object::name(revision));
    cluster.api.update(CONTROLLER_REVISIONS, namespace, name, |present| present["revision"] = number.into())
}
