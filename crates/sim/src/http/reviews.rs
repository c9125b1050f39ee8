//! Reviews over HTTP, and the tokens of service accounts.

use axum::response::Response;

use super::answer;
use super::body::Sent;
use super::objects::Call;
use crate::auth;
use crate::object;
use crate::reviews::Reviewer;
use crate::status::ApiError;

/// Answers a request about reviews: they can only be created.
pub(super) fn serve(call: &Call<'_>, verb: &str) -> Result<Response, ApiError> {
    let (kind, server, path) = (call.kind, call.server, call.path);
    if verb != "create" || !path.name.is_empty() || kind.namespaced == path.namespace.is_empty() {
        return Err(ApiError::method_not_allowed());
    }
    call.write_options()?;
    let reviewer = Reviewer { api: &server.api, tokens: &server.tokens, user: call.user };
    let Sent { object, warnings } = call.object()?;
    let answered = answer::json(201, &reviewer.answer(kind, object)?);
    Ok(answer::with_warnings(answered, &warnings))
}

/// `POST` of a `TokenRequest`.
pub(super) fn request_token(call: &Call<'_>) -> Result<Response, ApiError> {
    let (server, path) = (call.server, call.path);
    call.write_options()?;
    let (group, kind) = ("authentication.k8s.io", "TokenRequest");
    let request = call.decode_below(group, "v1", kind)?;
    let name = object::name(&request);
    if !["", path.name.as_str()].contains(&name) {
        let why = format!("Invalid value: {name:?}: must match the service account name if specified");
        return Err(ApiError::invalid(group, kind, &path.name, "metadata.name", "FieldValueInvalid", &why));
    }
    let answered = auth::request_token(&server.api, &server.tokens, &path.namespace, &path.name, request)?;
    Ok(answer::json(201, &answered))
}
