//! Objects whose owners are gone go too, and owners wait for what they own where they are told to
//! (`pkg/controller/garbagecollector/garbagecollector.go`).

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::{Again, Cluster, Controller, Key, Queue};
use crate::api::{DeleteOptions, Preconditions, Propagation};
use crate::kinds;
use crate::object;
use crate::status::ApiError;
use crate::store::Change;

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// The garbage collector.
#[derive(Default)]
pub(crate) struct GarbageCollector {
    /// Objects by the uids of their owners.
    dependents: HashMap<String, BTreeSet<Key>>,
    /// Owners by uid that wait for what becomes of their dependents.
    waiting: HashMap<String, Key>,
}

impl Controller for GarbageCollector {
    fn observe(&mut self, change: &Change, _: &Cluster<'_>, queue: &mut Queue) {
        let key = Key::of(change.kind, &change.object);
        let uid = object::field(&change.object, "metadata.uid");
        let before = change.before.as_deref().map(|before| &before["metadata"]["ownerReferences"]);
        let after = (!change.deleted).then_some(&change.object["metadata"]["ownerReferences"]);
        if before != after {
            for reference in references(before) {
                self.unlink(reference, &key, queue);
            }
            for reference in references(after) {
                let owner = reference["uid"].as_str().unwrap_or_default();
                self.dependents.entry(owner.to_owned()).or_default().insert(key.clone());
            }
            if references(after).next().is_some() {
                queue.add(key.clone());
            }
        }
        if change.deleted {
            let dependents = self.dependents.get(&uid).into_iter().flatten();
            dependents.for_each(|dependent| queue.add(dependent.clone()));
            self.waiting.remove(&uid);
        } else if has_finalizer(&change.object, ORPHAN) || has_finalizer(&change.object, FOREGROUND) {
            self.waiting.insert(uid, key.clone());
            queue.add(key);
        }
    }

    fn reconcile(&mut self, key: &Key, cluster: &Cluster<'_>) -> Result<Again, ApiError> {
        let Ok(object) = cluster.api.get(key.kind, &key.namespace, &key.name) else { return Ok(None) };
        if object::is_terminating(&object) {
            if has_finalizer(&object, ORPHAN) {
                return self.orphan(key, &object, cluster).map(|()| None);
            }
            if has_finalizer(&object, FOREGROUND) {
                return self.delete_dependents(key, &object, cluster).map(|()| None);
            }
            return Ok(None);
        }
        collect(key, &object, cluster, self.dependents_of(&object).next().is_some()).map(|()| None)
    }
}

impl GarbageCollector {
    /// Forgets that an object has this owner, who may have waited for that.
    fn unlink(&mut self, reference: &Value, key: &Key, queue: &mut Queue) {
        let owner = reference["uid"].as_str().unwrap_or_default();
        let Some(dependents) = self.dependents.get_mut(owner) else { return };
        dependents.remove(key);
        if let Some(owner) = self.waiting.get(owner) {
            queue.add(owner.clone());
        }
        if dependents.is_empty() {
            self.dependents.remove(owner);
        }
    }

    fn dependents_of(&self, owner: &Value) -> impl Iterator<Item = &Key> {
        self.dependents.get(owner["metadata"]["uid"].as_str().unwrap_or_default()).into_iter().flatten()
    }

    /// Takes the owner from what it owns, and then lets it go (`orphanDependents`).
    fn orphan(&self, key: &Key, owner: &Value, cluster: &Cluster<'_>) -> Result<(), ApiError> {
        for dependent in self.dependents_of(owner) {
            remove_references(dependent, std::slice::from_ref(&owner["metadata"]["uid"]), cluster)?;
        }
        remove_finalizer(key, ORPHAN, cluster)
    }

    /// Deletes what keeps the owner from going; lets it go where there is nothing (`processDeletingDependentsItem`).
    fn delete_dependents(&self, key: &Key, owner: &Value, cluster: &Cluster<'_>) -> Result<(), ApiError> {
        let mut is_blocked = false;
        for dependent in self.dependents_of(owner) {
            let Ok(object) = cluster.api.get(dependent.kind, &dependent.namespace, &dependent.name) else {
                continue;
            };
            let blocks = references(Some(&object["metadata"]["ownerReferences"])).any(|reference| {
                reference["uid"] == owner["metadata"]["uid"] && reference["blockOwnerDeletion"] == true
            });
            if !blocks {
                continue;
            }
            is_blocked = true;
            if !object::is_terminating(&object) {
                let owns = self.dependents_of(&object).next().is_some();
                collect(dependent, &object, cluster, owns)?;
            }
        }
        if is_blocked { Ok(()) } else { remove_finalizer(key, FOREGROUND, cluster) }
    }
}

