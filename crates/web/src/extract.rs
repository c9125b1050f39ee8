//! Extractors that refuse with a [`Problem`] naming the field.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{
        FromRequest, FromRequestParts, RawPathParams, Request,
        path::ErrorKind,
        rejection::{BytesRejection, FailedToBufferBody, PathRejection},
    },
    http::{HeaderMap, header, request::Parts},
    response::{IntoResponse, Response},
};
use contracts::ErrorCode;
use serde::{Serialize, de::DeserializeOwned};
use url::form_urlencoded;

use crate::Problem;

/// How long a caller may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest name of a field and the longest message about it, in characters: serde quotes keys and values, which
/// can be as large as the body.
const MAX_QUOTED: usize = 200;

/// A JSON body, read or written.
///
/// Refuses another content type (415), a body over the limit (413), one that is not JSON or nested too deeply
/// (400), and one that is not a `T` (422, naming the field). serde_json bounds the nesting to 128.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

/// The parameters after the `?`; one that is missing, unknown to a `T` that denies unknown fields, or of a wrong
/// type is refused by name (422).
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

/// The parameters in the path; one that does not parse is refused by name (422).
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(
                ErrorCode::UnsupportedMediaType,
                "the body must be sent as application/json",
            ));
        }
        let body = tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, state))
            .await
            .map_err(|_| Problem::bad_request("the body took too long to arrive"))?
            .map_err(|rejection| body_problem(&rejection))?;

        let mut json = serde_json::Deserializer::from_slice(&body);
        let value = serde_path_to_error::deserialize(&mut json).map_err(|error| json_problem(&error))?;
        json.end().map_err(|error| malformed(&error))?;
        Ok(Self(value))
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
            Err(error) => Problem::internal(&error).into_response(),
        }
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
        serde_path_to_error::deserialize(pairs)
            .map(Self)
            .map_err(|error| field_problem(error.path(), &error.inner().to_string()))
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let names: Vec<String> = RawPathParams::from_request_parts(parts, state)
            .await
            .map(|params| params.iter().map(|(name, _)| name.to_owned()).collect())
            .unwrap_or_default();
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(value)| Self(value))
            .map_err(|rejection| path_problem(rejection, &names))
    }
}

/// `application/json`, or a type built on it such as `application/merge-patch+json`.
fn is_json(headers: &HeaderMap) -> bool {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn body_problem(rejection: &BytesRejection) -> Problem {
    if let BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) = rejection {
        Problem::new(ErrorCode::TooLarge, "the body is larger than is accepted here")
    } else {
        Problem::bad_request("the body could not be read to its end")
    }
}

fn json_problem(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    if error.inner().is_data() {
        field_problem(error.path(), &error.inner().to_string())
    } else {
        malformed(error.inner())
    }
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::bad_request(format!("the body is not acceptable JSON: {error}"))
}

/// Names the field. Of a missing or repeated one serde gives the parent's path, and the name in its message.
fn field_problem(parent: &serde_path_to_error::Path, message: &str) -> Problem {
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    let parent = match parent.to_string() {
        path if path == "." => String::new(),
        path => path,
    };
    for (prefix, meaning) in
        [("missing field `", "is required"), ("duplicate field `", "is given more than once")]
    {
        if let Some(name) = message.strip_prefix(prefix).and_then(|rest| rest.strip_suffix('`')) {
            let separator = if parent.is_empty() { "" } else { "." };
            return Problem::invalid(bounded(&format!("{parent}{separator}{name}")), meaning);
        }
    }
    let field = if parent.is_empty() { "body" } else { &parent };
    Problem::invalid(bounded(field), bounded(message))
}

fn path_problem(rejection: PathRejection, names: &[String]) -> Problem {
    let PathRejection::FailedToDeserializePathParams(failure) = rejection else {
        return Problem::internal(&rejection);
    };
    let name = |index: usize| names.get(index).cloned().unwrap_or_default();
    let (field, message) = match failure.kind() {
        ErrorKind::ParseErrorAtKey { key, expected_type, .. } => {
            (key.clone(), format!("must be of type {expected_type}"))
        }
        ErrorKind::ParseErrorAtIndex { index, expected_type, .. } => {
            (name(*index), format!("must be of type {expected_type}"))
        }
        ErrorKind::ParseError { expected_type, .. } => (name(0), format!("must be of type {expected_type}")),
        ErrorKind::InvalidUtf8InPathParam { key } => (key.clone(), "must be UTF-8".to_owned()),
        ErrorKind::DeserializeError { key, message, .. } => (key.clone(), message.clone()),
        ErrorKind::Message(message) => (name(0), message.clone()),
        _ => return Problem::internal(&failure),
    };
    Problem::invalid(field, bounded(&message))
}

fn bounded(text: &str) -> String {
    text.chars().take(MAX_QUOTED).collect()
}
