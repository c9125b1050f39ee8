//! Who set which fields: `metadata.managedFields`, as `apimachinery/pkg/util/managedfields` keeps it.
//!
//! An object begins to tell its managers with the first server-side apply. What was there before belongs to
//! `before-first-apply`, as in clusters that are older than managed fields.

mod items;
mod merge;
mod set;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

pub(crate) use self::merge::{merge, remove};
pub(crate) use self::set::FieldSet;
use crate::object;
use crate::schema::{Shape, Type};

/// The manager of what was there before the first apply (`NewSkipNonAppliedManager`).
const BEFORE: &str = "before-first-apply";

/// What no manager owns (`stripmeta.go`).
const STRIPPED: &[&[&str]] = &[
    &["f:apiVersion"],
    &["f:kind"],
    &["f:metadata", "f:name"],
    &["f:metadata", "f:namespace"],
    &["f:metadata", "f:creationTimestamp"],
    &["f:metadata", "f:selfLink"],
    &["f:metadata", "f:uid"],
    &["f:metadata", "f:generation"],
    &["f:metadata", "f:managedFields"],
    &["f:metadata", "f:resourceVersion"],
];

/// One entry of `managedFields`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) manager: String,
    /// Whether the manager applies; else it creates, updates and patches.
    pub(crate) applies: bool,
    pub(crate) subresource: String,
    pub(crate) api_version: String,
    pub(crate) time: String,
    pub(crate) fields: FieldSet,
}

impl Entry {
    /// Who the entry is about, as conflicts tell it (`printManager` in `internal/conflict.go`).
    pub(crate) fn describe(&self) -> String {
        let subresource = if self.subresource.is_empty() {
            String::new()
        } else {
            format!(" with subresource {:?}", self.subresource)
        };
        let version = if self.applies { String::new() } else { format!(" using {}", self.api_version) };
        format!("{:?}{subresource}{version}", self.manager)
    }

    fn is(&self, other: &Entry) -> bool {
        (&self.manager, self.applies, &self.subresource, &self.api_version)
            == (&other.manager, other.applies, &other.subresource, &other.api_version)
    }

    fn read(value: &Value) -> Entry {
        let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
        Entry {
            manager: text("manager"),
            applies: value["operation"] == "Apply",
            subresource: text("subresource"),
            api_version: text("apiVersion"),
            time: text("time"),
            fields: FieldSet::read(&value["fieldsV1"]),
        }
    }

    fn write(&self) -> Value {
        let mut entry = json!({
            "manager": self.manager,
            "operation": if self.applies { "Apply" } else { "Update" },
            "apiVersion": self.api_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields.write(),
        });
        if !self.subresource.is_empty() {
            entry["subresource"] = self.subresource.as_str().into();
        }
        entry
    }
}

/// The entries of an object.
pub(crate) fn read(object: &Value) -> Vec<Entry> {
    object["metadata"]["managedFields"].as_array().into_iter().flatten().map(Entry::read).collect()
}

/// The entries of an object before it is applied to.
pub(crate) fn before_apply(ty: &'static Type, object: &Value) -> Vec<Entry> {
    let entries = read(object);
    if !entries.is_empty() {
        return entries;
    }
    let entry = Entry {
        manager: BEFORE.to_owned(),
        applies: false,
        subresource: String::new(),
        api_version: object::field(object, "apiVersion"),
        time: object::field(object, "metadata.creationTimestamp"),
        fields: owned_fields(ty, object),
    };
    vec![entry]
}

/// Writes the entries that own anything.
pub(crate) fn write(object: &mut Value, entries: &[Entry]) {
    let entries: Vec<Value> =
        entries.iter().filter(|entry| !entry.fields.is_empty()).map(Entry::write).collect();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.insert("managedFields".to_owned(), entries.into());
    }
}

/// All fields of an object that have an owner.
pub(crate) fn owned_fields(ty: &'static Type, object: &Value) -> FieldSet {
    let mut fields = FieldSet::of(&Shape::Object(ty), object);
    for path in STRIPPED {
        fields.forget(path);
    }
    fields
}

/// What two versions of an object differ in: what the second sets, and what it no longer has.
pub(crate) fn differences(ty: &'static Type, before: &Value, after: &Value) -> (FieldSet, FieldSet) {
    let (mut set, mut gone) = FieldSet::compare(&Shape::Object(ty), before, after);
    for path in STRIPPED {
        set.forget(path);
        gone.forget(path);
    }
    (set, gone)
}

/// Notes an update: what it sets passes from its managers to `manager`. An object that nobody has applied to is left
/// alone, and so is one whose managers the update takes away, with an empty list (`managedfields/fieldmanager.go`).
pub(crate) fn track(
    ty: &'static Type,
    before: &Value,
    after: &mut Value,
    (manager, subresource): (&str, &str),
    now: Timestamp,
) {
    let mut entries = read(before);
    if entries.is_empty() {
        return;
    }
    if after["metadata"]["managedFields"]
        .as_array()
        .is_some_and(|entries| entries == &[Value::Object(Map::new())])
    {
        after["metadata"].as_object_mut().map(|metadata| metadata.remove("managedFields"));
        return;
    }
    let (set, gone) = differences(ty, before, after);
    for entry in &mut entries {
        entry.fields.subtract(&set);
        entry.fields.cut(&gone);
    }
    if !set.is_empty() {
        let mut own = Entry {
            manager: manager.to_owned(),
            applies: false,
            subresource: subresource.to_owned(),
            api_version: object::field(after, "apiVersion"),
            time: object::time(now),
            fields: set,
        };
        if let Some(place) = entries.iter().position(|entry| entry.is(&own)) {
            own.fields.add(&entries.remove(place).fields);
        }
        entries.push(own);
    }
    write(after, &entries);
}
