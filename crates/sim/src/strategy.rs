//! What a write may set: `PrepareForCreate` and `PrepareForUpdate` of the strategies in `pkg/registry/*/*/strategy.go`.
//!
//! Clients own `spec`, controllers own `status`; a write to the one leaves the other as it was.

mod initial;
mod job;
mod qos;
mod service;

use jiff::Timestamp;
use serde_json::{Map, Value};

pub(crate) use self::qos::qos_class;
use crate::kinds::Kind;

/// Prepares a new object whose name and uid are set and whose defaults are filled in.
pub(crate) fn prepare_create(kind: &Kind, object: &mut Value, now: Timestamp) {
    match kind.plural {
        "namespaces" => add_finalizer(object, "spec", "kubernetes"),
        "jobs" => job::generate_selector(object),
        "daemonsets" => initial::template_generation(object, 1),
        _ => {}
    }
    initial::status(kind, object, now);
    set_generation(kind, object, 1);
}

/// Prepares the replacement of `old` by a write to the object itself.
pub(crate) fn prepare_update(kind: &Kind, new: &mut Value, old: &Value) {
    if kind.has_status() {
        keep(new, old, &["status"]);
    }
    match kind.plural {
        // Only the subresource `finalize` takes them away.
        "namespaces" => {
            let finalizers = old["spec"]["finalizers"].clone();
            put(new, "spec", "finalizers", finalizers);
        }
        "services" => service::update(new, old),
        "daemonsets" => {
            let changed = new["spec"]["template"] != old["spec"]["template"];
            let generation = initial::template_generation_of(old);
            initial::template_generation(new, generation + i64::from(changed));
        }
        _ => {}
    }
    let generation = generation(old) + i64::from(counts(kind, new) != counts(kind, old));
    set_generation(kind, new, generation);
}

/// Prepares the replacement of `old` by a write to its subresource `status`.
pub(crate) fn prepare_status_update(kind: &Kind, new: &mut Value, old: &Value) {
    for (name, value) in old.as_object().into_iter().flatten() {
        if !matches!(name.as_str(), "metadata" | "status") {
            set(new, name, value.clone());
        }
    }
    // The owners of a pod decide about its life, the labels of a workload about its pods: neither is status.
    match kind.plural {
        "pods" => {
            for field in ["ownerReferences", "deletionTimestamp"] {
                let kept = old["metadata"][field].clone();
                put(new, "metadata", field, kept);
            }
            // `podStatusStrategy.PrepareForUpdate`: a status without the class keeps the old one.
            if new["status"]["qosClass"].as_str().unwrap_or_default().is_empty() {
                let class = old["status"]["qosClass"].clone();
                put(new, "status", "qosClass", class);
            }
        }
        "deployments" => {
            let labels = old["metadata"]["labels"].clone();
            put(new, "metadata", "labels", labels);
        }
        _ => {}
    }
    set_generation(kind, new, generation(old));
}

/// `AllowUnconditionalUpdate`: whether a replacement may leave out the resourceVersion.
pub(crate) fn allows_unconditional_update(kind: &Kind) -> bool {
    !matches!(
        kind.plural,
        "leases"
            | "mutatingwebhookconfigurations"
            | "poddisruptionbudgets"
            | "validatingwebhookconfigurations"
            | "volumeattachments"
    )
}

/// The parts whose changes `metadata.generation` counts.
fn counts<'a>(kind: &Kind, object: &'a Value) -> Vec<&'a Value> {
    match kind.plural {
        // `pkg/registry/apps/deployment/strategy.go`: the revision is an annotation.
        "deployments" => vec![&object["spec"], &object["metadata"]["annotations"]],
        "endpointslices" => vec![
            &object["addressType"],
            &object["endpoints"],
            &object["ports"],
            &object["metadata"]["labels"],
        ],
        "mutatingwebhookconfigurations" | "validatingwebhookconfigurations" => vec![&object["webhooks"]],
        "priorityclasses" => vec![],
        _ => vec![&object["spec"]],
    }
}

fn generation(object: &Value) -> i64 {
    object["metadata"]["generation"].as_i64().unwrap_or_default()
}

/// Kinds that do not count keep whatever they have, which is nothing.
fn set_generation(kind: &Kind, object: &mut Value, generation: i64) {
    let value = if kind.generation { generation.into() } else { Value::Null };
    put(object, "metadata", "generation", value);
}

/// The named parts as they were.
fn keep(new: &mut Value, old: &Value, parts: &[&str]) {
    for part in parts {
        set(new, part, old[*part].clone());
    }
}

/// Sets a field of the object, or takes it away where the value is `null`.
fn set(object: &mut Value, field: &str, value: Value) {
    let Some(object) = object.as_object_mut() else { return };
    if value.is_null() {
        object.remove(field);
    } else {
        object.insert(field.to_owned(), value);
    }
}

/// Sets a field of a part of the object, or takes it away where the value is `null`.
fn put(object: &mut Value, part: &str, field: &str, value: Value) {
    if value.is_null() {
        if let Some(part) = object.get_mut(part).and_then(Value::as_object_mut) {
            part.remove(field);
        }
    } else if let Some(part) = part_of(object, part) {
        part.insert(field.to_owned(), value);
    }
}

/// A part of the object, made where it is absent.
fn part_of<'a>(object: &'a mut Value, part: &str) -> Option<&'a mut Map<String, Value>> {
    object.as_object_mut()?.entry(part).or_insert_with(|| Map::new().into()).as_object_mut()
}

fn add_finalizer(object: &mut Value, part: &str, finalizer: &str) {
    let Some(part) = part_of(object, part) else { return };
    let finalizers = part.entry("finalizers").or_insert_with(|| Value::Array(Vec::new()));
    if let Some(finalizers) = finalizers.as_array_mut()
        && !finalizers.iter().any(|present| present == finalizer)
    {
        finalizers.push(finalizer.into());
    }
}

#[cfg(test)]
mod tests;
