//! A set of fields of an object, in the form of `FieldsV1`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::items;
use crate::schema::{Field, Shape, Topology, Type};

/// A set of paths; every step is named as `FieldsV1` names it: `f:spec`, `k:{"name":"c"}`, `v:"x"`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct FieldSet {
    /// Whether the path that leads here is in the set.
    member: bool,
    below: BTreeMap<String, FieldSet>,
}

/// The parts of a value that have owners of their own.
pub(super) enum Parts<'a> {
    /// None: the value has one owner.
    Whole,
    /// Fields of a struct.
    Fields(&'static Type, &'a Map<String, Value>),
    /// Entries of a map, or elements of a list, by name, with the shape of each.
    Entries(&'a Shape, Vec<(String, &'a Value)>),
    /// Scalars of a set, by name.
    Scalars(Vec<String>),
}

/// How a value divides. `topology` is that of the field that holds it.
pub(super) fn parts<'a>(shape: &'a Shape, topology: &Topology, value: &'a Value) -> Parts<'a> {
    match (shape, topology, value) {
        (_, Topology::Atomic, _) => Parts::Whole,
        (Shape::Object(ty), _, Value::Object(map)) if !ty.atomic => Parts::Fields(ty, map),
        (Shape::Map(element), _, Value::Object(map)) => {
            Parts::Entries(element, map.iter().map(|(key, value)| (format!("f:{key}"), value)).collect())
        }
        (Shape::List(element), Topology::ByKeys(keys), Value::Array(items)) => {
            let named = items.iter().filter_map(|item| Some((items::name(keys, item)?, item)));
            Parts::Entries(element, named.collect())
        }
        (Shape::List(_), Topology::Set, Value::Array(items)) => {
            Parts::Scalars(items.iter().map(|item| format!("v:{item}")).collect())
        }
        _ => Parts::Whole,
    }
}

/// The field of a type; one that is not known has one owner.
pub(super) fn lookup(ty: &'static Type, name: &str) -> (&'static Shape, &'static Topology) {
    match ty.fields.get(name) {
        Some(Field { shape, topology, .. }) => (shape, topology),
        None => (&Shape::Any, &Topology::Atomic),
    }
}

impl FieldSet {
    const MEMBER: FieldSet = FieldSet { member: true, below: BTreeMap::new() };

    /// All that a value sets.
    pub(crate) fn of(shape: &Shape, value: &Value) -> FieldSet {
        FieldSet::of_part(shape, &Topology::Granular, value)
    }

    fn of_part(shape: &Shape, topology: &Topology, value: &Value) -> FieldSet {
        let mut set = FieldSet::default();
        match parts(shape, topology, value) {
            Parts::Whole => set.member = true,
            Parts::Fields(ty, map) => {
                for (name, value) in map {
                    let (shape, topology) = lookup(ty, name);
                    set.below.insert(format!("f:{name}"), FieldSet::of_part(shape, topology, value));
                }
                set.member = map.is_empty();
            }
            Parts::Entries(shape, entries) => {
                set.member = entries.is_empty();
                for (name, value) in entries {
                    let mut below = FieldSet::of_part(shape, &Topology::Granular, value);
                    below.member |= name.starts_with("k:");
                    set.below.insert(name, below);
                }
            }
            Parts::Scalars(names) => {
                set.member = names.is_empty();
                set.below.extend(names.into_iter().map(|name| (name, FieldSet::MEMBER)));
            }
        }
        set
    }

    /// What `after` sets that `before` has not, or has otherwise; and what only `before` has.
    pub(crate) fn compare(shape: &Shape, before: &Value, after: &Value) -> (FieldSet, FieldSet) {
        FieldSet::compare_part(shape, &Topology::Granular, before, after)
    }

