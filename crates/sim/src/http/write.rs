//! Creation, update, patch and deletion over HTTP.

use std::sync::Arc;

use axum::response::Response;
use serde_json::{Value, json};

use super::body::Sent;
use super::objects::Call;
use super::{answer, apply, guard, list};
use crate::annotations;
use crate::api::{DeleteOptions, Deleted, Part, Preconditions, Propagation, WriteOptions};
use crate::conversion;
use crate::kinds::Kind;
use crate::object::{self, Object};
use crate::patch;
use crate::schema::Root;
use crate::status::ApiError;
use crate::validation;

/// How often a patch is tried again that another write was faster than (`maxRetryWhenPatchConflicts`).
const MAX_CONFLICTS: u32 = 5;

/// `POST` to a collection.
pub(super) fn create(call: &Call<'_>) -> Result<Response, ApiError> {
    let options = call.write_options()?;
    let Sent { object, warnings } = call.object()?;
    guard::creation(call, &object)?;
    let created = call.server.api.create_with(object, &options)?;
    written(call, 201, &created, warnings)
}

/// `PUT` of an object.
pub(super) fn update(call: &Call<'_>) -> Result<Response, ApiError> {
    replace(call, Part::Main)
}

/// `PUT` of an object or of one of its parts.
pub(super) fn replace(call: &Call<'_>, part: Part) -> Result<Response, ApiError> {
    let (api, kind, path) = (&call.server.api, call.kind, call.path);
    let mut options = call.write_options()?;
    let Sent { object, warnings } = call.object()?;
    call.check_name(&object)?;
    options.uid = object::field(&object, "metadata.uid");
    if kind.create_on_update && part == Part::Main && api.get(kind, &path.namespace, &path.name).is_err() {
        guard::creation_by_write(call, &object)?;
        let created = api.create_with(object, &options)?;
        return written(call, 201, &created, warnings);
    }
    if part == Part::Main {
        guard::change(call, &*call.get()?, &object)?;
    }
    let updated = api.update_with(kind, &path.namespace, &path.name, part, &options, |present| {
        *present = object;
        Ok(())
    })?;
    written(call, 200, &updated, warnings)
}

/// Answers with an object that was written, and with what the client is to be warned of.
pub(super) fn written(
    call: &Call<'_>,
    status: u16,
    object: &Object,
    mut warnings: Vec<String>,
) -> Result<Response, ApiError> {
    warnings.extend(annotations::warnings(object));
    Ok(answer::with_warnings(call.respond(status, object)?, &warnings))
}

/// `PATCH` of an object.
pub(super) fn patch(call: &Call<'_>) -> Result<Response, ApiError> {
    patch_part(call, Part::Main)
}

/// `PATCH` of an object or of one of its parts.
pub(super) fn patch_part(call: &Call<'_>, part: Part) -> Result<Response, ApiError> {
    let options = call.write_options()?;
    if call.media_type() == patch::apply::MEDIA_TYPE {
        return apply::apply(call, part, options);
    }
    let root = Root::of(call.spoken).ok_or_else(ApiError::unsupported_patch)?;
    let (updated, warnings) = change_copy(call, part, &options, |object| {
        conversion::change(call.spoken, object, |object| apply_patch(call, root, object))
    })?;
    written(call, 200, &updated, warnings)
}

