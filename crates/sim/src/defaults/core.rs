//! The other kinds of `core/v1`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::fill::{Fields, absent, is_zero, map, text, zero};

pub(super) fn fill(ty: &str, fields: &mut Fields) {
    match ty {
        "v1.Namespace" => namespace(fields),
        "v1.NamespaceStatus" => zero(fields, "phase", "Active"),
        "v1.NodeStatus" => node_status(fields),
        "v1.ReplicationController" => replication_controller(fields),
        "v1.ReplicationControllerSpec" => absent(fields, "replicas", 1),
        "v1.Secret" => secret(fields),
        "v1.PersistentVolumeSpec" => {
            zero(fields, "persistentVolumeReclaimPolicy", "Retain");
            absent(fields, "volumeMode", "Filesystem");
        }
        "v1.PersistentVolumeStatus" | "v1.PersistentVolumeClaimStatus" => zero(fields, "phase", "Pending"),
        "v1.PersistentVolumeClaimSpec" => absent(fields, "volumeMode", "Filesystem"),
        "v1.LimitRangeItem" => limit_range_item(fields),
        _ => {}
    }
}

/// `SetDefaults_Namespace`: a label that selects the namespace by its name.
fn namespace(fields: &mut Fields) {
    let Some(metadata) = map(fields, "metadata") else { return };
    let name = text(metadata, "name").to_owned();
    if !name.is_empty()
        && let Some(labels) = map(metadata, "labels")
    {
        labels.insert("kubernetes.io/metadata.name".to_owned(), name.into());
    }
}

fn node_status(fields: &mut Fields) {
    if let Some(capacity) = fields.get("capacity").filter(|capacity| !capacity.is_null()).cloned() {
        absent(fields, "allocatable", capacity);
    }
}

/// `SetDefaults_ReplicationController`: its selector and labels are those of its template where it has none.
fn replication_controller(fields: &mut Fields) {
    let labels = fields
        .get("spec")
        .map(|spec| &spec["template"]["metadata"]["labels"])
        .filter(|labels| labels.is_object())
        .cloned();
    let Some(labels) = labels else { return };
    if let Some(spec) = map(fields, "spec") {
        zero(spec, "selector", labels.clone());
    }
    if let Some(metadata) = map(fields, "metadata") {
        zero(metadata, "labels", labels);
    }
}

/// `Convert_v1_Secret_To_core_Secret`: `stringData` is a convenience of writers and never read back.
fn secret(fields: &mut Fields) {
    zero(fields, "type", "Opaque");
    let Some(Value::Object(texts)) = fields.remove("stringData") else { return };
    if let Some(data) = map(fields, "data") {
        for (key, value) in texts {
            let encoded = BASE64_STANDARD.encode(value.as_str().unwrap_or_default());
            data.insert(key, encoded.into());
        }
    }
}

/// `SetDefaults_LimitRangeItem`: a default is the maximum, a default request the default or else the minimum.
fn limit_range_item(fields: &mut Fields) {
    if text(fields, "type") != "Container" {
        return;
    }
    for (target, source) in [("default", "max"), ("defaultRequest", "default"), ("defaultRequest", "min")] {
        let Some(values) = fields.get(source).and_then(Value::as_object).cloned() else { continue };
        if let Some(defaults) = map(fields, target) {
            for (name, value) in values {
                absent(defaults, &name, value);
            }
        }
    }
    // Empty maps are left out by the encoder.
    for name in ["default", "defaultRequest"] {
        if is_zero(fields.get(name)) || fields.get(name) == Some(&json!({})) {
            fields.remove(name);
        }
    }
}
