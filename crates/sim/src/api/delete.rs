//! Deletion: at once, with grace, or when the last finalizer is gone (`BeforeDelete` of
//! `apiserver/pkg/registry/rest/delete.go`, `Store.Delete` of `…/generic/registry/store.go`).

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::update::next_generation;
use super::{Api, WriteOptions};
use crate::admission;
use crate::kinds::Kind;
use crate::object::{self, Object};
use crate::status::ApiError;

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// How an object is to be deleted.
#[derive(Debug, Clone, Default)]
pub struct DeleteOptions {
    /// What must hold of it.
    pub preconditions: Preconditions,
    /// Seconds until it is gone at the latest, for the kinds that stop with grace; the object's own when absent.
    pub grace_period_seconds: Option<i64>,
    /// What becomes of the objects that it owns; what the object's finalizers say when absent.
    pub propagation: Option<Propagation>,
}

/// What must hold of an object for it to be deleted.
#[derive(Debug, Clone, Default)]
pub struct Preconditions {
    /// Its `metadata.uid`.
    pub uid: Option<String>,
    /// Its `metadata.resourceVersion`.
    pub resource_version: Option<String>,
}

impl Preconditions {
    /// Refuses to delete an object of which they do not hold; the error names its kind, not its resource.
    pub(super) fn check(&self, kind: &Kind, present: &Value) -> Result<(), ApiError> {
        let known = [
            ("UID", &self.uid, "uid", "deleted and then recreated"),
            ("ResourceVersion", &self.resource_version, "resourceVersion", "modified"),
        ];
        for (title, wanted, field, fate) in known {
            let actual = present["metadata"][field].as_str().unwrap_or_default();
            if let Some(wanted) = wanted.as_deref().filter(|wanted| *wanted != actual) {
                let why = format!(
                    "the {title} in the precondition ({wanted}) does not match the {title} in record ({actual}). The \
                     object might have been {fate}"
                );
                return Err(ApiError::conflict_on(kind.group, kind.kind, object::name(present), &why));
            }
        }
        Ok(())
    }
}

/// What becomes of the objects that a deleted one owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They stay, without an owner.
    Orphan,
    /// They are collected after it is gone.
    Background,
    /// They are collected first.
    Foreground,
}

/// What a deletion has led to.
#[derive(Debug, Clone)]
pub enum Deleted {
    /// The object is gone; this is its last state.
    Gone(Arc<Object>),
    /// The object waits for its grace period or its finalizers.
    Terminating(Arc<Object>),
}

impl Api {
    /// Deletes an object, or marks it as terminating.
    ///
    /// # Errors
    /// 404 when it is not there, 409 when a precondition does not hold.
    pub fn delete(
        &self,
        kind: &'static Kind,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Deleted, ApiError> {
        self.delete_with(kind, namespace, name, options, &WriteOptions::default())
    }

    pub(crate) fn delete_with(
        &self,
        kind: &'static Kind,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
        write: &WriteOptions,
    ) -> Result<Deleted, ApiError> {
        admission::delete(kind, name)?;
        let mut store = self.store.begin();
        let key = object::key(kind, namespace, name);
        let present = Arc::clone(store.get(kind, &key).ok_or_else(|| ApiError::not_found(kind, name))?);
        options.preconditions.check(kind, &present)?;

        let object = self.doomed(kind, &present, options)?;
        let finished = !object::is_terminating(&object) || object::is_finished(kind, &object);
        let changed = object != **present;
        Ok(match (finished, write.dry_run) {
            (true, true) => Deleted::Gone(Arc::new(Object::new(object))),
            (true, false) => Deleted::Gone(
                store.remove(kind, &key, object).ok_or_else(|| ApiError::not_found(kind, name))?,
            ),
            (false, false) if changed => Deleted::Terminating(store.put(kind, object)?),
            (false, _) => Deleted::Terminating(Arc::new(Object::new(object))),
        })
    }

    /// The object as it is from its deletion on.
    fn doomed(&self, kind: &Kind, present: &Value, options: &DeleteOptions) -> Result<Value, ApiError> {
        let is_emptied = present["spec"]["finalizers"].as_array().is_none_or(Vec::is_empty);
        if kind.plural == "namespaces" && object::is_terminating(present) && !is_emptied {
            // `pkg/registry/core/namespace/storage/storage.go`: nothing more can be asked for.
            return Ok(present.clone());
        }
        let mut object = present.clone();
        if let Some(propagation) = options.propagation {
            set_propagation(&mut object, propagation);
        }
        if object::is_terminating(present) {
            if kind.graceful {
                shorten_grace(&mut object, options);
            }
            return Ok(object);
        }
        let grace = if kind.graceful { grace_period(present, options) } else { 0 };
        object["metadata"]["deletionTimestamp"] =
            object::time(object::seconds_later(self.clock.now(), grace)).into();
        if kind.plural == "namespaces" {
            object["status"]["phase"] = "Terminating".into();
        } else {
            object["metadata"]["deletionGracePeriodSeconds"] = grace.into();
        }
        if !present["metadata"]["generation"].is_null() {
            object["metadata"]["generation"] = next_generation(present);
        }
        // What goes at once goes as it was.
        let at_once = !kind.graceful && object::is_finished(kind, &object);
        Ok(if at_once { present.clone() } else { object })
    }
}

/// Brings the end of an object that is terminating nearer; it is never put off.
fn shorten_grace(object: &mut Value, options: &DeleteOptions) {
    let metadata = &mut object["metadata"];
    let (Some(wanted), Some(left)) =
        (options.grace_period_seconds, metadata["deletionGracePeriodSeconds"].as_i64())
    else {
        return;
    };
    if wanted >= left {
        return;
    }
    let end = metadata["deletionTimestamp"].as_str().and_then(|end| end.parse::<Timestamp>().ok());
    if let Some(end) = end {
        metadata["deletionTimestamp"] = object::time(object::seconds_later(end, wanted.max(0) - left)).into();
    }
    metadata["deletionGracePeriodSeconds"] = wanted.max(0).into();
}

/// The grace of a pod (`podStrategy.CheckGracefulDelete`): none where no kubelet has anything to stop.
fn grace_period(pod: &Value, options: &DeleteOptions) -> i64 {
    let own = pod["spec"]["terminationGracePeriodSeconds"].as_i64();
    let runs = pod["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty())
        && pod["status"]["phase"] != "Succeeded"
        && pod["status"]["phase"] != "Failed";
    match options.grace_period_seconds.or(own).unwrap_or_default() {
        _ if !runs => 0,
        ..0 => 1,
        seconds => seconds,
    }
}

/// The finalizers by which the garbage collector is asked to act first.
fn set_propagation(object: &mut Value, propagation: Propagation) {
    let mut finalizers: Vec<Value> = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    finalizers.retain(|finalizer| finalizer != ORPHAN && finalizer != FOREGROUND);
    match propagation {
        Propagation::Orphan => finalizers.push(ORPHAN.into()),
        Propagation::Foreground => finalizers.push(FOREGROUND.into()),
        Propagation::Background => {}
    }
    let finalizers = if finalizers.is_empty() { Value::Null } else { finalizers.into() };
    object::set_or_remove(&mut object["metadata"], "finalizers", &finalizers);
}
