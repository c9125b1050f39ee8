//! `events.k8s.io/v1` and `v1` (`pkg/apis/events/v1/conversion.go`): the same events, under other names of their fields.

use serde_json::Value;

/// The fields that are named differently: in `events.k8s.io/v1`, and in `v1`.
const NAMES: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

/// What `v1` writes also where it is empty, and `events.k8s.io/v1` leaves out.
const OMITTED: [&str; 2] = ["reportingController", "reportingInstance"];

/// An event of the core group as one of `events.k8s.io`.
pub(super) fn from_core(mut event: Value) -> Value {
    rename(&mut event, "events.k8s.io/v1", NAMES.map(|(own, core)| (core, own)));
    if let Some(fields) = event.as_object_mut() {
        fields.retain(|name, value| !(OMITTED.contains(&name.as_str()) && *value == ""));
    }
    event
}

/// An event of `events.k8s.io` as one of the core group.
pub(super) fn to_core(mut event: Value) -> Value {
    rename(&mut event, "v1", NAMES);
    event
}

/// The field of the core group that is selected by where a selector names one of `events.k8s.io`.
pub(super) fn core_field(path: &str) -> String {
    let (first, rest) = path.split_at(path.find('.').unwrap_or(path.len()));
    let core = NAMES.iter().find(|(own, _)| *own == first).map_or(first, |(_, core)| core);
    format!("{core}{rest}")
}

fn rename(event: &mut Value, api_version: &str, names: [(&str, &str); NAMES.len()]) {
    let Some(fields) = event.as_object_mut() else { return };
    fields.insert("apiVersion".to_owned(), api_version.into());
    for (from, to) in names {
        if let Some(value) = fields.remove(from) {
            fields.insert(to.to_owned(), value);
        }
    }
}
