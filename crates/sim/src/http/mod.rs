//! The HTTP face: authentication, authorization and the way to the handlers.

mod accept;
mod answer;
mod apply;
mod body;
mod cloud;
mod cloud_commands;
mod discovery;
mod guard;
mod health;
mod list;
mod logs;
mod objects;
mod openapi;
mod options;
mod render;
mod reviews;
mod simulator;
mod subresources;
mod target;
mod watch;
mod write;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::middleware::{map_response, map_response_with_state};
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Method};

use self::accept::{Form, Subject};
use self::answer::json;
use self::options::ObjectOptions;
use self::target::{ObjectPath, Target};
use crate::SIMULATED_HEADER;
use crate::account::Account;
use crate::api::Api;
use crate::auth::{self, Tokens, User};
use crate::faults::{Faults, RequestLine};
use crate::journal::Journal;
use crate::kinds;
use crate::programs::Running;
use crate::protobuf;
use crate::rbac::{self, Attempt};
use crate::serve::Peer;
use crate::status::ApiError;

/// Bodies of requests hold at most 3 MiB (`MaxRequestBodyBytes` of the API server).
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// What every request works with.
pub(crate) struct Server {
    pub(crate) api: Arc<Api>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) programs: Arc<Running>,
    pub(crate) account: Option<Arc<Account>>,
    /// Where everything is kept, if it is.
    pub(crate) journal: Option<Arc<Journal>>,
    pub(crate) bookmark_interval: Duration,
    /// How long a client may take for a body.
    pub(crate) read_timeout: Duration,
    /// `host:port`, for discovery.
    pub(crate) address: String,
}

/// The whole API as one service.
pub(crate) fn router(server: Arc<Server>) -> Router {
    Router::new()
        .nest("/simulator/v1", simulator::router(Arc::clone(&server)))
        .merge(cloud::router())
        .fallback(handle)
        .layer(DefaultBodyLimit::disable())
        .layer(map_response_with_state(Arc::clone(&server), only_what_is_kept))
        .layer(map_response(mark_as_simulated))
        .with_state(server)
}

async fn mark_as_simulated(mut response: Response) -> Response {
    response.headers_mut().insert(SIMULATED_HEADER, HeaderValue::from_static("true"));
    response
}

/// Nobody is told of a change that would be gone after the end of the process.
async fn only_what_is_kept(State(server): State<Arc<Server>>, response: Response) -> Response {
    if server.journal.as_ref().is_some_and(|journal| journal.is_behind()) {
        return answer::error(&ApiError::unexplained(
            "etcdserver: the state of the cluster cannot be written",
        ));
    }
    response
}

async fn handle(State(server): State<Arc<Server>>, request: Request) -> Response {
    answer(&server, request).await.unwrap_or_else(|error| answer::error(&error))
}

async fn answer(server: &Arc<Server>, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let target = Target::of(parts.uri.path());
    let verb = verb(&parts, &target);
    let line = request_line(&verb, &target);
    server.faults.count(line.clone());
    server.faults.strike(&line).await?;
    let user = authorize(server, &parts, &verb, &target)?;
    if !is_routed(parts.uri.path(), &target) {
        return Ok(answer::page_not_found());
    }
    match &target {
        Target::Objects(path) => {
            let body = json_of(&parts, read(server, body).await?)?;
            objects::serve(server, &user, &parts, path, &verb, &body)
        }
        _ if parts.method != Method::GET => Err(ApiError::method_not_allowed()),
        Target::Root => Ok(json(200, &discovery::root())),
        Target::Health { endpoint, check } => {
            health::serve(endpoint, check, parts.uri.query().unwrap_or_default())
        }
        Target::Metrics => Ok(health::metrics(server)),
        Target::Version => Ok(json(200, &discovery::version())),
        Target::CoreVersions => Ok(match Form::of(&parts.headers, Subject::Discovery)? {
            Form::AggregatedDiscovery => answer::aggregated_discovery(&discovery::aggregated_core()),
            _ => json(200, &discovery::core_versions(&server.address)),
        }),
        Target::Groups => Ok(match Form::of(&parts.headers, Subject::Discovery)? {
            Form::AggregatedDiscovery => answer::aggregated_discovery(&discovery::aggregated_groups()),
            _ => json(200, &discovery::groups()),
        }),
        Target::Group(group) => {
            Form::of(&parts.headers, Subject::Other)?;
            Ok(json(200, &discovery::group(group)?))
        }
        Target::Resources { group, version } => {
            Form::of(&parts.headers, Subject::Other)?;
            Ok(json(200, &discovery::resources(group, version)?))
        }
        Target::OpenApiV2 => {
            let (media_type, document) = openapi::v2::document(&parts.headers);
            Ok(answer::of_type(media_type, document))
        }
        Target::OpenApi => Ok(json(200, &openapi::root())),
        Target::OpenApiOf { group, version } => {
            let document = openapi::document(group, version).ok_or_else(ApiError::no_such_resource)?;
            Ok(answer::json_bytes(200, document))
        }
        Target::Unknown => Err(ApiError::no_such_resource()),
    }
}

