//! Strategic merge patch: lists are merged by what their type says, and directives tell what else is to be done.
//!
//! The rules and texts are those of `apimachinery/pkg/util/strategicpatch/patch.go`.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::go::{go_format, go_type};
use super::order::{Identity, order};
use crate::json;
use crate::schema::{Field, Merge, Shape, Type};
use crate::status::ApiError;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const SET_ORDER: &str = "$setElementOrder/";

/// Reads a patch from a body.
pub(super) fn read(body: &[u8]) -> Result<Value, ApiError> {
    json::read_map(body).map(Value::Object).map_err(ApiError::bad_request)
}

pub(super) fn apply(ty: &'static Type, current: &mut Value, patch: Value) -> Result<(), ApiError> {
    match (current, patch) {
        (Value::Object(current), Value::Object(patch)) => merge_map(Some(ty), current, patch),
        _ => Err(ApiError::bad_request("invalid JSON document")),
    }
}

/// Merges a patch into a map; `ty` is unknown for maps of the user, such as labels.
fn merge_map(
    ty: Option<&'static Type>,
    current: &mut Map<String, Value>,
    mut patch: Map<String, Value>,
) -> Result<(), ApiError> {
    if let Some(directive) = patch.remove(DIRECTIVE) {
        return replace_map(current, &directive, patch);
    }
    retain_keys(current, &mut patch)?;
    let orders = take_with_prefix(&mut patch, SET_ORDER);
    for (name, wanted) in orders {
        set_order(ty, current, &mut patch, &name, &wanted)?;
    }
    for (name, gone) in take_with_prefix(&mut patch, DELETE_FROM) {
        delete_from(current, &name, &gone)?;
    }
    for (name, value) in patch {
        let field = field(ty, &name);
        match (current.get_mut(&name), value) {
            (_, Value::Null) => {
                current.remove(&name);
            }
            (Some(Value::Object(present)), Value::Object(patch)) if merges(field) => {
                merge_map(field.and_then(|field| field.shape.object()), present, patch)?;
            }
            (Some(Value::Array(present)), Value::Array(patch)) => merge_list(field, present, patch, None)?,
            (_, value) => {
                if let Some(value) = without_directives(value) {
                    current.insert(name, value);
                }
            }
        }
    }
    Ok(())
}

