//! `NamespaceLifecycle`: nothing new in a namespace that is not there or goes away.

use serde_json::Value;

use super::forbidden;
use crate::kinds::{Kind, NAMESPACES};
use crate::object;
use crate::status::ApiError;
use crate::store::Transaction;

const IMMORTAL: [&str; 3] = ["default", "kube-public", "kube-system"];

pub(super) fn exists(store: &Transaction<'_>, kind: &Kind, object: &Value) -> Result<(), ApiError> {
    if !kind.namespaced {
        return Ok(());
    }
    let name = object::namespace(object);
    let namespace = store.get(NAMESPACES, name).ok_or_else(|| ApiError::not_found(NAMESPACES, name))?;
    if namespace["status"]["phase"] != "Terminating" {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {name} because it is being terminated");
    let message = format!("namespace {name} is being terminated");
    Err(forbidden(kind, object, &why).because("NamespaceTerminating", &message, "metadata.namespace"))
}

pub(super) fn may_be_deleted(kind: &Kind, name: &str) -> Result<(), ApiError> {
    if kind.plural == "namespaces" && IMMORTAL.contains(&name) {
        return Err(ApiError::forbidden("", kind.plural, name, "this namespace may not be deleted"));
    }
    Ok(())
}