/// Whether a part of the API answers at the path; of every other path the API server says in plain text that there is no
/// such page.
fn is_routed(path: &str, target: &Target) -> bool {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    match (parts.next(), parts.next(), parts.next()) {
        (Some("api"), Some(version), _) => discovery::serves("", Some(version)),
        (Some("apis"), Some(group), None) => discovery::serves(group, None),
        (Some("apis"), Some(group), Some(version)) => discovery::serves(group, Some(version)),
        _ => *target != Target::Unknown,
    }
}

/// The verb that authorization asks about (`apiserver/pkg/endpoints/request/requestinfo.go`).
fn verb(parts: &Parts, target: &Target) -> String {
    let Target::Objects(path) = target else {
        // Methods that HTTP does not know are not told apart: what is counted must stay bounded.
        let known = [
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
            Method::OPTIONS,
        ];
        let verb = if known.contains(&parts.method) { parts.method.as_str() } else { "unknown" };
        return verb.to_lowercase();
    };
    let verb = match (&parts.method, path.name.as_str()) {
        (&Method::GET | &Method::HEAD, "") if ObjectOptions::asks_to_watch(parts) => "watch",
        (&Method::GET | &Method::HEAD, "") => "list",
        (&Method::GET | &Method::HEAD, _) => "get",
        (&Method::POST, _) => "create",
        (&Method::PUT, _) => "update",
        (&Method::PATCH, _) => "patch",
        (&Method::DELETE, "") => "deletecollection",
        (&Method::DELETE, _) => "delete",
        _ => "unknown",
    };
    verb.to_owned()
}

fn request_line(verb: &str, target: &Target) -> RequestLine {
    let resource = match target {
        Target::Objects(path) => kinds::find(&path.group, &path.version, &path.plural).map(|kind| {
            let subresource = kind.subresources.iter().find(|part| part.name == path.subresource);
            subresource.map_or(kind.plural.to_owned(), |part| format!("{}/{}", kind.plural, part.name))
        }),
        _ => None,
    };
    RequestLine { verb: verb.to_owned(), resource: resource.unwrap_or_else(|| "other".to_owned()) }
}

/// Who asks.
fn user_of(server: &Server, parts: &Parts) -> Result<User, ApiError> {
    let certificate = parts.extensions.get::<ConnectInfo<Peer>>().and_then(|peer| peer.0.0.as_deref());
    auth::authenticate(&server.api, &server.tokens, certificate, &parts.headers)
}

/// Who asks, if that is allowed.
fn authorize(server: &Server, parts: &Parts, verb: &str, target: &Target) -> Result<User, ApiError> {
    let user = user_of(server, parts)?;
    let selected = ObjectOptions::selected_name(parts);
    let attempt = match target {
        Target::Objects(path) => Attempt {
            verb,
            group: &path.group,
            resource: &path.plural,
            subresource: &path.subresource,
            namespace: &path.namespace,
            name: match verb {
                "list" | "watch" => &selected,
                _ => &path.name,
            },
            path: "",
        },
        _ => Attempt { verb, path: parts.uri.path(), ..Attempt::default() },
    };
    rbac::authorize(&server.api, &user, &attempt)?;
    Ok(user)
}

/// A body in protobuf as the JSON that it stands for; every other body as it is.
fn json_of(parts: &Parts, body: Bytes) -> Result<Bytes, ApiError> {
    let media_type =
        parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if body.is_empty() || media_type != protobuf::MEDIA_TYPE {
        return Ok(body);
    }
    Ok(Bytes::from(protobuf::to_json(&body)?.to_string()))
}

async fn read(server: &Server, body: Body) -> Result<Bytes, ApiError> {
    let read = tokio::time::timeout(server.read_timeout, axum::body::to_bytes(body, BODY_LIMIT)).await;
    read.map_err(|_| ApiError::request_timeout())?.map_err(|_| ApiError::body_too_large(BODY_LIMIT))
}
