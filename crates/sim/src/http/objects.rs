//! Objects over HTTP: reading, writing, lists and logs.

use std::sync::Arc;

use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Value, json};

use super::answer;
use super::options::ObjectOptions;
use super::watch::Watch;
use super::{ObjectPath, Server};
use crate::kinds::{self, Kind};
use crate::logs;
use crate::object;
use crate::status::ApiError;
use crate::store::{Page, Preconditions};

/// What only the server writes into the metadata of a new object.
const SERVER_OWNED: &[&str] = &["uid", "creationTimestamp", "deletionTimestamp", "generation", "selfLink"];

/// Answers a request about objects that has been authorized.
pub(super) fn serve(
    server: &Arc<Server>,
    parts: &Parts,
    path: &ObjectPath,
    verb: &str,
    body: &[u8],
) -> Result<Response, ApiError> {
    let kind = served(path)?;
    let options = ObjectOptions::of(parts)?;
    let (store, namespace, name) = (&server.store, path.namespace.as_str(), path.name.as_str());
    if path.subresource == "log" && verb == "get" {
        let pod = store.get(kind, namespace, name)?;
        return logs::read(&pod, &options.container, options.tail_lines, options.limit_bytes)
            .map(answer::text);
    }
    if !path.subresource.is_empty() {
        return Err(ApiError::method_not_allowed());
    }
    match verb {
        "get" => Ok(answer::json(200, &*store.get(kind, namespace, name)?)),
        "list" => {
            let query = options.list_query(kind, scope(kind, path))?;
            Ok(answer::json(200, &List { kind, page: store.list(kind, &query)? }))
        }
        "watch" => Watch::open(server, kind, scope(kind, path), &options),
        "create" if name.is_empty() && kind.namespaced != namespace.is_empty() => {
            options.refuse_dry_run()?;
            let object = new_object(kind, namespace, body)?;
            Ok(answer::json(201, &*store.create(object)?))
        }
        "update" => {
            options.refuse_dry_run()?;
            let object = replacement(kind, path, body)?;
            Ok(answer::json(200, &*store.replace(object)?))
        }
        "patch" => {
            options.refuse_dry_run()?;
            let patch = merge_patch(parts, body)?;
            Ok(answer::json(200, &*store.merge_patch(kind, namespace, name, &patch)?))
        }
        "delete" => {
            options.refuse_dry_run()?;
            let gone = store.delete(kind, namespace, name, &preconditions(body)?)?;
            Ok(answer::json(200, &if kind.graceful { gone } else { deleted(kind, &gone) }))
        }
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// The kind behind a path, where the path fits its scope and its subresources.
fn served(path: &ObjectPath) -> Result<&'static Kind, ApiError> {
    let kind =
        kinds::find(&path.group, &path.version, &path.plural).ok_or_else(ApiError::no_such_resource)?;
    let own_namespace = kind.plural == "namespaces" && path.namespace == path.name;
    let fits_scope = if kind.namespaced {
        path.name.is_empty() || !path.namespace.is_empty()
    } else {
        path.namespace.is_empty() || own_namespace
    };
    let known = path.subresource.is_empty()
        || kind.subresources.iter().any(|subresource| subresource.name == path.subresource);
    if fits_scope && known { Ok(kind) } else { Err(ApiError::no_such_resource()) }
}

fn scope(kind: &Kind, path: &ObjectPath) -> Option<String> {
    (kind.namespaced && !path.namespace.is_empty()).then(|| path.namespace.clone())
}

/// The object in a body, of the kind that the path says.
fn parse(kind: &Kind, body: &[u8]) -> Result<Value, ApiError> {
    let mut object: Value = serde_json::from_slice(body)
        .map_err(|error| ApiError::bad_request(format!("error decoding the body: {error}")))?;
    object::check_shape(kind, &object)?;
    for (field, expected) in [("apiVersion", kind.api_version()), ("kind", kind.kind.to_owned())] {
        match &object[field] {
            Value::Null => object[field] = expected.into(),
            actual if *actual == expected => {}
            actual => {
                let message =
                    format!("the {field} of the object ({actual}) does not match the expected {expected}");
                return Err(ApiError::bad_request(message));
            }
        }
    }
    Ok(object)
}

fn new_object(kind: &Kind, namespace: &str, body: &[u8]) -> Result<Value, ApiError> {
    let mut object = parse(kind, body)?;
    if !object["metadata"]["resourceVersion"].is_null() {
        return Err(ApiError::bad_request("resourceVersion should not be set on objects to be created"));
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|field, _| !SERVER_OWNED.contains(&field.as_str()));
    }
    set_namespace(kind, namespace, &mut object)?;
    Ok(object)
}

