//! What may change in a pod that exists: `ValidatePodUpdate`.

use serde_json::Value;

use super::spec;
use crate::schema::Path;
use crate::validation::errors::Errors;
use crate::validation::format;
use crate::validation::read::{items, text};

/// `updatablePodSpecFieldsNoResources`.
const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
                         `spec.tolerations` (only additions to existing tolerations),\
                         `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub(in crate::validation) fn update(errors: &mut Errors, new: &Value, old: &Value) {
    let root = Path::ROOT;
    let path = root.field("spec");
    let (new, old) = (&new["spec"], &old["spec"]);
    spec(errors, new, &path);
    for list in ["containers", "initContainers"] {
        if items(&new[list]).count() != items(&old[list]).count() {
            errors.forbidden(&path.field(list), "pod updates may not add or remove containers");
            return;
        }
    }
    if !deadline(errors, new, old, &path.field("activeDeadlineSeconds")) {
        return;
    }
    tolerations(errors, new, old, &path.field("tolerations"));
    gates(errors, new, old, &path.field("schedulingGates"));

    let munged = munged(new, old);
    if munged != *old {
        let difference = difference(&munged, old);
        let why = format!("pod updates may not change fields other than {UPDATABLE}\n{difference}");
        errors.forbidden(&path, &why);
    }
}

/// A deadline can be set and brought forward, nothing else.
fn deadline(errors: &mut Errors, new: &Value, old: &Value, path: &Path<'_>) -> bool {
    let [new, old] = [new, old].map(|spec| spec["activeDeadlineSeconds"].as_i64());
    match (new, old) {
        (Some(new), old) => {
            let rules = format::range(new, 0, i64::from(i32::MAX));
            errors.broken(path, new, &rules);
            if !rules.is_empty() {
                return false;
            }
            if old.is_some_and(|old| old < new) {
                errors.invalid(path, new, "must be less than or equal to previous value");
                return false;
            }
        }
        (None, Some(_)) => {
            errors.invalid(path, "null", "must not update from a positive integer to nil value");
        }
        (None, None) => {}
    }
    true
}

/// `validateOnlyAddedTolerations`.
fn tolerations(errors: &mut Errors, new: &Value, old: &Value, path: &Path<'_>) {
    let same = |one: &Value, other: &Value| {
        ["key", "operator", "value", "effect"].iter().all(|field| one[*field] == other[*field])
    };
    for (_, toleration) in items(&old["tolerations"]) {
        if !items(&new["tolerations"]).any(|(_, other)| same(toleration, other)) {
            errors.forbidden(path, "existing toleration can not be modified except its tolerationSeconds");
            return;
        }
    }
}

/// `validateOnlyDeletedSchedulingGates`.
fn gates(errors: &mut Errors, new: &Value, old: &Value, path: &Path<'_>) {
    for (index, gate) in items(&new["schedulingGates"]) {
        if !items(&old["schedulingGates"]).any(|(_, other)| other == gate) {
            let name = text(gate, "name");
            let why = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            errors.forbidden(&path.index(index), &why);
        }
    }
}

/// The new spec with what may change put back to what it was.
fn munged(new: &Value, old: &Value) -> Value {
    let mut munged = new.clone();
    for list in ["containers", "initContainers"] {
        let containers = munged.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for (container, old) in containers.zip(old[list].as_array().into_iter().flatten()) {
            put_back(container, old, "image");
        }
    }
    let mut fields = vec!["activeDeadlineSeconds", "tolerations", "schedulingGates"];
    let seconds = "terminationGracePeriodSeconds";
    if old[seconds].as_i64().is_some_and(|old| old < 0) && new[seconds] == 1 {
        fields.push(seconds);
    }
    // A pod that waits behind a gate can still be told where to go.
    if !super::is_empty(&old["schedulingGates"]) {
        fields.extend(["nodeSelector", "affinity"]);
    }
    for field in fields {
        put_back(&mut munged, old, field);
    }
    munged
}

fn put_back(new: &mut Value, old: &Value, field: &str) {
    let Some(new) = new.as_object_mut() else { return };
    match old.get(field) {
        Some(value) => new.insert(field.to_owned(), value.clone()),
        None => new.remove(field),
    };
}

/// What changed, one line for each field that was taken away and each that came.
fn difference(new: &Value, old: &Value) -> String {
    let fields = |from: &Value, other: &Value, sign: char| {
        let changed =
            from.as_object().into_iter().flatten().filter(|(name, value)| other[name.as_str()] != **value);
        changed.map(|(name, value)| format!("{sign}  \"{name}\": {value},\n")).collect::<String>()
    };
    format!("{}{}", fields(old, new, '-'), fields(new, old, '+'))
}