/// How the owner that a reference names fares.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// It is there, or nobody can tell.
    Solid,
    /// It is not there, or another is by its name.
    Absent,
    /// It is being deleted and waits for what it owns.
    Waiting,
}

/// Deletes an object that no owner keeps (`attemptToDeleteItem`).
fn collect(key: &Key, object: &Value, cluster: &Cluster<'_>, owns: bool) -> Result<(), ApiError> {
    let owners: Vec<(&Value, Owner)> = references(Some(&object["metadata"]["ownerReferences"]))
        .map(|reference| (&reference["uid"], owner(reference, key, cluster)))
        .collect();
    if owners.is_empty() {
        return Ok(());
    }
    if owners.iter().any(|(_, owner)| *owner == Owner::Solid) {
        let gone = owners.iter().filter(|(_, owner)| *owner != Owner::Solid);
        let gone: Vec<Value> = gone.map(|(uid, _)| (*uid).clone()).collect();
        return if gone.is_empty() { Ok(()) } else { remove_references(key, &gone, cluster) };
    }
    let is_waited_for = owners.iter().any(|(_, owner)| *owner == Owner::Waiting);
    let propagation = if has_finalizer(object, ORPHAN) {
        Propagation::Orphan
    } else if has_finalizer(object, FOREGROUND) || (is_waited_for && owns) {
        Propagation::Foreground
    } else {
        Propagation::Background
    };
    let options = DeleteOptions {
        preconditions: Preconditions {
            uid: Some(object::field(object, "metadata.uid")),
            resource_version: None,
        },
        grace_period_seconds: None,
        propagation: Some(propagation),
    };
    match cluster.api.delete(key.kind, &key.namespace, &key.name, &options) {
        Err(error) if error.code != 404 && error.code != 409 => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn owner(reference: &Value, dependent: &Key, cluster: &Cluster<'_>) -> Owner {
    // A kind that is not served, or a place where it cannot be: nobody can tell whether the owner is there.
    let Some(key) = owner_key(reference, dependent) else { return Owner::Solid };
    match cluster.api.get(key.kind, &key.namespace, &key.name) {
        Ok(owner) if owner["metadata"]["uid"] != reference["uid"] => Owner::Absent,
        Ok(owner) if object::is_terminating(&owner) && has_finalizer(&owner, FOREGROUND) => Owner::Waiting,
        Ok(_) => Owner::Solid,
        Err(_) => Owner::Absent,
    }
}

/// Which object a reference of a dependent names.
fn owner_key(reference: &Value, dependent: &Key) -> Option<Key> {
    let kind = kinds::named(reference["apiVersion"].as_str()?, reference["kind"].as_str()?)?;
    let namespace = if kind.namespaced { dependent.namespace.as_str() } else { "" };
    let is_possible = !kind.namespaced || dependent.kind.namespaced;
    is_possible.then(|| Key::new(kind, namespace, reference["name"].as_str().unwrap_or_default()))
}

fn references(list: Option<&Value>) -> impl Iterator<Item = &Value> {
    list.and_then(Value::as_array).into_iter().flatten()
}

fn has_finalizer(object: &Value, finalizer: &str) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|all| all.iter().any(|one| one == finalizer))
}

fn remove_finalizer(key: &Key, finalizer: &str, cluster: &Cluster<'_>) -> Result<(), ApiError> {
    change_list(key, "finalizers", |one| one == finalizer, cluster)
}

fn remove_references(key: &Key, uids: &[Value], cluster: &Cluster<'_>) -> Result<(), ApiError> {
    change_list(key, "ownerReferences", |reference| uids.contains(&reference["uid"]), cluster)
}

/// Takes from a list in the metadata what is to be removed.
fn change_list(
    key: &Key,
    field: &str,
    is_removed: impl Fn(&Value) -> bool,
    cluster: &Cluster<'_>,
) -> Result<(), ApiError> {
    let change = |object: &mut Value| {
        let Some(list) = object["metadata"][field].as_array() else { return };
        let kept: Vec<Value> = list.iter().filter(|item| !is_removed(item)).cloned().collect();
        let kept = if kept.is_empty() { Value::Null } else { kept.into() };
        object::set_or_remove(&mut object["metadata"], field, &kept);
    };
    match cluster.api.update(key.kind, &key.namespace, &key.name, change) {
        Err(error) if error.code != 404 => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}
