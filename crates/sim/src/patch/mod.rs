//! Patches: JSON Patch, merge patch and strategic merge patch, as `apiserver/pkg/endpoints/handlers/patch.go`
//! applies them.

pub(crate) mod apply;
mod go;
mod json;
mod last_applied;
mod merge;
mod order;
mod strategic;

use serde_json::Value;

use self::go::go_format;
use crate::schema::{self, Dialect, Root};
use crate::status::ApiError;

/// No object is nested deeper than a body may be (`serde_json` reads no deeper).
const MAX_DEPTH: usize = 128;

/// What was left out of a patched object.
#[derive(Debug)]
pub(crate) struct Patched {
    /// What strict validation refuses: `unknown field "spec.foo"`.
    pub(crate) unknown: Vec<String>,
    /// What an error about the patch shows of it.
    shown: String,
}

impl Patched {
    /// Refuses what is unknown: `fieldValidation=Strict`.
    pub(crate) fn strict(&self) -> Result<(), ApiError> {
        if self.unknown.is_empty() {
            return Ok(());
        }
        Err(ApiError::invalid_patch(
            &self.shown,
            &format!("strict decoding error: {}", self.unknown.join(", ")),
        ))
    }
}

/// Applies the patch in a body to an object, and brings the result into the server's form.
pub(crate) fn apply(
    media_type: &str,
    root: &'static Root,
    current: &mut Value,
    body: &[u8],
) -> Result<Patched, ApiError> {
    let mut shown = None;
    let mut dialect = Dialect::Json;
    match media_type {
        "application/json-patch+json" => json::apply(current, body)?,
        "application/merge-patch+json" => merge::apply(current, body)?,
        "application/strategic-merge-patch+json" => {
            let patch = strategic::read(body)?;
            shown = Some(go_format(&patch));
            dialect = Dialect::Unstructured;
            strategic::apply(root.ty, current, patch)?;
        }
        _ => return Err(ApiError::unsupported_patch()),
    }
    // Patches of objects that exist show the patched object in errors, strategic ones show the patch.
    let shown = shown.unwrap_or_else(|| current.to_string());
    if dialect == Dialect::Json {
        check_kind(root, current).map_err(|why| ApiError::invalid_patch(&shown, &why))?;
    }
    let decoded = schema::decode_fields(root, current.take(), dialect)
        .map_err(|why| ApiError::invalid_patch(&shown, &why))?;
    *current = decoded.object;
    Ok(Patched { unknown: decoded.unknown, shown })
}

/// Refuses what the patch has made an object of another kind. Strategic patches are read without regard to that.
fn check_kind(root: &Root, patched: &Value) -> Result<(), String> {
    let expected = (root.api_version(), root.kind.to_owned());
    let said = |field: &str, or: &str| {
        patched[field].as_str().filter(|text| !text.is_empty()).unwrap_or(or).to_owned()
    };
    let found = (said("apiVersion", &expected.0), said("kind", &expected.1));
    if found == expected {
        return Ok(());
    }
    Err(root.unconvertible(&found.0, &found.1))
}

/// Whether a value that stands `below` so many levels is nested so deeply that working on it could exhaust the stack.
fn too_deep(value: &Value, below: usize) -> bool {
    let mut level: Vec<&Value> = vec![value];
    for _ in below..MAX_DEPTH {
        level = level
            .into_iter()
            .flat_map(|value| -> Box<dyn Iterator<Item = &Value>> {
                match value {
                    Value::Array(items) => Box::new(items.iter()),
                    Value::Object(map) => Box::new(map.values()),
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                        Box::new(std::iter::empty())
                    }
                }
            })
            .collect();
        if level.is_empty() {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests;
