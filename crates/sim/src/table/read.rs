//! Reading what a cell shows, out of objects that may lack anything.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::duration;

/// The string behind a JSON pointer, or the empty string.
pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The string behind a JSON pointer, or other words where it is absent or empty.
pub(super) fn text_or<'a>(object: &'a Value, pointer: &str, otherwise: &'a str) -> &'a str {
    match text(object, pointer) {
        "" => otherwise,
        text => text,
    }
}

/// The number behind a JSON pointer, or 0.
pub(super) fn count(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

/// The boolean behind a JSON pointer, or false.
pub(super) fn flag(object: &Value, pointer: &str) -> bool {
    object.pointer(pointer).and_then(Value::as_bool).unwrap_or_default()
}

/// The elements behind a JSON pointer, or none.
pub(super) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The map behind a JSON pointer, if there is one.
pub(super) fn map<'a>(object: &'a Value, pointer: &str) -> Option<&'a Map<String, Value>> {
    object.pointer(pointer).and_then(Value::as_object)
}

/// How many elements or entries are behind a JSON pointer.
pub(super) fn size(object: &Value, pointer: &str) -> usize {
    list(object, pointer).len() + map(object, pointer).map_or(0, Map::len)
}

/// A quantity as it is written, or `0`.
pub(super) fn quantity(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => "0".to_owned(),
    }
}

/// A number or text, as `IntOrString` prints; `None` where there is neither.
pub(super) fn int_or_string(object: &Value, pointer: &str) -> Option<String> {
    match object.pointer(pointer)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The time behind a JSON pointer.
pub(super) fn time(object: &Value, pointer: &str) -> Option<Timestamp> {
    text(object, pointer).parse().ok()
}

/// How long ago the time behind a JSON pointer was.
pub(super) fn since(object: &Value, pointer: &str, now: Timestamp) -> String {
    duration::since(time(object, pointer), now)
}

/// The cell `Name`.
pub(super) fn name(object: &Value) -> Value {
    text(object, "/metadata/name").into()
}

/// The cell `Age`.
pub(super) fn age(object: &Value, now: Timestamp) -> Value {
    since(object, "/metadata/creationTimestamp", now).into()
}

/// Whether someone has asked for the object to be deleted.
pub(super) fn terminating(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

/// The status of a condition, where the object has it.
pub(super) fn condition<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    let conditions = list(object, "/status/conditions");
    conditions.iter().find(|condition| condition["type"] == name).map(|condition| text(condition, "/status"))
}

/// The cells `Containers` and `Images` of a pod's `spec`.
pub(super) fn containers(spec: Option<&Value>) -> [Value; 2] {
    let containers = spec.map_or(&[][..], |spec| list(spec, "/containers"));
    ["/name", "/image"].map(|field| {
        let values: Vec<&str> = containers.iter().map(|container| text(container, field)).collect();
        values.join(",").into()
    })
}

/// Texts with commas between; of many only the first are shown, and how many more there are.
pub(super) fn first_of(texts: &[String], most: usize, between: &str) -> String {
    if texts.len() > most {
        return format!("{} + {} more...", texts[..most].join(between), texts.len() - most);
    }
    texts.join(between)
}
