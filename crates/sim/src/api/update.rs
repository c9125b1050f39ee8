//! Updates (`Store.Update` of `apiserver/pkg/registry/generic/registry/store.go`).

use std::sync::Arc;

use serde_json::Value;

use super::{Api, Manager, WriteOptions, service_addresses};
use crate::kinds::Kind;
use crate::managed::{self, Writer};
use crate::object::{self, Object};
use crate::schema::Type;
use crate::status::ApiError;
use crate::{admission, defaults, strategy, validation};

const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

/// Which part of an object a write is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The object itself, without its status where that has an endpoint of its own.
    Main,
    /// `/status`.
    Status,
    /// `/scale`: its replicas.
    Scale,
    /// `/finalize` of a namespace: its `spec.finalizers`.
    Finalize,
    /// `/binding` of a pod: its node, in `spec` and `status` at once.
    Binding,
}

impl Part {
    /// The name of the subresource; nothing for the object itself.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Part::Main => "",
            Part::Status => "status",
            Part::Scale => "scale",
            Part::Finalize => "finalize",
            Part::Binding => "binding",
        }
    }
}

impl Api {
    /// Changes an object in place. What identifies it stays as it was; nothing happens where nothing changes.
    ///
    /// # Errors
    /// 404 when it is not there, 409 when the change sets another `resourceVersion`, 422 for what the kind does not
    /// allow.
    pub fn update(
        &self,
        kind: &'static Kind,
        namespace: &str,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) -> Result<Arc<Object>, ApiError> {
        self.change(kind, namespace, name, Part::Main, change)
    }

    /// Changes an object's status, as [`Api::update`] changes the rest.
    ///
    /// # Errors
    /// As [`Api::update`].
    pub fn update_status(
        &self,
        kind: &'static Kind,
        namespace: &str,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) -> Result<Arc<Object>, ApiError> {
        self.change(kind, namespace, name, Part::Status, change)
    }

    fn change(
        &self,
        kind: &'static Kind,
        namespace: &str,
        name: &str,
        part: Part,
        change: impl FnOnce(&mut Value),
    ) -> Result<Arc<Object>, ApiError> {
        let change = |object: &mut Value| {
            change(object);
            Ok(())
        };
        self.update_with(kind, namespace, name, part, &WriteOptions::default(), change)
    }

    pub(crate) fn update_with(
        &self,
        kind: &'static Kind,
        namespace: &str,
        name: &str,
        part: Part,
        options: &WriteOptions,
        change: impl FnOnce(&mut Value) -> Result<(), ApiError>,
    ) -> Result<Arc<Object>, ApiError> {
        let mut store = self.store.begin();
        let key = object::key(kind, namespace, name);
        let present = Arc::clone(store.get(kind, &key).ok_or_else(|| ApiError::not_found(kind, name))?);
        options.check_uid(kind, namespace, name, &object::field(&present, "metadata.uid"))?;
        let mut object = Value::clone(&present);
        change(&mut object)?;
        object::check_shape(kind, &object)?;
        keep_identity(kind, &mut object, &present);
        check_version(kind, &mut object, &present)?;
        if matches!(part, Part::Main | Part::Scale) {
            admission::update(kind, &mut object, &present);
        }
        defaults::apply(kind, &mut object);
        keep_other_parts(kind, part, &mut object, &present);
        match part {
            Part::Main | Part::Scale => {
                validation::update(kind, &object, &present)?;
                admission::check_update(&store, kind, &object, &present)?;
                service_addresses::allocate(&store, kind, &mut object)?;
            }
            Part::Status => validation::update_status(kind, &object, &present)?,
            Part::Binding => {
                let node = object::field(&object, "spec.nodeName");
                admission::topology_labels(&store, &node, &mut object);
            }
            Part::Finalize => {}
        }
        if let (Some(ty), Some(manager)) = (Type::of(kind), options.manager.updates_as()) {
            let begins = options.manager != Manager::Controller;
            let writer = Writer { manager, subresource: part.name(), begins };
            managed::track(ty, &present, &mut object, writer, self.clock.now());
        }
        if object == **present {
            return Ok(present);
        }
        if options.dry_run {
            return Ok(Arc::new(Object::new(object)));
        }
        if object::is_finished(kind, &object) {
            return store.remove(kind, &key, object).ok_or_else(|| ApiError::not_found(kind, name));
        }
        store.put(kind, object)
    }
}

/// What only the server writes stays as it was; what identifies the object is filled in where it is not said
/// (`BeforeUpdate` of `apiserver/pkg/registry/rest/update.go`).
fn keep_identity(kind: &Kind, object: &mut Value, present: &Value) {
    object["apiVersion"] = kind.api_version().into();
    object["kind"] = kind.kind.into();
    let (metadata, present) = (&mut object["metadata"], &present["metadata"]);
    for field in ["generation", "creationTimestamp"] {
        object::set_or_remove(metadata, field, &present[field]);
    }
    if !present["deletionTimestamp"].is_null() {
        object::set_or_remove(metadata, "deletionTimestamp", &present["deletionTimestamp"]);
    }
    for field in ["name", "namespace", "uid", "deletionGracePeriodSeconds"] {
        if metadata[field].is_null() || metadata[field] == "" {
            object::set_or_remove(metadata, field, &present[field]);
        }
    }
}

/// Refuses a change to another version than the present one. Many kinds may also be changed without naming one.
fn check_version(kind: &Kind, object: &mut Value, present: &Value) -> Result<(), ApiError> {
    let (name, version) = (object::name(present), object::field(object, "metadata.resourceVersion"));
    let wanted = match version.as_str() {
        "" => 0,
        version => version.parse::<u64>().map_err(|_| ApiError::unreadable_version(version))?,
    };
    let actual = &present["metadata"]["resourceVersion"];
    match wanted {
        0 if strategy::allows_unconditional_update(kind) => {}
        0 => return Err(ApiError::version_required(kind, name)),
        _ if *actual != version.as_str() => return Err(ApiError::conflict(kind, name, MODIFIED)),
        _ => {}
    }
    object::set_or_remove(&mut object["metadata"], "resourceVersion", actual);
    Ok(())
}

/// A write to one part of an object leaves the others alone.
fn keep_other_parts(kind: &Kind, part: Part, object: &mut Value, present: &Value) {
    match part {
        Part::Main | Part::Scale => strategy::prepare_update(kind, object, present),
        Part::Status => strategy::prepare_status_update(kind, object, present),
        Part::Binding => {}
        Part::Finalize => {
            let finalizers = object["spec"]["finalizers"].take();
            *object = present.clone();
            object["spec"]["finalizers"] = finalizers;
        }
    }
}

pub(super) fn next_generation(present: &Value) -> Value {
    (present["metadata"]["generation"].as_u64().unwrap_or_default() + 1).into()
}
