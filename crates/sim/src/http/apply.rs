//! Server-side apply over HTTP: a `PATCH` that may also create.

use axum::response::Response;
use serde_json::{Map, Value};

use super::guard;
use super::objects::Call;
use super::write;
use crate::api::{Manager, Part, WriteOptions};
use crate::conversion;
use crate::object;
use crate::patch::apply::{self, Applier};
use crate::schema::Root;
use crate::status::ApiError;

pub(super) fn apply(call: &Call<'_>, part: Part, mut options: WriteOptions) -> Result<Response, ApiError> {
    let (kind, path, api) = (call.kind, call.path, &call.server.api);
    options.manager = Manager::Applier;
    let root = Root::of(call.kind).ok_or_else(ApiError::unsupported_patch)?;
    let config = read(call)?;
    let applier = Applier {
        manager: &call.options.field_manager,
        subresource: part.name(),
        force: call.options.force().unwrap_or_default(),
        now: api.clock().now(),
    };
    if part == Part::Main && api.get(kind, &path.namespace, &path.name).is_err() {
        let object = apply::apply(root, None, &config, applier)?;
        guard::creation_by_write(call, &object)?;
        return write::written(call, 201, &*api.create_with(object, &options)?, Vec::new());
    }
    let (updated, ()) = write::change_copy(call, part, &options, |object| {
        *object = apply::apply(root, Some(object), &config, applier)?;
        Ok(())
    })?;
    write::written(call, 200, &updated, Vec::new())
}

/// What is applied, with the name and the namespace of the path.
fn read(call: &Call<'_>) -> Result<Value, ApiError> {
    let root = Root::of(call.spoken).ok_or_else(ApiError::unsupported_patch)?;
    let (path, config) = (call.path, apply::read(root, call.body)?);
    let mut config = conversion::to_stored(call.spoken, config);
    if !config["metadata"].is_object() {
        config["metadata"] = Value::Object(Map::new());
    }
    if object::name(&config).is_empty() {
        config["metadata"]["name"] = path.name.as_str().into();
    }
    call.set_namespace(&mut config)?;
    call.check_name(&config)?;
    Ok(config)
}
