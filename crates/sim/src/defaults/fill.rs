//! The ways in which a default gets into a map.

use serde_json::{Map, Value, json};

/// The fields of one typed object.
pub(crate) type Fields = Map<String, Value>;

/// Sets a field that is absent: Go's `if x == nil`.
pub(super) fn absent(fields: &mut Fields, name: &str, default: impl Into<Value>) {
    let field = fields.entry(name).or_insert(Value::Null);
    if field.is_null() {
        *field = default.into();
    }
}

/// Sets a field that is absent or has its type's zero value: Go's `if x == ""` and `if x == 0`.
pub(super) fn zero(fields: &mut Fields, name: &str, default: impl Into<Value>) {
    if is_zero(fields.get(name)) {
        fields.insert(name.to_owned(), default.into());
    }
}

/// Whether a field is absent or has the zero value of a string, a number, a list or a map.
pub(super) fn is_zero(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Number(number)) => number.as_f64() == Some(0.0),
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(map)) => map.is_empty(),
        Some(Value::Bool(_)) => false,
    }
}

/// The string in a field, or the empty one.
pub(super) fn text<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The map in a field, made where it is absent; `None` where something else stands there.
pub(super) fn map<'a>(fields: &'a mut Fields, name: &str) -> Option<&'a mut Fields> {
    absent(fields, name, json!({}));
    fields.get_mut(name)?.as_object_mut()
}
