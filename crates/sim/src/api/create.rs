//! Creation (`Store.Create` of `apiserver/pkg/registry/generic/registry/store.go`).

use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use super::{Api, Manager, WriteOptions, kind_of, service_addresses};
use crate::kinds::Kind;
use crate::object::{self, Object};
use crate::schema::Type;
use crate::status::ApiError;
use crate::store::Transaction;
use crate::{admission, defaults, managed, names, strategy, validation};

/// What only the server writes into the metadata of a new object.
const SERVER_OWNED: &[&str] =
    &["resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink"];

impl Api {
    /// Stores a new object; its `apiVersion` and `kind` say what it is.
    ///
    /// # Errors
    /// 400 for an unknown kind, 404 for a missing namespace, 409 for a name that is taken, 422 for what the kind
    /// does not allow.
    pub fn create(&self, object: Value) -> Result<Arc<Object>, ApiError> {
        self.create_with(object, &WriteOptions::default())
    }

    pub(crate) fn create_with(
        &self,
        mut object: Value,
        options: &WriteOptions,
    ) -> Result<Arc<Object>, ApiError> {
        let kind = kind_of(&object)?;
        object::check_shape(kind, &object)?;
        options.check_uid(kind, object::namespace(&object), object::name(&object), "")?;
        if !object::field(&object, "metadata.resourceVersion").is_empty() {
            return Err(ApiError::version_set_on_create());
        }
        for field in SERVER_OWNED {
            object["metadata"].as_object_mut().map(|metadata| metadata.remove(*field));
        }
        if options.manager != Manager::Applier {
            object::set_or_remove(&mut object["metadata"], "managedFields", &Value::Null);
        }
        object["metadata"]["creationTimestamp"] = object::time(self.clock.now()).into();
        object["metadata"]["uid"] = Uuid::new_v4().to_string().into();
        defaults::apply(kind, &mut object);
        if let (Some(ty), Manager::Client(name)) = (Type::of(kind), &options.manager) {
            managed::begin(kind, ty, &mut object, name, self.clock.now());
        }

        let mut store = self.store.begin();
        admission::create(&store, kind, &mut object)?;
        names::generate(&mut object);
        if kind.plural == "namespaces" {
            // The label of its name, which has only now been made.
            defaults::apply(kind, &mut object);
        }
        strategy::prepare_create(kind, &mut object, self.clock.now());
        validation::create(kind, &object)?;
        admission::check(&store, kind, &object)?;
        service_addresses::allocate(&store, kind, &mut object)?;
        insert(&mut store, kind, object, options)
    }

    /// Stores an object as it is said to be, with its age and its status, as from a backup.
    ///
    /// # Errors
    /// 400 for an unknown kind, 409 for a name that is taken.
    pub(crate) fn restore(&self, mut object: Value) -> Result<Arc<Object>, ApiError> {
        let kind = kind_of(&object)?;
        object["metadata"]["uid"] = Uuid::new_v4().to_string().into();
        defaults::apply(kind, &mut object);
        let status = object["status"].take();
        strategy::prepare_create(kind, &mut object, self.clock.now());
        if !status.is_null() {
            object["status"] = status;
        }
        insert(&mut self.store.begin(), kind, object, &WriteOptions::default())
    }
}

fn insert(
    store: &mut Transaction<'_>,
    kind: &'static Kind,
    object: Value,
    options: &WriteOptions,
) -> Result<Arc<Object>, ApiError> {
    let (namespace, name) = (object::namespace(&object), object::name(&object));
    if store.get(kind, &object::key(kind, namespace, name)).is_some() {
        return Err(ApiError::already_exists(kind, name));
    }
    if options.dry_run {
        return Ok(Arc::new(Object::new(object)));
    }
    store.put(kind, object)
}