fn replacement(kind: &Kind, path: &ObjectPath, body: &[u8]) -> Result<Value, ApiError> {
    let mut object = parse(kind, body)?;
    let name = object::name(&object);
    if name != path.name {
        let url = &path.name;
        let message = format!("the name of the object ({name}) does not match the name on the URL ({url})");
        return Err(ApiError::bad_request(message));
    }
    set_namespace(kind, &path.namespace, &mut object)?;
    Ok(object)
}

fn set_namespace(kind: &Kind, namespace: &str, object: &mut Value) -> Result<(), ApiError> {
    if !kind.namespaced {
        return Ok(());
    }
    if !["", namespace].contains(&object::namespace(object)) {
        let message = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(ApiError::bad_request(message));
    }
    object["metadata"]["namespace"] = namespace.into();
    Ok(())
}

fn merge_patch(parts: &Parts, body: &[u8]) -> Result<Value, ApiError> {
    let content_type =
        parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if content_type.split(';').next() != Some("application/merge-patch+json") {
        return Err(ApiError::unsupported_patch());
    }
    serde_json::from_slice(body)
        .map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))
}

/// Those of the `DeleteOptions` in a body, which may be empty.
fn preconditions(body: &[u8]) -> Result<Preconditions, ApiError> {
    if body.is_empty() {
        return Ok(Preconditions::default());
    }
    let options: Value = serde_json::from_slice(body)
        .map_err(|error| ApiError::bad_request(format!("error decoding the body: {error}")))?;
    let wanted = |field: &str| options["preconditions"][field].as_str().map(str::to_owned);
    Ok(Preconditions { uid: wanted("uid"), resource_version: wanted("resourceVersion") })
}

fn deleted(kind: &Kind, object: &Value) -> Value {
    let mut details =
        json!({ "name": object::name(object), "kind": kind.plural, "uid": object["metadata"]["uid"] });
    if !kind.group.is_empty() {
        details["group"] = kind.group.into();
    }
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details })
}

/// A page as `PodList` and its like.
struct List {
    kind: &'static Kind,
    page: Page,
}

impl Serialize for List {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let List { kind, page } = self;
        let mut metadata = json!({ "resourceVersion": page.revision.to_string() });
        if let Some(token) = &page.continue_token {
            metadata["continue"] = token.as_str().into();
        }
        if let Some(remaining) = page.remaining {
            metadata["remainingItemCount"] = remaining.into();
        }
        let items: Vec<Item<'_>> = page.items.iter().map(|object| Item(object)).collect();
        let mut list = serializer.serialize_map(Some(4))?;
        list.serialize_entry("kind", &format!("{}List", kind.kind))?;
        list.serialize_entry("apiVersion", &kind.api_version())?;
        list.serialize_entry("metadata", &metadata)?;
        list.serialize_entry("items", &items)?;
        list.end()
    }
}

/// An object in a list: without `kind` and `apiVersion`, which the list has.
struct Item<'a>(&'a Value);

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.0.as_object().into_iter().flatten();
        serializer.collect_map(fields.filter(|(field, _)| *field != "kind" && *field != "apiVersion"))
    }
}
