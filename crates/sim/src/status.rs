//! The errors that the API server answers, as `Status` bodies.
//!
//! Reasons, messages and details follow `k8s.io/apimachinery/pkg/api/errors` of Kubernetes 1.36.

use serde_json::{Value, json};

use crate::kinds::Kind;

/// An answer that is not a success.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// HTTP status code.
    pub code: u16,
    /// Reason in machine-readable form, such as `NotFound`.
    pub reason: &'static str,
    /// What people read.
    pub message: String,
    /// `details` of the body.
    pub details: Option<Value>,
    /// `metadata.continue` of the body: only an expired list has one.
    pub continue_token: Option<String>,
}

/// One thing that is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause {
    /// Such as `FieldValueRequired`.
    pub(crate) reason: &'static str,
    /// Path of the field: `spec.containers[0].image`.
    pub(crate) field: String,
    /// What people read.
    pub(crate) message: String,
}

impl ApiError {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> ApiError {
        ApiError { code, reason, message: message.into(), details: None, continue_token: None }
    }

    fn about(self, kind: &Kind, name: &str) -> ApiError {
        self.details(kind.group, kind.plural, name)
    }

    fn details(self, group: &str, resource: &str, name: &str) -> ApiError {
        let mut details = json!({});
        for (field, value) in [("name", name), ("group", group), ("kind", resource)] {
            if !value.is_empty() {
                details[field] = value.into();
            }
        }
        ApiError { details: Some(details), ..self }
    }

