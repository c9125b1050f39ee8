//! What tells the elements of lists apart, as a path of managed fields names it.

use serde_json::{Map, Value};

/// The name of an element that is told apart by `keys`: `k:{"name":"c"}`. Without one of the keys it has none.
pub(super) fn name(keys: &[&str], element: &Value) -> Option<String> {
    let mut named = Map::new();
    for key in keys {
        let value = match element.get(*key) {
            Some(Value::Null) | None => default(key)?,
            Some(value) => value.clone(),
        };
        named.insert((*key).to_owned(), value);
    }
    Some(format!("k:{}", Value::Object(named)))
}

/// The only key that may be left out is the protocol of a port (`+default="TCP"` in `core/v1/types.go`).
fn default(key: &str) -> Option<Value> {
    (key == "protocol").then(|| "TCP".into())
}

/// A path as conflicts tell it: `.spec.containers[name="c"].image` (`fieldpath/element.go` of
/// `structured-merge-diff`).
pub(super) fn print(path: &[&str]) -> String {
    path.iter().map(|step| print_step(step)).collect()
}

fn print_step(step: &str) -> String {
    match step.split_once(':') {
        Some(("f", field)) => format!(".{field}"),
        Some(("v", value)) => format!("[={value}]"),
        Some(("k", keys)) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("[{}]", keys.join(","))
        }
        _ => step.to_owned(),
    }
}