fn field(ty: Option<&'static Type>, name: &str) -> Option<&'static Field> {
    ty.and_then(|ty| ty.fields.get(name))
}

fn merges(field: Option<&'static Field>) -> bool {
    field.is_none_or(|field| field.merge != Merge::Replace)
}

/// `$patch` in a map: the map is emptied, or becomes what stands beside the directive.
fn replace_map(
    current: &mut Map<String, Value>,
    directive: &Value,
    patch: Map<String, Value>,
) -> Result<(), ApiError> {
    *current = match directive.as_str() {
        Some("replace") => patch
            .into_iter()
            .filter_map(|(name, value)| without_directives(value).map(|value| (name, value)))
            .collect(),
        Some("delete") => Map::new(),
        _ => return Err(unknown_directive(directive, patch)),
    };
    Ok(())
}

fn unknown_directive(directive: &Value, mut patch: Map<String, Value>) -> ApiError {
    patch.insert(DIRECTIVE.to_owned(), directive.clone());
    ApiError::unexplained(format!(
        "unknown patch type: {} in map: {}",
        go_format(directive),
        go_format(&Value::Object(patch))
    ))
}

/// `$retainKeys`: all keys that are not listed go, and the patch may set none but these.
fn retain_keys(current: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<(), ApiError> {
    let Some(retained) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let wrong = || ApiError::bad_request("invalid patch format of retainKeys");
    let Value::Array(retained) = retained else { return Err(wrong()) };
    let retained: HashSet<&str> = retained.iter().filter_map(Value::as_str).collect();
    let listed = |name: &str| retained.contains(name);
    let directive = |name: &str| name.starts_with(DELETE_FROM) || name.starts_with(SET_ORDER);
    if patch.iter().any(|(name, value)| !value.is_null() && !directive(name) && !listed(name)) {
        return Err(wrong());
    }
    current.retain(|name, _| listed(name));
    Ok(())
}

/// `$setElementOrder/x`: merges the list `x`, in the order that is given.
fn set_order(
    ty: Option<&'static Type>,
    current: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
    name: &str,
    wanted: &Value,
) -> Result<(), ApiError> {
    let wanted = list(wanted)?;
    let changes = patch.remove(name);
    if changes.as_ref().is_some_and(Value::is_null) {
        current.remove(name);
        return Ok(());
    }
    if changes.is_none() && !current.contains_key(name) {
        return Ok(());
    }
    let changes = match &changes {
        Some(changes) => list(changes)?.clone(),
        None => Vec::new(),
    };
    let present = current.entry(name).or_insert_with(|| Value::Array(Vec::new()));
    let Value::Array(present) = present else { return Err(bad_type("[]interface {}", present)) };
    merge_list(field(ty, name), present, changes, Some(wanted))
}

/// `$deleteFromPrimitiveList/x`: removes scalars from the list `x`.
fn delete_from(current: &mut Map<String, Value>, name: &str, gone: &Value) -> Result<(), ApiError> {
    let gone = Identity::Scalar.places(list(gone)?);
    if let Some(Value::Array(present)) = current.get_mut(name) {
        present.retain(|element| !gone.contains_key(&Identity::Scalar.of(element)));
    }
    Ok(())
}

fn merge_list(
    field: Option<&'static Field>,
    present: &mut Vec<Value>,
    patch: Vec<Value>,
    wanted: Option<&[Value]>,
) -> Result<(), ApiError> {
    let objects = same_kind(present, &patch)?;
    match field.map(|field| (field.merge, &field.shape)) {
        Some((Merge::Set | Merge::ByKey(_), _)) if !objects => merge_set(present, &patch, wanted),
        Some((Merge::ByKey(key), Shape::List(element))) => {
            merge_by_key(key, element.object(), present, patch, wanted)?;
        }
        Some((Merge::Set, _)) => {
            return Err(ApiError::unexplained("cannot merge lists without merge key for type struct"));
        }
        Some((Merge::Default | Merge::Replace | Merge::ByKey(_), _)) | None => {
            *present = patch.into_iter().filter_map(without_directives).collect();
        }
    }
    Ok(())
}

/// Whether the elements are objects; all must be of one kind, and none a list.
fn same_kind(present: &[Value], patch: &[Value]) -> Result<bool, ApiError> {
    let mut all = present.iter().chain(patch);
    let Some(first) = all.next() else { return Ok(true) };
    if first.is_array() {
        return Err(ApiError::patch_rejected());
    }
    if all.any(|element| go_type(element) != go_type(first)) {
        let lists = [present, patch].map(|list| go_format(&Value::Array(list.to_vec())));
        return Err(ApiError::unexplained(format!(
            "list element types are not identical: [{}]",
            lists.join(" ")
        )));
    }
    Ok(first.is_object())
}

fn merge_set(present: &mut Vec<Value>, patch: &[Value], wanted: Option<&[Value]>) {
    let before = std::mem::take(present);
    let mut merged: Vec<Value> = Vec::with_capacity(before.len() + patch.len());
    let mut seen = HashSet::new();
    for element in before.iter().chain(patch) {
        if seen.insert(Identity::Scalar.of(element)) {
            merged.push(element.clone());
        }
    }
    *present = order(merged, wanted.unwrap_or(patch), &before, Identity::Scalar);
}

fn merge_by_key(
    key: &'static str,
    element: Option<&'static Type>,
    present: &mut Vec<Value>,
    patch: Vec<Value>,
    wanted: Option<&[Value]>,
) -> Result<(), ApiError> {
    let identity = Identity::Key(key);
    let (changes, replace) = follow_directives(identity, present, patch)?;
    if replace {
        *present = changes.into_iter().filter_map(without_directives).collect();
        return Ok(());
    }
    identity.check(&changes)?;
    identity.check(present)?;
    if let Some(wanted) = wanted {
        identity.check(wanted)?;
        check_order(identity, &changes, wanted)?;
    }
    let before = present.clone();
    let named = changes.clone();
    let mut places = identity.places(present);
    for change in changes {
        let place = *places.entry(identity.of(&change)).or_insert(present.len());
        match (present.get_mut(place), change) {
            (Some(Value::Object(other)), Value::Object(change)) => merge_map(element, other, change)?,
            (_, change) => present.extend(without_directives(change)),
        }
    }
    *present = order(std::mem::take(present), wanted.unwrap_or(&named), &before, identity);
    Ok(())
}

/// Does what elements with `$patch` ask for. Answers with the other elements, and whether they replace the list.
fn follow_directives(
    identity: Identity,
    present: &mut Vec<Value>,
    patch: Vec<Value>,
) -> Result<(Vec<Value>, bool), ApiError> {
    let mut changes = Vec::with_capacity(patch.len());
    let mut gone = HashSet::new();
    let mut replace = false;
    for element in patch {
        match element.get(DIRECTIVE).map(Value::as_str) {
            None => changes.push(element),
            Some(Some("delete")) => {
                identity.check(std::slice::from_ref(&element))?;
                gone.insert(identity.of(&element));
            }
            Some(Some("replace")) => replace = true,
            Some(Some("merge")) => {
                return Err(ApiError::unexplained("merging lists cannot yet be specified in the patch"));
            }
            Some(_) => {
                let map = element.as_object().cloned().unwrap_or_default();
                return Err(unknown_directive(&element[DIRECTIVE], map));
            }
        }
    }
    present.retain(|element| !gone.contains(&identity.of(element)));
    Ok((changes, replace))
}

/// The elements of the patch must stand in the order that it asks for.
fn check_order(identity: Identity, changes: &[Value], wanted: &[Value]) -> Result<(), ApiError> {
    let mut following = wanted.iter().map(|element| identity.of(element));
    let ordered = changes.iter().all(|change| following.any(|other| other == identity.of(change)));
    if ordered {
        return Ok(());
    }
    let [changes, wanted] = [changes, wanted].map(|list| go_format(&Value::Array(list.to_vec())));
    Err(ApiError::unexplained(format!(
        "The order in patch list:\n{changes}\n doesn't match $setElementOrder list:\n{wanted}\n"
    )))
}

/// What is inserted for a value of the patch: no directives, and no `null`, which only deletes.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Object(map) if map.get(DIRECTIVE).is_some_and(|directive| directive == "delete") => None,
        Value::Object(map) => {
            let directive = |name: &str| {
                [DIRECTIVE, RETAIN_KEYS].contains(&name)
                    || name.starts_with(DELETE_FROM)
                    || name.starts_with(SET_ORDER)
            };
            let kept = map.into_iter().filter(|(name, _)| !directive(name));
            let kept = kept.filter_map(|(name, value)| without_directives(value).map(|value| (name, value)));
            Some(Value::Object(kept.collect()))
        }
        Value::Array(items) => {
            let replaces = |item: &Value| item.get(DIRECTIVE).is_some_and(|directive| directive == "replace");
            let kept = items.into_iter().filter(|item| !replaces(item)).filter_map(without_directives);
            Some(Value::Array(kept.collect()))
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(value),
    }
}

/// Takes out the entries whose names begin with `prefix`; what follows it is the name of a list.
fn take_with_prefix(patch: &mut Map<String, Value>, prefix: &str) -> Vec<(String, Value)> {
    let names: Vec<String> = patch.keys().filter(|name| name.starts_with(prefix)).cloned().collect();
    let taken = names.into_iter().filter_map(|name| {
        let value = patch.remove(&name)?;
        Some((name[prefix.len()..].to_owned(), value))
    });
    taken.collect()
}

fn list(value: &Value) -> Result<&Vec<Value>, ApiError> {
    value.as_array().ok_or_else(|| bad_type("[]interface {}", value))
}

fn bad_type(expected: &str, found: &Value) -> ApiError {
    ApiError::unexplained(format!("expected a {expected}, but received a {}", go_type(found)))
}