    /// The body of the answer.
    #[must_use]
    pub fn body(&self) -> Value {
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            body["reason"] = self.reason.into();
        }
        if let Some(details) = &self.details {
            body["details"] = details.clone();
        }
        if let Some(token) = &self.continue_token {
            body["metadata"]["continue"] = token.as_str().into();
        }
        body
    }

    /// After how many seconds it is worth trying again, where that is known.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.details.as_ref()?["retryAfterSeconds"].as_u64()
    }

    pub(crate) fn unauthorized() -> ApiError {
        ApiError::new(401, "Unauthorized", "Unauthorized")
    }

    /// `attempt` is the sentence that begins with `User`.
    pub(crate) fn forbidden(group: &str, resource: &str, name: &str, attempt: &str) -> ApiError {
        let qualified = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
        let message = match (resource, name) {
            ("", _) => format!("forbidden: {attempt}"),
            (_, "") => format!("{qualified} is forbidden: {attempt}"),
            (_, name) => format!("{qualified} \"{name}\" is forbidden: {attempt}"),
        };
        let error = ApiError::new(403, "Forbidden", message);
        if resource.is_empty() {
            ApiError { details: Some(json!({})), ..error }
        } else {
            error.details(group, resource, name)
        }
    }

    pub(crate) fn not_found(kind: &Kind, name: &str) -> ApiError {
        ApiError::new(404, "NotFound", format!("{} \"{name}\" not found", kind.qualified())).about(kind, name)
    }

    /// The same for what is named otherwise than its resource.
    pub(crate) fn not_found_as(group: &str, resource: &str, name: &str) -> ApiError {
        let message = format!("{resource}.{group} \"{name}\" not found");
        ApiError::new(404, "NotFound", message).details(group, resource, name)
    }

    pub(crate) fn internal(why: &str) -> ApiError {
        let details = json!({ "causes": [{ "message": why }] });
        let message = format!("Internal error occurred: {why}");
        ApiError { details: Some(details), ..ApiError::new(500, "InternalError", message) }
    }

    /// Nothing is served at the path.
    pub(crate) fn no_such_resource() -> ApiError {
        let error = ApiError::new(404, "NotFound", "the server could not find the requested resource");
        ApiError { details: Some(json!({})), ..error }
    }

    /// A real cluster would serve it.
    pub(crate) fn not_simulated(what: &str) -> ApiError {
        ApiError::new(501, "NotImplemented", format!("the simulated cluster does not serve {what}"))
    }

    pub(crate) fn method_not_allowed() -> ApiError {
        let message = "the server does not allow this method on the requested resource";
        ApiError { details: Some(json!({})), ..ApiError::new(405, "MethodNotAllowed", message) }
    }

    pub(crate) fn already_exists(kind: &Kind, name: &str) -> ApiError {
        ApiError::new(409, "AlreadyExists", format!("{} \"{name}\" already exists", kind.qualified()))
            .about(kind, name)
    }

    pub(crate) fn conflict(kind: &Kind, name: &str, why: &str) -> ApiError {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", kind.qualified());
        ApiError::new(409, "Conflict", message).about(kind, name)
    }

    /// An object of this kind is changed at a version that is named. The kind of the error is the resource's name
    /// (`Store.Update`).
    pub(crate) fn version_required(kind: &Kind, name: &str) -> ApiError {
        let (field, why) = ("metadata.resourceVersion", "Invalid value: 0: must be specified for an update");
        ApiError::invalid(kind.group, kind.plural, name, field, "FieldValueInvalid", why)
    }

    /// A resourceVersion of an object that is no number; the answer has no reason.
    pub(crate) fn unreadable_version(version: &str) -> ApiError {
        ApiError::unexplained(format!("strconv.ParseUint: parsing {version:?}: invalid syntax"))
    }

    /// The storage knows the version of a new object better (`ErrResourceVersionSetOnCreate`).
    pub(crate) fn version_set_on_create() -> ApiError {
        ApiError::new(500, "", "resourceVersion should not be set on objects to be created")
    }

    /// A conflict on something that is named otherwise than its resource.
    pub(crate) fn conflict_on(group: &str, resource: &str, name: &str, why: &str) -> ApiError {
        let qualified = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
        let message = format!("Operation cannot be fulfilled on {qualified} \"{name}\": {why}");
        ApiError::new(409, "Conflict", message).details(group, resource, name)
    }

    /// A pod may have one disruption budget at most.
    pub(crate) fn several_disruption_budgets() -> ApiError {
        let message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        ApiError::new(500, "", message)
    }

    /// The disruption budget allows no disruption now.
    pub(crate) fn budget_exhausted(why: &str) -> ApiError {
        ApiError::disruption(json!({}), why)
    }

    /// The disruption budget has changed and its controller has not seen it.
    pub(crate) fn budget_not_processed(budget: &str) -> ApiError {
        let why = format!("The disruption budget {budget} is still being processed by the server.");
        ApiError::disruption(json!({ "retryAfterSeconds": 10 }), &why)
    }

    fn disruption(mut details: Value, why: &str) -> ApiError {
        details["causes"] = json!([{ "reason": "DisruptionBudget", "message": why }]);
        let message = "Cannot evict pod as it would violate the pod's disruption budget.";
        ApiError { details: Some(details), ..ApiError::new(429, "TooManyRequests", message) }
    }

    /// The disruption budget cannot be used.
    pub(crate) fn budget_forbidden(budget: &str, why: &str) -> ApiError {
        ApiError::forbidden("policy", "poddisruptionbudget", budget, why)
    }

    /// 400: the body is of another version than the path.
    pub(crate) fn other_version(found: &str, expected: &str) -> ApiError {
        ApiError::bad_request(format!(
            "the API version in the data ({found}) does not match the expected API version ({expected})"
        ))
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> ApiError {
        ApiError::new(400, "BadRequest", message)
    }

    /// The same error with one more cause.
    pub(crate) fn because(mut self, reason: &str, message: &str, field: &str) -> ApiError {
        let details = self.details.get_or_insert_with(|| json!({}));
        let cause = json!({ "reason": reason, "message": message, "field": field });
        match details["causes"].as_array_mut() {
            Some(causes) => causes.push(cause),
            None => details["causes"] = json!([cause]),
        }
        self
    }

    /// What is wrong with an object, field by field (`NewInvalid`). The message tells each text once.
    pub(crate) fn invalid_object(group: &str, kind: &str, name: &str, causes: Vec<Cause>) -> ApiError {
        let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let mut texts: Vec<String> = Vec::new();
        for Cause { field, message, .. } in &causes {
            let text = format!("{field}: {message}");
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let texts = match texts.as_slice() {
            [text] => text.clone(),
            texts => format!("[{}]", texts.join(", ")),
        };
        let message = format!("{qualified} \"{name}\" is invalid: {texts}");
        let mut error = ApiError::new(422, "Invalid", message).details(group, kind, name);
        if let Some(details) = &mut error.details {
            let causes = causes.into_iter().map(|Cause { reason, field, message }| {
                json!({ "reason": reason, "message": message, "field": field })
            });
            details["causes"] = causes.collect();
        }
        error
    }

    /// `cause` is the reason of the one field that is wrong, such as `FieldValueInvalid`.
    pub(crate) fn invalid(
        group: &str,
        kind: &str,
        name: &str,
        field: &str,
        cause: &str,
        why: &str,
    ) -> ApiError {
        let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let message = format!("{qualified} \"{name}\" is invalid: {field}: {why}");
        let mut error = ApiError::new(422, "Invalid", message).details(group, kind, name);
        if let Some(details) = &mut error.details {
            details["causes"] = json!([{ "reason": cause, "message": why, "field": field }]);
        }
        error
    }

    /// Texts of `apiserver/pkg/storage/etcd3/errors.go`.
    pub(crate) fn continue_expired(continue_token: String) -> ApiError {
        let message = "The provided continue parameter is too old to display a consistent list result. You can \
                       start a new list without the continue parameter, or use the continue token in this \
                       response to retrieve the remainder of the results. Continuing with the provided token \
                       results in an inconsistent list - objects that were created, modified, or deleted \
                       between the time the first chunk was returned and now may show up in the list.";
        ApiError { continue_token: Some(continue_token), ..ApiError::new(410, "Expired", message) }
    }

    pub(crate) fn list_expired() -> ApiError {
        ApiError::new(410, "Expired", "The resourceVersion for the provided list is too old.")
    }

    pub(crate) fn watch_expired(revision: u64, oldest: u64) -> ApiError {
        ApiError::new(410, "Expired", format!("too old resource version: {revision} ({oldest})"))
    }

    pub(crate) fn revision_in_future(revision: u64, current: u64) -> ApiError {
        let message = format!("Timeout: Too large resource version: {revision}, current: {current}");
        let causes =
            json!([{ "reason": "ResourceVersionTooLarge", "message": "Too large resource version" }]);
        let details = Some(json!({ "causes": causes, "retryAfterSeconds": 1 }));
        ApiError { details, ..ApiError::new(504, "Timeout", message) }
    }

    /// The client does not send its request to the end (`apiserver/pkg/server/filters/timeout.go`).
    pub(crate) fn request_timeout() -> ApiError {
        let message = "Timeout: request did not complete within the allotted timeout";
        ApiError { details: Some(json!({})), ..ApiError::new(504, "Timeout", message) }
    }

    pub(crate) fn body_too_large(limit: usize) -> ApiError {
        let message = format!("Request entity too large: limit is {limit}");
        ApiError::new(413, "RequestEntityTooLarge", message)
    }

    /// The types are those of `Patch` in `apiserver/pkg/endpoints/handlers/patch.go`.
    pub(crate) fn unsupported_patch() -> ApiError {
        let message = "the body of the request was in an unknown format - accepted media types include: \
                       application/json-patch+json, application/merge-patch+json, \
                       application/strategic-merge-patch+json, application/apply-patch+yaml";
        ApiError::new(415, "UnsupportedMediaType", message)
    }

    /// The types are those of every API server (`NegotiateInputSerializer`).
    pub(crate) fn unsupported_body() -> ApiError {
        let message = "the body of the request was in an unknown format - accepted media types include: \
                       application/json, application/yaml, application/vnd.kubernetes.protobuf";
        ApiError::new(415, "UnsupportedMediaType", message)
    }

    pub(crate) fn too_many_operations(limit: usize, found: usize) -> ApiError {
        let message = format!(
            "Request entity too large: The allowed maximum operations in a JSON patch is {limit}, got {found}"
        );
        ApiError::new(413, "RequestEntityTooLarge", message)
    }

    /// A patch that cannot be applied: `NewGenericServerResponse` with 422.
    pub(crate) fn patch_rejected() -> ApiError {
        let message = "the server rejected our request due to an error in our request";
        ApiError { details: Some(json!({})), ..ApiError::new(422, "Invalid", message) }
    }

    /// A patch after which the object is none of its kind; `shown` is what the message shows of it.
    pub(crate) fn invalid_patch(shown: &str, why: &str) -> ApiError {
        let why = format!("Invalid value: {shown:?}: {why}");
        let cause = json!({ "reason": "FieldValueInvalid", "message": why, "field": "patch" });
        let error = ApiError::new(422, "Invalid", format!(" \"\" is invalid: patch: {why}"));
        ApiError { details: Some(json!({ "causes": [cause] })), ..error }
    }

    /// What other managers own: who, as conflicts tell it, and which fields (`NewConflictError` in
    /// `apimachinery/pkg/util/managedfields/internal/conflict.go`).
    pub(crate) fn apply_conflict(conflicts: &[(String, Vec<String>)]) -> ApiError {
        let count: usize = conflicts.iter().map(|(_, paths)| paths.len()).sum();
        let causes = conflicts.iter().flat_map(|(manager, paths)| {
            let message = format!("conflict with {manager}");
            paths.iter().map(
                move |path| json!({ "reason": "FieldManagerConflict", "message": message, "field": path }),
            )
        });
        let details = json!({ "causes": causes.collect::<Vec<Value>>() });
        let message = match conflicts {
            [(manager, paths)] if count == 1 => {
                format!("Apply failed with 1 conflict: conflict with {manager}: {}", paths.join(""))
            }
            conflicts => {
                let managers = conflicts.iter().map(|(manager, paths)| {
                    let paths: Vec<String> = paths.iter().map(|path| format!("\n- {path}")).collect();
                    format!("conflicts with {manager}:{}", paths.concat())
                });
                let managers = managers.collect::<Vec<String>>().join("\n");
                format!("Apply failed with {count} conflicts: {managers}")
            }
        };
        ApiError { details: Some(details), ..ApiError::new(409, "Conflict", message) }
    }

    /// An error of the server that has no reason of its own.
    pub(crate) fn unexplained(message: impl Into<String>) -> ApiError {
        ApiError::new(500, "", message)
    }

    /// The client accepts none of the forms that the server has (`negotiation/errors.go`). A real one has YAML and
    /// protobuf besides.
    pub(crate) fn not_acceptable() -> ApiError {
        let message = "only the following media types are accepted: application/json";
        ApiError::new(406, "NotAcceptable", message)
    }

    /// A form that does not fit what was asked for: a list as one object, or an object as a list.
    pub(crate) fn not_acceptable_as(asked: &str, because: &str) -> ApiError {
        ApiError::new(
            406,
            "NotAcceptable",
            format!("you requested {asked}, but the requested object is {because}"),
        )
    }

    /// What a plan of faults says instead of the true answer.
    pub(crate) fn injected(code: u16, retry_after_seconds: Option<u32>) -> ApiError {
        let (reason, message) = match code {
            401 => ("Unauthorized", "Unauthorized"),
            429 => ("TooManyRequests", "Too many requests, please try again later."),
            503 => ("ServiceUnavailable", "the server is currently unable to handle the request"),
            504 => ("Timeout", "the server was unable to return a response in the time allotted"),
            _ => ("InternalError", "Internal error occurred: injected fault"),
        };
        let retry_after = retry_after_seconds.or((code == 429).then_some(1));
        let details = retry_after.map(|seconds| json!({ "retryAfterSeconds": seconds }));
        ApiError { details, ..ApiError::new(code, reason, message) }
    }
}
