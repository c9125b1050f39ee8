//! What the admission plugins of a default server add to objects and refuse: `plugin/pkg/admission` of Kubernetes.

mod classes;

mod limits;
mod namespaces;
mod priority;
mod protection;
pub(crate) mod quota;
mod resize;
mod service_accounts;
mod tolerations;
mod topology;

use serde_json::Value;

pub(crate) use self::tolerations::pod as tolerate_lost_nodes;
pub(crate) use self::topology::labels as topology_labels;
use crate::kinds::Kind;
use crate::object;
use crate::status::ApiError;
use crate::store::Transaction;

/// Completes a new object before it is validated, or refuses it.
pub(crate) fn create(store: &Transaction<'_>, kind: &Kind, object: &mut Value) -> Result<(), ApiError> {
    namespaces::exists(store, kind, object)?;
    match kind.plural {
        "pods" => {
            limits::pod(store, kind, object)?;
            service_accounts::pod(store, kind, object)?;
            topology::pod(store, object);
            priority::pod(store, kind, object)?;
            tolerations::pod(object);
        }
        "nodes" => tolerations::node(object),
        "persistentvolumeclaims" => {
            protection::protect(object, "kubernetes.io/pvc-protection");
            classes::storage(store, object);
            limits::claim(store, kind, object)?;
        }
        "persistentvolumes" => protection::protect(object, "kubernetes.io/pv-protection"),
        "ingresses" => classes::ingress(store, kind, object)?,
        "priorityclasses" => priority::class(store, kind, object)?,
        _ => {}
    }
    Ok(())
}

/// Completes the replacement of `old` before it is validated.
pub(crate) fn update(kind: &Kind, new: &mut Value, old: &Value) {
    if kind.plural == "pods" {
        tolerations::pod(new);
        priority::keep(new, old);
    }
}

/// Refuses a new object that is valid but more than its namespace may hold.
pub(crate) fn check(store: &Transaction<'_>, kind: &Kind, object: &Value) -> Result<(), ApiError> {
    quota::check(store, kind, object)
}

/// Refuses the valid replacement of `old` by something that its cluster cannot do.
pub(crate) fn check_update(
    store: &Transaction<'_>,
    kind: &Kind,
    new: &Value,
    old: &Value,
) -> Result<(), ApiError> {
    if kind.plural == "persistentvolumeclaims" { resize::check(store, kind, new, old) } else { Ok(()) }
}

/// Refuses the deletion of what a cluster cannot be without.
pub(crate) fn delete(kind: &Kind, name: &str) -> Result<(), ApiError> {
    namespaces::may_be_deleted(kind, name)
}

/// `admission.NewForbidden`.
fn forbidden(kind: &Kind, object: &Value, why: &str) -> ApiError {
    let given = object::name(object);
    let name = match object["metadata"]["generateName"].as_str() {
        Some(prefix) if given.is_empty() => prefix,
        _ if given.is_empty() => "Unknown",
        _ => given,
    };
    ApiError::forbidden(kind.group, kind.plural, name, why)
}

/// The list in a field of an object's part, made where it is absent.
fn list<'a>(object: &'a mut Value, part: &str, field: &str) -> Option<&'a mut Vec<Value>> {
    let list = object.get_mut(part)?.as_object_mut()?.entry(field).or_insert(Value::Null);
    if list.is_null() {
        *list = Value::Array(Vec::new());
    }
    list.as_array_mut()
}

/// Sets a field of a part of the object.
fn set(object: &mut Value, part: &str, field: &str, value: Value) {
    if let Some(part) = object.get_mut(part).and_then(Value::as_object_mut) {
        part.insert(field.to_owned(), value);
    }
}
