//! Answers with the headers of the API server.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WARNING};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::Value;

use crate::kinds::Kind;
use crate::object::Object;
use crate::status::ApiError;

/// A JSON body.
pub(super) fn json(status: u16, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => respond(status, "application/json", Body::from(bytes)),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            respond(500, "text/plain; charset=utf-8", Body::empty())
        }
    }
}

/// A JSON body that is printed already.
pub(super) fn json_bytes(status: u16, body: impl Into<Body>) -> Response {
    respond(status, "application/json", body.into())
}

/// An object.
pub(super) fn object(status: u16, kind: &Kind, object: &Object) -> Response {
    json_bytes(status, object.json(kind))
}

/// Discovery in one document, which says in its type that it is that.
pub(super) fn aggregated_discovery(body: &Value) -> Response {
    let content_type = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    respond(200, content_type, Body::from(body.to_string()))
}

/// The answer with what the client is to be warned of (`apiserver/pkg/warning`).
pub(super) fn with_warnings(mut response: Response, warnings: &[String]) -> Response {
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(WARNING, value);
        }
    }
    response
}

/// The `Status` of an error.
pub(super) fn error(error: &ApiError) -> Response {
    let mut response = json(error.code, &error.body());
    // `ErrorNegotiated` in `apiserver/pkg/endpoints/handlers/responsewriters/writers.go`.
    if let Some(seconds @ 1..) = error.retry_after_seconds() {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        error(&self)
    }
}

/// A body of any media type.
pub(super) fn of_type(media_type: &'static str, body: impl Into<Body>) -> Response {
    respond(200, media_type, body.into())
}

/// Plain text.
pub(super) fn text(body: impl Into<Body>) -> Response {
    respond(200, "text/plain; charset=utf-8", body.into())
}

/// Nothing is routed to the path (`http.NotFound` of Go).
pub(super) fn page_not_found() -> Response {
    respond(404, "text/plain; charset=utf-8", Body::from("404 page not found\n"))
}

/// JSON that goes on: one event a line.
pub(super) fn stream(body: Body) -> Response {
    respond(200, "application/json", body)
}

fn respond(status: u16, content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}
