//! Requests about objects: which of them go where.

use std::sync::Arc;

use axum::response::Response;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::request::Parts;

use super::options::ObjectOptions;
use super::render::Rendering;
use super::watch::Watch;
use super::{ObjectPath, Server, answer, list, reviews, subresources, write};
use crate::api::{Manager, WriteOptions};
use crate::auth::User;
use crate::conversion;
use crate::kinds::{self, Kind};
use crate::object::Object;
use crate::patch;
use crate::status::ApiError;

/// A request about objects that has been authorized.
pub(super) struct Call<'a> {
    pub(super) server: &'a Arc<Server>,
    pub(super) user: &'a User,
    pub(super) parts: &'a Parts,
    pub(super) path: &'a ObjectPath,
    /// The kind as its objects are stored.
    pub(super) kind: &'static Kind,
    /// The same kind in the version of the path.
    pub(super) spoken: &'static Kind,
    pub(super) options: ObjectOptions,
    pub(super) rendering: Rendering,
    pub(super) body: &'a [u8],
}

/// Answers a request about objects.
pub(super) fn serve(
    server: &Arc<Server>,
    user: &User,
    parts: &Parts,
    path: &ObjectPath,
    verb: &str,
    body: &[u8],
) -> Result<Response, ApiError> {
    let (spoken, options) = (served(path)?, ObjectOptions::of(parts)?);
    let kind = kinds::by_plural(spoken.plural).unwrap_or(spoken);
    // Logs are text, whatever else is accepted.
    let rendering = match path.subresource.as_str() {
        "log" => Rendering::PLAIN,
        _ => Rendering::of(parts, &options.include_object)?,
    };
    let call = Call { server, user, parts, path, kind, spoken, options, rendering, body };
    if !path.subresource.is_empty() {
        return subresources::serve(&call, verb);
    }
    if kinds::review(&path.group, &path.version, &path.plural).is_some() {
        return reviews::serve(&call, verb);
    }
    let one = !path.name.is_empty();
    // The objects of all namespaces can be read together, but not written.
    let collection = !one && kind.namespaced != path.namespace.is_empty();
    match verb {
        "get" => call.respond(200, &*call.get()?),
        "list" => list::serve(&call),
        "watch" => Watch::open(&call),
        "create" if collection => write::create(&call),
        "update" if one => write::update(&call),
        "patch" if one => write::patch(&call),
        "delete" => write::delete(&call),
        "deletecollection" if collection && kind.verbs.contains(&verb) => write::delete_collection(&call),
        _ => Err(ApiError::method_not_allowed()),
    }
}

impl Call<'_> {
    /// The object that the path names.
    pub(super) fn get(&self) -> Result<Arc<Object>, ApiError> {
        let found = self.server.api.get(self.kind, &self.path.namespace, &self.path.name);
        // The resource is told as the client names it, whatever group its objects are stored in.
        found.map_err(|error| match error.code {
            404 => ApiError::not_found(self.spoken, &self.path.name),
            _ => error,
        })
    }

    /// Answers with an object in the form that the client asked for.
    pub(super) fn respond(&self, status: u16, object: &Object) -> Result<Response, ApiError> {
        Ok(match self.rendering.object(self.kind, object, self.server.api.clock().now())? {
            Some(rendered) => answer::json(status, &rendered),
            None => {
                let spoken = conversion::spoken(self.spoken, object);
                answer::object(status, self.spoken, spoken.as_ref().unwrap_or(object))
            }
        })
    }

    /// The namespace whose objects are meant; `None` for those of all namespaces.
    pub(super) fn namespace(&self) -> Option<String> {
        (self.kind.namespaced && !self.path.namespace.is_empty()).then(|| self.path.namespace.clone())
    }

    /// How a creation, an update or a patch is meant.
    pub(super) fn write_options(&self) -> Result<WriteOptions, ApiError> {
        let applies = self.media_type() == patch::apply::MEDIA_TYPE;
        self.options.check_for_write(&self.parts.method, applies)?;
        let manager = Manager::Client(self.manager());
        Ok(WriteOptions { dry_run: self.options.dry_run(), manager, ..WriteOptions::default() })
    }

    /// The type of the body, without parameters.
    pub(super) fn media_type(&self) -> &str {
        let header = self.parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        header.unwrap_or_default().split(';').next().unwrap_or_default().trim()
    }

    /// The name of the client among an object's managers: what it says, or else the program that it is
    /// (`managerOrUserAgent` in `apiserver/pkg/endpoints/handlers/create.go`).
    fn manager(&self) -> String {
        /// `FieldManagerMaxLength` in `apimachinery/pkg/apis/meta/v1/validation/validation.go`.
        const LONGEST: usize = 128;
        let user_agent = self.parts.headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
        let program = user_agent.unwrap_or_default().split('/').next().unwrap_or_default();
        let said = self.options.field_manager.as_str();
        let name = if said.is_empty() { program } else { said };
        name.chars().take(LONGEST).collect()
    }
}

/// What a real cluster does and this one does not: there are no containers.
const NOT_SIMULATED: &[(&str, &str)] = &[
    ("nodes", "proxy"),
    ("pods", "attach"),
    ("pods", "ephemeralcontainers"),
    ("pods", "exec"),
    ("pods", "portforward"),
    ("pods", "proxy"),
    ("pods", "resize"),
    ("services", "proxy"),
];

/// The kind behind a path, where the path fits its scope and its subresources.
fn served(path: &ObjectPath) -> Result<&'static Kind, ApiError> {
    let (group, version, plural) = (&path.group, &path.version, &path.plural);
    let kind = kinds::find(group, version, plural).or_else(|| kinds::review(group, version, plural));
    let kind = kind.ok_or_else(ApiError::no_such_resource)?;
    let own_namespace = kind.plural == "namespaces" && path.namespace == path.name;
    let fits_scope = if kind.namespaced {
        path.name.is_empty() || !path.namespace.is_empty()
    } else {
        path.namespace.is_empty() || own_namespace
    };
    let known = path.subresource.is_empty()
        || kind.subresources.iter().any(|subresource| subresource.name == path.subresource);
    match (fits_scope, known) {
        (true, true) => Ok(kind),
        (true, false) if NOT_SIMULATED.contains(&(plural.as_str(), path.subresource.as_str())) => {
            Err(ApiError::not_simulated(&format!("{plural}/{}", path.subresource)))
        }
        _ => Err(ApiError::no_such_resource()),
    }
}