/// Changes a copy of the object and puts it in the object's place if that has not changed meanwhile, else begins anew:
/// nobody waits for somebody else's patch (`patchResource` of `apiserver/pkg/endpoints/handlers/patch.go`).
pub(super) fn change_copy<T>(
    call: &Call<'_>,
    part: Part,
    options: &WriteOptions,
    change: impl Fn(&mut Value) -> Result<T, ApiError>,
) -> Result<(Arc<Object>, T), ApiError> {
    let (kind, path, api) = (call.kind, call.path, &call.server.api);
    let mut attempt = 0;
    loop {
        let present = call.get()?;
        let mut wanted = Value::clone(&present);
        let told = change(&mut wanted)?;
        call.set_namespace(&mut wanted)?;
        call.check_name(&wanted)?;
        guard::change(call, &present, &wanted)?;
        // Where the change names no version of its own, it is made to the version that was read.
        let is_ours = wanted["metadata"]["resourceVersion"] == present["metadata"]["resourceVersion"];
        let put = |object: &mut Value| {
            *object = wanted;
            Ok(())
        };
        match api.update_with(kind, &path.namespace, &path.name, part, options, put) {
            Err(error) if error.code == 409 && is_ours && attempt < MAX_CONFLICTS => attempt += 1,
            answer => return Ok((answer?, told)),
        }
    }
}

/// Applies the patch in the body to an object of the type of `root`; answers with what the client is to be warned of.
pub(super) fn apply_patch(
    call: &Call<'_>,
    root: &'static Root,
    object: &mut Value,
) -> Result<Vec<String>, ApiError> {
    call.judge(patch::apply(call.media_type(), root, object, call.body)?)
}

/// `DELETE` of an object.
pub(super) fn delete(call: &Call<'_>) -> Result<Response, ApiError> {
    let (kind, path) = (call.kind, call.path);
    let (options, write) = delete_options(call)?;
    let deleted = call.server.api.delete_with(kind, &path.namespace, &path.name, &options, &write)?;
    match deleted {
        Deleted::Gone(object) if !kind.returns_deleted => Ok(answer::json(200, &gone(call.spoken, &object))),
        Deleted::Gone(object) | Deleted::Terminating(object) => call.respond(200, &object),
    }
}

/// `DELETE` of a collection.
pub(super) fn delete_collection(call: &Call<'_>) -> Result<Response, ApiError> {
    let query = call.options.list_query(call.spoken, call.namespace())?;
    let (options, write) = delete_options(call)?;
    Ok(list::respond(call.spoken, call.server.api.delete_collection(call.kind, &query, &options, &write)?))
}

/// The `DeleteOptions` of a body, which may be empty, and of the query.
fn delete_options(call: &Call<'_>) -> Result<(DeleteOptions, WriteOptions), ApiError> {
    let mut said = if call.body.is_empty() { json!({}) } else { call.decode_as("", "v1", "DeleteOptions")? };
    call.options.complete(&mut said);
    let (options, dry_run) = read_delete_options(&said)?;
    Ok((options, WriteOptions { dry_run, ..WriteOptions::default() }))
}

/// `DeleteOptions` as JSON, and whether they are for a dry run.
pub(super) fn read_delete_options(options: &Value) -> Result<(DeleteOptions, bool), ApiError> {
    validation::options::delete(options)?;
    let wanted = |field: &str| options["preconditions"][field].as_str().map(str::to_owned);
    let preconditions = Preconditions { uid: wanted("uid"), resource_version: wanted("resourceVersion") };
    let propagation = match (options["orphanDependents"].as_bool(), options["propagationPolicy"].as_str()) {
        (Some(true), _) | (None, Some("Orphan")) => Some(Propagation::Orphan),
        (Some(false), _) | (None, Some("Background")) => Some(Propagation::Background),
        (None, Some("Foreground")) => Some(Propagation::Foreground),
        (None, _) => None,
    };
    let grace_period_seconds = options["gracePeriodSeconds"].as_i64();
    let dry_run = options["dryRun"].as_array().is_some_and(|stages| !stages.is_empty());
    Ok((DeleteOptions { preconditions, grace_period_seconds, propagation }, dry_run))
}

/// The answer to the deletion of an object that is gone.
fn gone(kind: &Kind, object: &Value) -> Value {
    let mut details =
        json!({ "name": object::name(object), "kind": kind.plural, "uid": object["metadata"]["uid"] });
    if !kind.group.is_empty() {
        details["group"] = kind.group.into();
    }
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details })
}
