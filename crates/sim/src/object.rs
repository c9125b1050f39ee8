//! Reading and writing the metadata that all objects share.

use jiff::Timestamp;
use serde_json::Value;

use crate::kinds::Kind;
use crate::status::ApiError;

/// `metadata.name`, or the empty string.
pub(crate) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// `metadata.namespace`, or the empty string.
pub(crate) fn namespace(object: &Value) -> &str {
    object["metadata"]["namespace"].as_str().unwrap_or_default()
}

/// The string at a dotted path such as `spec.nodeName`; numbers and booleans as text, absent as empty.
pub(crate) fn field(object: &Value, path: &str) -> String {
    match path.split('.').fold(object, |value, part| &value[part]) {
        Value::String(text) => text.clone(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

/// The same object at another resourceVersion.
pub(crate) fn at_revision(object: &Value, revision: u64) -> Value {
    let mut object = object.clone();
    object["metadata"]["resourceVersion"] = revision.to_string().into();
    object
}

/// Where an object stands among those of its kind, in the order of etcd: `name` or `namespace/name`.
pub(crate) fn key(kind: &Kind, namespace: &str, name: &str) -> String {
    if kind.namespaced { format!("{namespace}/{name}") } else { name.to_owned() }
}

/// A time as the API server writes it: RFC 3339, whole seconds, UTC.
pub(crate) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Refuses an object whose outer parts are not maps; what this lets through can be indexed and filled in.
pub(crate) fn check_shape(kind: &Kind, object: &Value) -> Result<(), ApiError> {
    let metadata = &object["metadata"];
    let maps = [&metadata["labels"], &metadata["annotations"], &object["spec"], &object["status"]];
    if metadata.is_object() && maps.iter().all(|part| part.is_null() || part.is_object()) {
        return Ok(());
    }
    let message = format!(
        "{kind} in version \"{version}\" cannot be handled as a {kind}: metadata, labels, annotations, spec and \
         status must be JSON objects",
        kind = kind.kind,
        version = kind.version,
    );
    Err(ApiError::bad_request(message))
}
