//! An object as the store holds it, and the metadata that all objects share.

use std::ops::Deref;
use std::sync::OnceLock;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::kinds::Kind;
use crate::status::ApiError;

/// What a field's name takes besides its text.
const NAME: usize = size_of::<String>();

/// An object of the store: replaced as a whole, never changed, and printed as JSON at most once however many lists
/// and watches show it.
#[derive(Debug)]
pub struct Object {
    value: Value,
    /// About how many bytes it takes.
    size: usize,
    item: OnceLock<Bytes>,
}

impl Object {
    pub(crate) fn new(value: Value) -> Object {
        Object { size: size(&value), value, item: OnceLock::new() }
    }

    /// About how many bytes it takes in memory.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Whether it takes more than `limit` bytes as JSON; it is printed only where that is in doubt.
    pub(crate) fn exceeds(&self, limit: usize) -> bool {
        self.size > limit && self.item().len() > limit
    }

    /// The object without its `kind` and `apiVersion`, as it stands in a list, as JSON.
    pub(crate) fn item(&self) -> &Bytes {
        self.item.get_or_init(|| {
            // A value that was read or built as JSON can be printed as JSON.
            Bytes::from(serde_json::to_vec(&Item(&self.value)).unwrap_or_default())
        })
    }

    /// The whole object as JSON.
    pub(crate) fn json(&self, kind: &Kind) -> String {
        let item = String::from_utf8_lossy(self.item());
        let fields = item.strip_prefix('{').unwrap_or_default();
        let comma = if fields == "}" { "" } else { "," };
        format!("{{\"kind\":\"{}\",\"apiVersion\":\"{}\"{comma}{fields}", kind.kind, kind.api_version())
    }
}

/// An object without `kind` and `apiVersion`.
struct Item<'a>(&'a Value);

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.0.as_object().into_iter().flatten();
        serializer.collect_map(fields.filter(|(field, _)| *field != "kind" && *field != "apiVersion"))
    }
}

impl Deref for Object {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.value
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Object) -> bool {
        self.value == other.value
    }
}

/// About how many bytes a value takes in memory, its own place included.
fn size(value: &Value) -> usize {
    let parts = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| NAME + name.len() + size(value)).sum(),
    };
    size_of::<Value>() + parts
}

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

/// Sets a field, or removes it where there is nothing to set; `object` that is no map stays as it is.
pub(crate) fn set_or_remove(object: &mut Value, field: &str, value: &Value) {
    let Some(fields) = object.as_object_mut() else { return };
    match value {
        Value::Null => drop(fields.remove(field)),
        value => drop(fields.insert(field.to_owned(), value.clone())),
    }
}

/// The texts in a list; nothing where it is no list.
pub(crate) fn strings(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Whether the object has been deleted and waits to be gone.
pub(crate) fn is_terminating(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// Whether nothing keeps a deleted object any more: no finalizer, and no grace for a kubelet to stop it.
pub(crate) fn is_finished(kind: &Kind, object: &Value) -> bool {
    let metadata = &object["metadata"];
    let has_finalizers = |finalizers: &Value| finalizers.as_array().is_some_and(|list| !list.is_empty());
    is_terminating(object)
        && !has_finalizers(&metadata["finalizers"])
        && !(kind.plural == "namespaces" && has_finalizers(&object["spec"]["finalizers"]))
        && metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or_default() == 0
}

/// The condition of a type in an object's status.
pub(crate) fn condition<'a>(object: &'a Value, condition_type: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == condition_type)
}

/// Whether a condition of an object is true.
pub(crate) fn is_true(object: &Value, condition_type: &str) -> bool {
    condition(object, condition_type).is_some_and(|condition| condition["status"] == "True")
}

/// The owner reference of what an object controls (`NewControllerRef`).
pub(crate) fn controller_reference(owner: &Value) -> Value {
    json!({
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// Sets the condition of its type, at its place where there is one.
pub(crate) fn set_condition(object: &mut Value, condition: Value) {
    let conditions = &mut object["status"]["conditions"];
    if !conditions.is_array() {
        *conditions = Value::Array(Vec::new());
    }
    let Some(conditions) = conditions.as_array_mut() else { return };
    match conditions.iter_mut().find(|present| present["type"] == condition["type"]) {
        Some(present) => *present = condition,
        None => conditions.push(condition),
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

/// Where an object stands in etcd, as errors of the storage tell it (`pkg/kubeapiserver/default_storage_factory_builder.go`).
pub(crate) fn storage_key(kind: &Kind, namespace: &str, name: &str) -> String {
    let prefix = match kind.plural {
        "endpoints" => "services/endpoints",
        "ingresses" => "ingress",
        "nodes" => "minions",
        "replicationcontrollers" => "controllers",
        "services" => "services/specs",
        plural => plural,
    };
    format!("/registry/{prefix}/{}", key(kind, namespace, name))
}

/// A time as the API server writes it: RFC 3339, whole seconds, UTC.
pub(crate) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A time some seconds later, however many they are.
pub(crate) fn seconds_later(at: Timestamp, seconds: i64) -> Timestamp {
    at.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(at)
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
