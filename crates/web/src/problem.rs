//! Errors as `application/problem+json` (RFC 9457).

use std::{error::Error, time::Duration};

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use contracts::ErrorCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error_chain;

/// Why a request was refused: what a handler, an extractor or a layer returns as its error.
///
/// It travels as an extension of the response to the outermost middleware, which knows the request id and renders
/// it, once, as a [`ProblemDocument`].
#[derive(Clone, Debug)]
pub struct Problem {
    code: ErrorCode,
    detail: String,
    errors: Vec<FieldError>,
    retry_after: Option<Duration>,
}

/// One value of the request that cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// The path of the value in the body, such as `metadata.asg_name` or `tags[2]`, or the name of the parameter.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// A problem as it is written on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// A stable URI of the kind of problem: `urn:kubesage:error:` and the code.
    pub r#type: String,
    /// The kind of problem in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened to this request, for a person.
    pub detail: String,
    /// The stable code, for programs.
    pub code: ErrorCode,
    /// Finds this request in the logs.
    pub request_id: String,
    /// The values that were not accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

impl Problem {
    /// A problem of this kind; `detail` is read by the caller and must hold nothing internal.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), retry_after: None }
    }

    /// The request cannot be understood (400).
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(ErrorCode::BadRequest, detail)
    }

    /// The caller is not known (401).
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unauthenticated, detail)
    }

    /// The caller is known and may not do this (403).
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(ErrorCode::Forbidden, detail)
    }

    /// There is no such thing, or it belongs to another user (404).
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, detail)
    }

    /// The request contradicts what is there already (409).
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(ErrorCode::Conflict, detail)
    }

    /// One value of the request cannot be accepted (422); [`Problem::and_field`] adds more.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Invalid, "some values of the request cannot be accepted")
            .and_field(field, message)
    }

    /// A fault of ours (500): `cause` and its sources go to the log, here and once; the caller learns none of it.
    pub fn internal(cause: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = error_chain(cause), "request failed");
        Self::concealed()
    }

    /// Something that the request needs is away (503) and may be back soon: `cause` and its sources go to the log, here
    /// and once; the caller learns `detail`.
    pub fn unavailable(cause: &(dyn Error + 'static), detail: impl Into<String>) -> Self {
        tracing::warn!(error = error_chain(cause), "request not served for now");
        Self::new(ErrorCode::Unavailable, detail)
    }

    /// A fault of ours (500) whose cause is in the log already.
    pub(crate) fn concealed() -> Self {
        Self::new(ErrorCode::Internal, "something failed on our side; the log has more under this request id")
    }

    /// Names a further value that cannot be accepted.
    #[must_use]
    pub fn and_field(mut self, field: impl Into<String>, message: impl Into<String>) -> Self {
        self.errors.push(FieldError { field: field.into(), message: message.into() });
        self
    }

    /// Tells the caller to come back no sooner than after this time, sent in whole seconds, rounded up.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The kind of problem.
    pub fn code(&self) -> &ErrorCode {
        &self.code
    }

    /// The HTTP status of the answer.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Writes the problem into the body of the response that carried it.
    pub(crate) fn render(self, request_id: &str, mut response: Response) -> Response {
        let document = ProblemDocument {
            r#type: format!("urn:kubesage:error:{}", self.code),
            title: title(&self.code),
            status: self.code.http_status(),
            detail: self.detail,
            code: self.code,
            request_id: request_id.to_owned(),
            errors: self.errors,
        };
        // A struct of strings and numbers always serializes.
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        *response.body_mut() = Body::from(body);
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        if let Some(after) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Seconds as the headers carry them: rounded up, so that nobody comes back too early.
pub(crate) fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// `agent_not_connected` in words: `Agent not connected`.
fn title(code: &ErrorCode) -> String {
    let mut words = code.as_str().replace('_', " ");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}
