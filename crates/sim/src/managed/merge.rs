//! Merging what a manager applies into an object, and taking out what nobody owns any more.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::items;
use super::set::{FieldSet, lookup};
use crate::schema::{Shape, Topology, Type};

/// Merges `applied` into `live`: struct by struct, map by map, and lists by the keys of their elements.
pub(crate) fn merge(ty: &'static Type, live: &mut Value, applied: &Value) {
    merge_part(&Shape::Object(ty), &Topology::Granular, live, applied);
}

fn merge_part(shape: &Shape, topology: &Topology, live: &mut Value, applied: &Value) {
    match (shape, topology, live, applied) {
        (_, Topology::Atomic, live, applied) => *live = applied.clone(),
        (Shape::Object(ty), _, Value::Object(live), Value::Object(applied)) if !ty.atomic => {
            for (name, value) in applied {
                let (shape, topology) = lookup(ty, name);
                merge_entry(shape, topology, live, name, value);
            }
        }
        (Shape::Map(element), _, Value::Object(live), Value::Object(applied)) => {
            for (name, value) in applied {
                merge_entry(element, &Topology::Granular, live, name, value);
            }
        }
        (Shape::List(element), Topology::ByKeys(keys), Value::Array(live), Value::Array(applied)) => {
            merge_items(element, keys, live, applied);
        }
        (Shape::List(_), Topology::Set, Value::Array(live), Value::Array(applied)) => {
            let mut present: HashSet<String> = live.iter().map(Value::to_string).collect();
            live.extend(applied.iter().filter(|item| present.insert(item.to_string())).cloned());
        }
        (_, _, live, applied) => *live = applied.clone(),
    }
}

fn merge_entry(shape: &Shape, topology: &Topology, live: &mut Map<String, Value>, name: &str, value: &Value) {
    match live.get_mut(name) {
        Some(present) => merge_part(shape, topology, present, value),
        None => {
            live.insert(name.to_owned(), value.clone());
        }
    }
}

/// Elements stay where they are; new ones come last.
fn merge_items(shape: &Shape, keys: &[&str], live: &mut Vec<Value>, applied: &[Value]) {
    let named = live.iter().enumerate().filter_map(|(place, item)| Some((items::name(keys, item)?, place)));
    let places: HashMap<String, usize> = named.collect();
    for value in applied {
        let place = items::name(keys, value).and_then(|name| places.get(&name));
        match place.and_then(|place| live.get_mut(*place)) {
            Some(present) => merge_part(shape, &Topology::Granular, present, value),
            None => live.push(value.clone()),
        }
    }
}

/// Takes out of an object what is in `gone`, except for what is in `owned`.
pub(crate) fn remove(ty: &'static Type, object: &mut Value, gone: &FieldSet, owned: &FieldSet) {
    remove_part(&Shape::Object(ty), &Topology::Granular, object, gone, Some(owned));
}

fn remove_part(
    shape: &Shape,
    topology: &Topology,
    value: &mut Value,
    gone: &FieldSet,
    owned: Option<&FieldSet>,
) {
    // Whether the entry of this name goes as a whole; what stays of it otherwise has been thinned out.
    let goes = |name: &str, shape: &Shape, topology: &Topology, value: &mut Value| {
        let Some(gone) = gone.below(name) else { return false };
        let owned = owned.and_then(|owned| owned.below(name)).filter(|owned| !owned.is_empty());
        if gone.is_member() && owned.is_none() {
            return true;
        }
        let filled = !is_hollow(value);
        remove_part(shape, topology, value, gone, owned);
        filled && is_hollow(value) && owned.is_none_or(|owned| !owned.is_member())
    };
    match (shape, topology, value) {
        (Shape::Object(ty), _, Value::Object(map)) => map.retain(|name, value| {
            let (shape, topology) = lookup(ty, name);
            !goes(&format!("f:{name}"), shape, topology, value)
        }),
        (Shape::Map(element), _, Value::Object(map)) => {
            map.retain(|name, value| !goes(&format!("f:{name}"), element, &Topology::Granular, value));
        }
        (Shape::List(element), Topology::ByKeys(keys), Value::Array(list)) => list.retain_mut(|item| {
            let Some(name) = items::name(keys, item) else { return true };
            let named: Vec<(&str, Value)> = keys.iter().map(|key| (*key, item[*key].clone())).collect();
            if goes(&name, element, &Topology::Granular, item) {
                return false;
            }
            // An element that stays keeps its name, whoever gave it.
            if let Some(item) = item.as_object_mut() {
                item.extend(named.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.to_owned(), v)));
            }
            true
        }),
        (Shape::List(element), Topology::Set, Value::Array(list)) => {
            list.retain_mut(|item| !goes(&format!("v:{item}"), element, &Topology::Atomic, item));
        }
        _ => {}
    }
}

fn is_hollow(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