    fn compare_part(
        shape: &Shape,
        topology: &Topology,
        before: &Value,
        after: &Value,
    ) -> (FieldSet, FieldSet) {
        let (mut set, mut gone) = (FieldSet::default(), FieldSet::default());
        let mut compare = |name: &str,
                           shape: &Shape,
                           topology: &Topology,
                           before: Option<&Value>,
                           after: Option<&Value>| {
            let (added, removed) = match (before, after) {
                (Some(before), Some(after)) => FieldSet::compare_part(shape, topology, before, after),
                (None, Some(after)) => {
                    let mut added = FieldSet::of_part(shape, topology, after);
                    added.member |= name.starts_with("k:");
                    (added, FieldSet::default())
                }
                (Some(_), None) => (FieldSet::default(), FieldSet::MEMBER),
                (None, None) => return,
            };
            set.put(name, added);
            gone.put(name, removed);
        };
        match (parts(shape, topology, before), parts(shape, topology, after)) {
            (Parts::Fields(ty, before), Parts::Fields(_, after)) => {
                for name in before.keys().chain(after.keys().filter(|name| !before.contains_key(*name))) {
                    let (shape, topology) = lookup(ty, name);
                    compare(&format!("f:{name}"), shape, topology, before.get(name), after.get(name));
                }
            }
            (Parts::Entries(shape, before), Parts::Entries(_, after)) => {
                let before: BTreeMap<String, &Value> = before.into_iter().collect();
                let after: BTreeMap<String, &Value> = after.into_iter().collect();
                for name in before.keys().chain(after.keys().filter(|name| !before.contains_key(*name))) {
                    let (before, after) = (before.get(name).copied(), after.get(name).copied());
                    compare(name, shape, &Topology::Granular, before, after);
                }
            }
            (Parts::Scalars(before), Parts::Scalars(after)) => {
                let [before, after] = [before, after].map(BTreeSet::from_iter);
                before.difference(&after).for_each(|name| gone.put(name, FieldSet::MEMBER));
                after.difference(&before).for_each(|name| set.put(name, FieldSet::MEMBER));
            }
            _ if before != after => set = FieldSet::of_part(shape, topology, after),
            _ => {}
        }
        (set, gone)
    }

    fn put(&mut self, name: &str, below: FieldSet) {
        if !below.is_empty() {
            self.below.insert(name.to_owned(), below);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.member && self.below.values().all(FieldSet::is_empty)
    }

    pub(crate) fn add(&mut self, other: &FieldSet) {
        self.member |= other.member;
        for (name, below) in &other.below {
            self.below.entry(name.clone()).or_default().add(below);
        }
    }

    /// Takes out the paths that are in `other`.
    pub(crate) fn subtract(&mut self, other: &FieldSet) {
        self.member &= !other.member;
        self.below_both(other, FieldSet::subtract);
    }

    /// Takes out the paths that are in `other`, with all that is below them.
    pub(crate) fn cut(&mut self, other: &FieldSet) {
        if other.member {
            *self = FieldSet::default();
        }
        self.below_both(other, FieldSet::cut);
    }

    fn below_both(&mut self, other: &FieldSet, change: fn(&mut FieldSet, &FieldSet)) {
        for (name, other) in &other.below {
            if let Some(below) = self.below.get_mut(name) {
                change(below, other);
            }
        }
        self.below.retain(|_, below| !below.is_empty());
    }

    /// What is in both.
    pub(crate) fn intersection(&self, other: &FieldSet) -> FieldSet {
        let mut both = FieldSet { member: self.member && other.member, below: BTreeMap::new() };
        for (name, below) in &self.below {
            if let Some(other) = other.below.get(name) {
                both.put(name, below.intersection(other));
            }
        }
        both
    }

    /// Takes out a path with all below it.
    pub(crate) fn forget(&mut self, path: &[&str]) {
        match path {
            [] => {}
            [last] => {
                self.below.remove(*last);
            }
            [first, rest @ ..] => {
                if let Some(below) = self.below.get_mut(*first) {
                    below.forget(rest);
                    if below.is_empty() {
                        self.below.remove(*first);
                    }
                }
            }
        }
    }

    /// What is in the set below a step.
    pub(super) fn below(&self, name: &str) -> Option<&FieldSet> {
        self.below.get(name)
    }

    /// Whether the path that leads here is in the set.
    pub(super) fn is_member(&self) -> bool {
        self.member
    }

    /// The paths as conflicts tell them.
    pub(crate) fn paths(&self) -> Vec<String> {
        let (mut paths, mut path) = (Vec::new(), Vec::new());
        self.collect_paths(&mut path, &mut paths);
        paths
    }

    fn collect_paths<'a>(&'a self, path: &mut Vec<&'a str>, paths: &mut Vec<String>) {
        if self.member {
            paths.push(items::print(path));
        }
        for (name, below) in &self.below {
            path.push(name);
            below.collect_paths(path, paths);
            path.pop();
        }
    }

    /// Reads `fieldsV1`.
    pub(super) fn read(value: &Value) -> FieldSet {
        let mut set = FieldSet::default();
        let Some(map) = value.as_object() else { return set };
        for (name, below) in map {
            if name == "." {
                set.member = true;
                continue;
            }
            let mut below_set = FieldSet::read(below);
            below_set.member |= below_set.below.is_empty();
            set.below.insert(name.clone(), below_set);
        }
        set
    }

    /// Writes `fieldsV1`.
    pub(super) fn write(&self) -> Value {
        let mut map = Map::new();
        if self.member && !self.below.is_empty() {
            map.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for (name, below) in &self.below {
            map.insert(name.clone(), below.write());
        }
        Value::Object(map)
    }
}
