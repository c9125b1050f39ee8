//! Who set which fields: `metadata.managedFields`, as `apimachinery/pkg/util/managedfields` keeps it.
//!
//! An object that a client creates tells its managers from then on; one that a seed or a controller makes begins to with
//! the first write of a client. What was there before belongs to `before-first-apply`, as in clusters that are older than
//! managed fields.

mod items;
mod merge;
mod set;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

pub(crate) use self::merge::{merge, remove};
pub(crate) use self::set::FieldSet;
use crate::kinds::Kind;
use crate::object;
use crate::schema::{Shape, Type};

/// The manager of what was there before an object told its managers (`NewSkipNonAppliedManager`).
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

/// Who updates an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writer<'a> {
    pub(crate) manager: &'a str,
    /// The part of the object that is written; empty for the object itself.
    pub(crate) subresource: &'a str,
    /// Whether an object that does not tell its managers begins to.
    pub(crate) begins: bool,
}

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

    /// Those who apply stand first, then whoever wrote first (`sortEncodedManagedFields` of
    /// `internal/managedfields.go`).
    fn place(&self) -> (bool, &str, &str, &str, &str) {
        (!self.applies, &self.time, &self.manager, &self.api_version, &self.subresource)
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

/// The entries in a list.
fn read(managed_fields: &Value) -> Vec<Entry> {
    managed_fields.as_array().into_iter().flatten().map(Entry::read).collect()
}

/// The entries of an object before it is applied to.
pub(crate) fn before_apply(ty: &'static Type, object: &Value) -> Vec<Entry> {
    let entries = read(&object["metadata"]["managedFields"]);
    if entries.is_empty() { vec![before_tracking(ty, object)] } else { entries }
}

/// The entry of all that an object has that does not tell its managers.
fn before_tracking(ty: &'static Type, object: &Value) -> Entry {
    Entry {
        manager: BEFORE.to_owned(),
        applies: false,
        subresource: String::new(),
        api_version: object::field(object, "apiVersion"),
        time: object::field(object, "metadata.creationTimestamp"),
        fields: owned_fields(ty, object),
    }
}

/// Writes the entries that own anything.
pub(crate) fn write(object: &mut Value, entries: &[Entry]) {
    let mut entries: Vec<&Entry> = entries.iter().filter(|entry| !entry.fields.is_empty()).collect();
    entries.sort_by_key(|entry| entry.place());
    let entries: Vec<Value> = entries.into_iter().map(Entry::write).collect();
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

/// Notes a creation: `manager` sets all that the new object has, but for its status where that has an endpoint of its own
/// (`GetResetFields` of the strategies).
pub(crate) fn begin(kind: &Kind, ty: &'static Type, object: &mut Value, manager: &str, now: Timestamp) {
    let mut fields = owned_fields(ty, object);
    if kind.has_status() {
        fields.forget(&["f:status"]);
    }
    let entry = updates(object, Writer { manager, subresource: "", begins: true }, fields, now);
    write(object, &[entry]);
}

/// Notes an update: what it sets passes from its managers to `writer`. An update may tell other managers than the object
/// did, or none, with an empty list (`decodeLiveOrNew` of `internal/fieldmanager.go`).
pub(crate) fn track(
    ty: &'static Type,
    before: &Value,
    after: &mut Value,
    writer: Writer<'_>,
    now: Timestamp,
) {
    let sent = match after["metadata"].as_object_mut() {
        Some(metadata) if writer.subresource.is_empty() => metadata.remove("managedFields"),
        Some(metadata) => metadata.remove("managedFields").and(None),
        None => None,
    };
    if sent.as_ref().is_some_and(is_reset) {
        return;
    }
    let mut entries = read(&sent.unwrap_or_default());
    if entries.is_empty() {
        entries = read(&before["metadata"]["managedFields"]);
    }
    let (set, gone) = differences(ty, before, after);
    if entries.is_empty() {
        if !writer.begins || (set.is_empty() && gone.is_empty()) {
            return;
        }
        entries.push(before_tracking(ty, before));
    }
    for entry in &mut entries {
        entry.fields.subtract(&set);
        entry.fields.cut(&gone);
    }
    if !set.is_empty() {
        let mut own = updates(after, writer, set, now);
        if let Some(place) = entries.iter().position(|entry| entry.is(&own)) {
            own.fields.add(&entries.remove(place).fields);
        }
        entries.push(own);
    }
    write(after, &entries);
}

/// The entry of who updates an object.
fn updates(object: &Value, writer: Writer<'_>, fields: FieldSet, now: Timestamp) -> Entry {
    Entry {
        manager: writer.manager.to_owned(),
        applies: false,
        subresource: writer.subresource.to_owned(),
        api_version: object::field(object, "apiVersion"),
        time: object::time(now),
        fields,
    }
}

/// Whether a list of managers takes all of them away (`isResetManagedFields`).
fn is_reset(managed_fields: &Value) -> bool {
    match managed_fields.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([only]) => only.as_object().is_some_and(Map::is_empty),
        _ => false,
    }
}
