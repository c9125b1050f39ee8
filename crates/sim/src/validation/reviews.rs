//! `pkg/apis/authorization/validation/validation.go`.

use serde_json::{Map, Value, json};

use super::errors::Errors;
use super::read::{entries, is_empty, text};
use crate::kinds::Kind;
use crate::schema::Path;
use crate::status::ApiError;

/// Refuses a question about rights that is none.
pub(crate) fn access_review(kind: &Kind, review: &Value) -> Result<(), ApiError> {
    let (root, mut errors) = (Path::ROOT, Errors::default());
    let (spec, path) = (&review["spec"], root.field("spec"));
    attributes(&mut errors, spec, &path);
    let names_subject = kind.kind != "SelfSubjectAccessReview";
    if names_subject && text(spec, "user").is_empty() && is_empty(&spec["groups"]) {
        errors.invalid(&path.field("user"), "", "at least one of user or group must be specified");
    }
    metadata(&mut errors, kind, &review["metadata"], &root.field("metadata"));
    if kind.namespaced {
        local(&mut errors, review, &path);
    }
    // What is decoded no longer says its kind.
    errors.into_result_for(kind.group, "", "")
}

fn attributes(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    let (resource, other) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    match (resource.is_object(), other.is_object()) {
        (true, true) => {
            let why = "cannot be specified in combination with resourceAttributes";
            errors.invalid(&path.field("nonResourceAttributes"), &shown(other), why);
        }
        (false, false) => {
            let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            errors.invalid(&path.field("resourceAttributes"), "null", why);
        }
        (true, false) | (false, true) => {}
    }
}

/// The server's own struct has names of its own for the fields.
fn shown(attributes: &Value) -> Value {
    json!({ "Path": text(attributes, "path"), "Verb": text(attributes, "verb") })
}

/// Nothing but the namespace of a review that lies in one.
fn metadata(errors: &mut Errors, kind: &Kind, metadata: &Value, path: &Path<'_>) {
    let allowed = |name: &str| name == "managedFields" || (kind.namespaced && name == "namespace");
    if entries(metadata).all(|(name, value)| allowed(name) || is_empty(value)) {
        return;
    }
    let given = entries(metadata).filter(|(_, value)| !is_empty(value));
    let given: Map<String, Value> = given.map(|(name, value)| (name.to_owned(), value.clone())).collect();
    let why = if kind.namespaced { "must be empty except for namespace" } else { "must be empty" };
    errors.invalid(path, &Value::Object(given), why);
}

fn local(errors: &mut Errors, review: &Value, path: &Path<'_>) {
    let (spec, own) = (&review["spec"], text(&review["metadata"], "namespace"));
    let (resource, other) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    if resource.is_object() && text(resource, "namespace") != own {
        let field = path.field("resourceAttributes");
        errors.invalid(
            &field.field("namespace"),
            text(resource, "namespace"),
            "must match metadata.namespace",
        );
    }
    if other.is_object() {
        let why = "disallowed on this kind of request";
        errors.invalid(&path.field("nonResourceAttributes"), &shown(other), why);
    }
}
