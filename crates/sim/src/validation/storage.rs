//! Claims, volumes and classes of storage.

use serde_json::{Value, json};

use super::errors::Errors;
use super::format;
use super::pod::amount;
use super::read::{given, is_empty, items, text};
use super::selectors::selector;
use crate::schema::{Path, Quantity};

const MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const ALONE: &str = "ReadWriteOncePod";

/// `ValidatePersistentVolumeClaimSpec`.
pub(super) fn claim(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    if is_empty(&spec["accessModes"]) {
        errors.required(&path.field("accessModes"), "at least 1 access mode is required");
    }
    selector(errors, &spec["selector"], &path.field("selector"));
    access_modes(errors, spec, path);
    let storage = &spec["resources"]["requests"]["storage"];
    let at = path.field("resources");
    if storage.is_null() {
        errors.required(&at.key("storage"), "");
    } else {
        size(errors, storage, &at.key("storage"));
    }
    let class = text(spec, "storageClassName");
    if !class.is_empty() {
        errors.broken(&path.field("storageClassName"), class, &format::dns_subdomain(class));
    }
    volume_mode(errors, spec, path);
}

/// `ValidatePersistentVolumeSpec`.
pub(super) fn volume(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    if is_empty(&spec["accessModes"]) {
        errors.required(&path.field("accessModes"), "");
    }
    access_modes(errors, spec, path);
    let capacity = path.field("capacity");
    if is_empty(&spec["capacity"]) {
        errors.required(&capacity, "");
    }
    if given(&spec["capacity"], "storage") {
        size(errors, &spec["capacity"]["storage"], &capacity.key("storage"));
    } else {
        errors.unsupported(&capacity, &spec["capacity"], &["storage"]);
    }
    let policy = text(spec, "persistentVolumeReclaimPolicy");
    if !["Delete", "Recycle", "Retain"].contains(&policy) {
        let path = path.field("persistentVolumeReclaimPolicy");
        errors.unsupported(&path, policy, &["Delete", "Recycle", "Retain"]);
    }
    if source(spec).is_empty() {
        errors.required(path, "must specify a volume type");
    }
    volume_mode(errors, spec, path);
}

fn access_modes(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    let path = path.field("accessModes");
    let modes: Vec<&str> =
        items(&spec["accessModes"]).map(|(_, mode)| mode.as_str().unwrap_or_default()).collect();
    for mode in modes.iter().filter(|mode| !MODES.contains(mode)) {
        errors.unsupported(&path, *mode, MODES);
    }
    if modes.contains(&ALONE) && modes.iter().any(|mode| *mode != ALONE) {
        errors.forbidden(&path, "may not use ReadWriteOncePod with other access modes");
    }
}

fn volume_mode(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    let mode = text(spec, "volumeMode");
    if !["", "Block", "Filesystem"].contains(&mode) {
        errors.unsupported(&path.field("volumeMode"), mode, &["Block", "Filesystem"]);
    }
}

fn size(errors: &mut Errors, storage: &Value, path: &Path<'_>) {
    amount(errors, "storage", storage, path);
    if Quantity::of(storage) <= Quantity::ZERO {
        errors.invalid(path, storage, "must be greater than zero");
    }
}

/// The fields of a volume's spec that say where it is.
fn source(spec: &Value) -> serde_json::Map<String, Value> {
    const OTHERS: [&str; 9] = [
        "accessModes",
        "capacity",
        "claimRef",
        "mountOptions",
        "nodeAffinity",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeAttributesClassName",
        "volumeMode",
    ];
    let fields = spec.as_object().into_iter().flatten();
    let fields = fields.filter(|(name, value)| !OTHERS.contains(&name.as_str()) && !value.is_null());
    fields.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// `ValidatePersistentVolumeClaimUpdate`: the controller binds a claim, and its owner lets it grow.
pub(super) fn claim_update(errors: &mut Errors, new: &Value, old: &Value) {
    let root = Path::ROOT;
    let path = root.field("spec");
    let bound = old["status"]["phase"] == "Bound";
    let fixed = |object: &Value| {
        let mut spec = object["spec"].clone();
        if let Some(spec) = spec.as_object_mut() {
            spec.remove("volumeAttributesClassName");
            if bound {
                spec.insert("resources".to_owned(), json!({}));
            }
            if text(&old["spec"], "volumeName").is_empty() {
                spec.remove("volumeName");
            }
            if !given(&old["spec"], "storageClassName") {
                spec.remove("storageClassName");
            }
        }
        spec
    };
    if fixed(new) != fixed(old) {
        let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for \
                   bound claims";
        errors.forbidden(&path, why);
    }
    let [asked, had] =
        [new, old].map(|claim| Quantity::of(&claim["spec"]["resources"]["requests"]["storage"]));
    if bound && asked < had {
        let at = path.field("resources");
        let at = at.field("requests");
        errors.forbidden(&at.field("storage"), "field can not be less than status.capacity");
    }
}

/// `ValidatePersistentVolumeUpdate`.
pub(super) fn volume_update(errors: &mut Errors, new: &Value, old: &Value) {
    let root = Path::ROOT;
    let path = root.field("spec");
    if source(&new["spec"]) != source(&old["spec"]) {
        let why = "spec.persistentvolumesource is immutable after creation";
        errors.forbidden(&path.field("persistentvolumesource"), why);
    }
    let mode = "volumeMode";
    errors.immutable(&path.field(mode), &new["spec"][mode], &old["spec"][mode]);
}

/// `ValidateStorageClass`.
pub(super) fn class(errors: &mut Errors, class: &Value) {
    let root = Path::ROOT;
    match text(class, "provisioner") {
        "" => errors.required(&root.field("provisioner"), ""),
        name => {
            let rules = format::qualified_name(&name.to_lowercase());
            errors.broken(&root.field("provisioner"), name, &rules);
        }
    }
    let policy = text(class, "reclaimPolicy");
    if !["Delete", "Retain"].contains(&policy) {
        errors.unsupported(&root.field("reclaimPolicy"), policy, &["Delete", "Retain"]);
    }
    let mode = text(class, "volumeBindingMode");
    if !["Immediate", "WaitForFirstConsumer"].contains(&mode) {
        let path = root.field("volumeBindingMode");
        errors.unsupported(&path, mode, &["Immediate", "WaitForFirstConsumer"]);
    }
}

/// `ValidateStorageClassUpdate`.
pub(super) fn class_update(errors: &mut Errors, new: &Value, old: &Value) {
    let root = Path::ROOT;
    for field in ["parameters", "provisioner", "reclaimPolicy"] {
        if new[field] != old[field] {
            errors.forbidden(&root.field(field), &format!("updates to {field} are forbidden."));
        }
    }
    let mode = "volumeBindingMode";
    errors.immutable(&root.field(mode), &new[mode], &old[mode]);
}
