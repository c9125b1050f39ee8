//! `LimitRanger`: what containers get and may ask for in a namespace with limits.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::forbidden;
use crate::kinds::{self, Kind};
use crate::object::{self, Object};
use crate::schema::Quantity;
use crate::status::ApiError;
use crate::store::Transaction;

const ANNOTATION: &str = "kubernetes.io/limit-ranger";

pub(super) fn pod(store: &Transaction<'_>, kind: &Kind, pod: &mut Value) -> Result<(), ApiError> {
    let ranges = ranges(store, pod);
    for item in items(&ranges, "Container") {
        complete(pod, item);
    }
    let mut refused = Vec::new();
    for item in items(&ranges, "Container") {
        for list in ["containers", "initContainers"] {
            for container in pod["spec"][list].as_array().into_iter().flatten() {
                compare(&mut refused, item, &container["resources"], "Container");
            }
        }
    }
    for item in items(&ranges, "Pod") {
        compare(&mut refused, item, &total(pod), "Pod");
    }
    answer(kind, pod, &refused)
}

pub(super) fn claim(store: &Transaction<'_>, kind: &Kind, claim: &Value) -> Result<(), ApiError> {
    let mut refused = Vec::new();
    for item in items(&ranges(store, claim), "PersistentVolumeClaim") {
        let (requests, of) = (&claim["spec"]["resources"]["requests"], "PersistentVolumeClaim");
        for (name, bound) in bounds(item, "min") {
            if requested(requests, name).is_some_and(|asked| asked < Quantity::of(bound)) {
                refused.push(sentence("minimum", name, of, bound, "request", &requests[name]));
            }
        }
        for (name, bound) in bounds(item, "max") {
            if requested(requests, name).is_some_and(|asked| asked > Quantity::of(bound)) {
                refused.push(sentence("maximum", name, of, bound, "request", &requests[name]));
            }
        }
    }
    answer(kind, claim, &refused)
}

fn ranges(store: &Transaction<'_>, object: &Value) -> Vec<Arc<Object>> {
    let namespace = object::namespace(object);
    kinds::by_plural("limitranges").map(|kind| store.objects(kind, Some(namespace))).unwrap_or_default()
}

fn items<'a>(ranges: &'a [Arc<Object>], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    let limits = ranges.iter().flat_map(|range| range["spec"]["limits"].as_array().into_iter().flatten());
    limits.filter(move |item| item["type"] == kind)
}

fn bounds<'a>(item: &'a Value, which: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    item[which].as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn requested(list: &Value, name: &str) -> Option<Quantity> {
    (!list[name].is_null()).then(|| Quantity::of(&list[name]))
}

/// `mergePodResourceRequirements`: the defaults, and a note of what was set.
fn complete(pod: &mut Value, item: &Value) {
    let mut notes = Vec::new();
    for list in ["containers", "initContainers"] {
        let role = if list == "containers" { "container" } else { "init container" };
        let containers = pod["spec"].get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let name = container["name"].as_str().unwrap_or_default().to_owned();
            for (kind, which, word) in
                [("requests", "defaultRequest", "request"), ("limits", "default", "limit")]
            {
                let set = fill(container, kind, bounds(item, which));
                notes.extend(set.into_iter().map(|resource| format!("{resource} {word} for {role} {name}")));
            }
        }
    }
    if notes.is_empty() {
        return;
    }
    let note = format!("LimitRanger plugin set: {}", notes.join("; "));
    if let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) {
        let annotations = metadata.entry("annotations").or_insert_with(|| Map::new().into());
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.insert(ANNOTATION.to_owned(), note.into());
        }
    }
}

/// Sets what is not set; the answer names it.
fn fill<'a>(
    container: &mut Value,
    kind: &str,
    defaults: impl Iterator<Item = (&'a str, &'a Value)>,
) -> Vec<&'a str> {
    let mut set = Vec::new();
    let resources = container.as_object_mut().map(|container| container.entry("resources"));
    let Some(resources) =
        resources.and_then(|entry| entry.or_insert_with(|| Map::new().into()).as_object_mut())
    else {
        return set;
    };
    for (name, value) in defaults {
        let list = resources.entry(kind).or_insert(Value::Null);
        if list.is_null() {
            *list = Map::new().into();
        }
        if let Some(list) = list.as_object_mut()
            && !list.contains_key(name)
        {
            list.insert(name.to_owned(), value.clone());
            set.push(name);
        }
    }
    set
}

/// The sums over the containers of a pod.
fn total(pod: &Value) -> Value {
    let mut total = serde_json::json!({ "requests": {}, "limits": {} });
    for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
        for kind in ["requests", "limits"] {
            for (name, value) in container["resources"][kind].as_object().into_iter().flatten() {
                let sum = Quantity::of(&total[kind][name]) + Quantity::of(value);
                total[kind][name] = sum.to_string().into();
            }
        }
    }
    total
}

/// `minConstraint`, `maxConstraint` and `limitRequestRatioConstraint`.
fn compare(refused: &mut Vec<String>, item: &Value, resources: &Value, of: &str) {
    let (requests, limits) = (&resources["requests"], &resources["limits"]);
    for (name, bound) in bounds(item, "min") {
        let shown = bound.as_str().unwrap_or_default();
        let least = Quantity::of(bound);
        match (requested(requests, name), requested(limits, name)) {
            (None, _) => {
                refused.push(format!("minimum {name} usage per {of} is {shown}.  No request is specified"))
            }
            (Some(asked), _) if asked < least => {
                refused.push(sentence("minimum", name, of, bound, "request", &requests[name]))
            }
            (_, Some(limit)) if limit < least => {
                refused.push(sentence("minimum", name, of, bound, "limit", &limits[name]))
            }
            _ => {}
        }
    }
    for (name, bound) in bounds(item, "max") {
        let shown = bound.as_str().unwrap_or_default();
        let most = Quantity::of(bound);
        match (requested(limits, name), requested(requests, name)) {
            (None, _) => {
                refused.push(format!("maximum {name} usage per {of} is {shown}.  No limit is specified"))
            }
            (Some(limit), _) if limit > most => {
                refused.push(sentence("maximum", name, of, bound, "limit", &limits[name]))
            }
            (_, Some(asked)) if asked > most => {
                refused.push(sentence("maximum", name, of, bound, "request", &requests[name]))
            }
            _ => {}
        }
    }
}

fn sentence(which: &str, name: &str, of: &str, bound: &Value, what: &str, asked: &Value) -> String {
    let [bound, asked] = [bound, asked].map(|value| value.as_str().unwrap_or_default());
    format!("{which} {name} usage per {of} is {bound}, but {what} is {asked}")
}

fn answer(kind: &Kind, object: &Value, refused: &[String]) -> Result<(), ApiError> {
    match refused {
        [] => Ok(()),
        [one] => Err(forbidden(kind, object, one)),
        several => Err(forbidden(kind, object, &format!("[{}]", several.join(", ")))),
    }
}
