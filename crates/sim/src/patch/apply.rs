//! Server-side apply: a manager says what it wants, and owns that from then on.
//!
//! The rules are those of `Apply` in `structured-merge-diff/merge/update.go`.

use jiff::Timestamp;
use serde_json::Value;

use super::last_applied;
use crate::managed::{self, Entry, FieldSet};
use crate::object;
use crate::schema::{self, Dialect, Root};
use crate::status::ApiError;
use crate::yaml;

/// The type of the body of an apply.
pub(crate) const MEDIA_TYPE: &str = "application/apply-patch+yaml";

/// Who applies, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Applier<'a> {
    pub(crate) manager: &'a str,
    pub(crate) subresource: &'a str,
    /// Whether fields of others are taken over.
    pub(crate) force: bool,
    pub(crate) now: Timestamp,
}

/// Reads what is applied, in YAML or JSON.
pub(crate) fn read(root: &'static Root, body: &[u8]) -> Result<Value, ApiError> {
    let config = parse(body)?;
    let expected = crate::kinds::group_version(root.group, root.version);
    let found = object::field(&config, "apiVersion");
    if found != expected {
        return Err(ApiError::other_version(&found, &expected));
    }
    if config["metadata"]["managedFields"].as_array().is_some_and(|entries| !entries.is_empty()) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    check_types(root, &config)?;
    Ok(config)
}

/// Clients send JSON for the most part, which is read faster than the YAML that it also is.
fn parse(body: &[u8]) -> Result<Value, ApiError> {
    if let Ok(config) = serde_json::from_slice(body) {
        return Ok(config);
    }
    let unreadable = |error| ApiError::bad_request(format!("error decoding YAML: {error}"));
    yaml::parse(body).map_err(unreadable)
}

fn check_types(root: &'static Root, config: &Value) -> Result<(), ApiError> {
    let why = match schema::decode_fields(root, config.clone(), Dialect::Json) {
        Ok(decoded) if decoded.unknown.is_empty() => return Ok(()),
        Ok(decoded) => {
            let fields = decoded.unknown.iter().map(|unknown| {
                let path = unknown.trim_start_matches("unknown field ").trim_matches('"');
                format!(".{path}: field not declared in schema")
            });
            match fields.collect::<Vec<String>>().as_slice() {
                [one] => one.clone(),
                all => format!("errors:\n  {}", all.join("\n  ")),
            }
        }
        Err(why) => why,
    };
    let (namespace, name) = (object::namespace(config), object::name(config));
    let version = crate::kinds::group_version(root.group, root.version);
    Err(ApiError::unexplained(format!(
        "failed to create typed patch object ({namespace}/{name}; {version}, Kind={}): {why}",
        root.kind
    )))
}

/// Applies what a manager wants to an object, which is `None` where there is none yet.
pub(crate) fn apply(
    root: &'static Root,
    live: Option<&Value>,
    config: &Value,
    applier: Applier<'_>,
) -> Result<Value, ApiError> {
    let ty = root.ty;
    let mut entries = live.map(|live| managed::before_apply(ty, live)).unwrap_or_default();
    let before = live.cloned().unwrap_or_else(|| config.clone());
    let mut object = before.clone();
    managed::merge(ty, &mut object, config);
    let (changed, _) = managed::differences(ty, &before, &object);
    let own = Entry {
        manager: applier.manager.to_owned(),
        applies: true,
        subresource: applier.subresource.to_owned(),
        api_version: object::field(config, "apiVersion"),
        time: object::time(applier.now),
        fields: managed::owned_fields(ty, config),
    };
    let previous = take(&mut entries, &own);
    let from_client = applier.manager == last_applied::MANAGER;
    let conceded = live.filter(|_| from_client).map(|live| last_applied::unchanged(root, live));
    yield_fields(&mut entries, &changed, &conceded.unwrap_or_default(), applier.force)?;
    if let Some(previous) = &previous {
        let mut gone = previous.fields.clone();
        gone.subtract(&own.fields);
        let mut owned = own.fields.clone();
        entries.iter().for_each(|entry| owned.add(&entry.fields));
        managed::remove(ty, &mut object, &gone, &owned);
    }
    // An apply that changes nothing leaves its time as it was.
    let unchanged = previous.filter(|previous| previous.fields == own.fields && object == before);
    entries.insert(0, unchanged.unwrap_or(own));
    managed::write(&mut object, &entries);
    if from_client {
        last_applied::renew(&mut object, config);
    }
    let decoded = schema::decode_fields(root, object, Dialect::Json)
        .map_err(|why| ApiError::invalid_patch("", &why))?;
    Ok(decoded.object)
}

/// The manager's own entry, taken out.
fn take(entries: &mut Vec<Entry>, own: &Entry) -> Option<Entry> {
    let place = entries.iter().position(|entry| {
        entry.applies && entry.manager == own.manager && entry.subresource == own.subresource
    });
    place.map(|place| entries.remove(place))
}

/// Takes from the other managers what is changed; without `force` that is a conflict, but for what is `conceded`.
fn yield_fields(
    entries: &mut [Entry],
    changed: &FieldSet,
    conceded: &FieldSet,
    force: bool,
) -> Result<(), ApiError> {
    let mut conflicts: Vec<(String, Vec<String>)> = Vec::new();
    for entry in entries {
        let contested = entry.fields.intersection(changed);
        entry.fields.subtract(&contested);
        let mut conflict = contested;
        conflict.subtract(conceded);
        if !conflict.is_empty() {
            conflicts.push((entry.describe(), conflict.paths()));
        }
    }
    conflicts.sort();
    if conflicts.is_empty() || force { Ok(()) } else { Err(ApiError::apply_conflict(&conflicts)) }
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
