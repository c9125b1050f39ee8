//! What holds for the metadata of every object: `k8s.io/apimachinery/pkg/api/validation/objectmeta.go`.

use serde_json::Value;

use super::errors::{Errors, quote};
use super::format;
use super::read::{entries, items, text};
use crate::kinds::{Kind, NameRule};
use crate::schema::Path;

/// `TotalAnnotationSizeLimitB`.
const MAX_ANNOTATIONS: usize = 256 * 1024;
/// Finalizers that the API server itself takes away.
const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// `ValidateObjectMeta`.
pub(super) fn create(errors: &mut Errors, kind: &Kind, object: &Value) {
    let (metadata, path) = (&object["metadata"], Path::ROOT);
    let path = path.field("metadata");
    let prefix = text(metadata, "generateName");
    if !prefix.is_empty() {
        errors.broken(&path.field("generateName"), prefix, &name_rules(kind, &masked(prefix)));
    }
    let name = text(metadata, "name");
    if name.is_empty() {
        errors.required(&path.field("name"), "name or generateName is required");
    } else {
        errors.broken(&path.field("name"), name, &name_rules(kind, name));
    }
    let namespace = text(metadata, "namespace");
    match (kind.namespaced, namespace) {
        (true, "") => errors.required(&path.field("namespace"), ""),
        (true, namespace) => {
            errors.broken(&path.field("namespace"), namespace, &format::dns_label(namespace));
        }
        (false, "") => {}
        (false, _) => errors.forbidden(&path.field("namespace"), "not allowed on this type"),
    }
    common(errors, metadata, &path);
}

/// `ValidateObjectMetaUpdate`.
pub(super) fn update(errors: &mut Errors, new: &Value, old: &Value) {
    let path = Path::ROOT;
    let path = path.field("metadata");
    let (new, old) = (&new["metadata"], &old["metadata"]);
    if !old["deletionTimestamp"].is_null() {
        no_new_finalizers(errors, new, old, &path);
    }
    for field in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp"] {
        errors.immutable(&path.field(field), &new[field], &old[field]);
    }
    let field = "deletionGracePeriodSeconds";
    errors.immutable(&path.field(field), &new[field], &old[field]);
    common(errors, new, &path);
}

/// `ValidateNoNewFinalizers`.
fn no_new_finalizers(errors: &mut Errors, new: &Value, old: &Value, path: &Path<'_>) {
    let has = |name: &Value| items(&old["finalizers"]).any(|(_, present)| present == name);
    let extra: Vec<String> = items(&new["finalizers"])
        .filter(|(_, name)| !has(name))
        .map(|(_, name)| quote(name.as_str().unwrap_or_default()))
        .collect();
    if !extra.is_empty() {
        let why = "no new finalizers can be added if the object is being deleted, found new finalizers";
        errors.forbidden(&path.field("finalizers"), &format!("{why} []string{{{}}}", extra.join(", ")));
    }
}

fn common(errors: &mut Errors, metadata: &Value, path: &Path<'_>) {
    labels(errors, &metadata["labels"], &path.field("labels"));
    annotations(errors, &metadata["annotations"], &path.field("annotations"));
    owner_references(errors, &metadata["ownerReferences"], &path.field("ownerReferences"));
    finalizers(errors, &metadata["finalizers"], &path.field("finalizers"));
}

/// `ValidateLabels`.
pub(super) fn labels(errors: &mut Errors, labels: &Value, path: &Path<'_>) {
    for (key, value) in entries(labels) {
        label_key(errors, key, path);
        let value = value.as_str().unwrap_or_default();
        errors.broken(path, value, &format::label_value(value));
    }
}

/// `ValidateLabelName`.
pub(super) fn label_key(errors: &mut Errors, key: &str, path: &Path<'_>) {
    errors.broken(path, key, &format::qualified_name(key));
}

/// `ValidateAnnotations`: case does not matter in their keys.
pub(super) fn annotations(errors: &mut Errors, annotations: &Value, path: &Path<'_>) {
    let mut size = 0;
    for (key, value) in entries(annotations) {
        errors.broken(path, key, &format::qualified_name(&key.to_lowercase()));
        size += key.len() + value.as_str().unwrap_or_default().len();
    }
    if size > MAX_ANNOTATIONS {
        errors.too_long(path, MAX_ANNOTATIONS);
    }
}

/// `ValidateOwnerReferences`.
fn owner_references(errors: &mut Errors, references: &Value, path: &Path<'_>) {
    let mut controller: Option<String> = None;
    for (_, reference) in items(references) {
        // The path does not tell which of the references it is.
        let version = text(reference, "apiVersion");
        if version.is_empty() || version.ends_with('/') {
            errors.invalid(&path.field("apiVersion"), version, "version must not be empty");
        }
        for field in ["kind", "name", "uid"] {
            if text(reference, field).is_empty() {
                errors.invalid(&path.field(field), "", "must not be empty");
            }
        }
        if version == "v1" && text(reference, "kind") == "Event" {
            let why = "/v1, Kind=Event is disallowed from being an owner";
            errors.invalid(path, reference, why);
        }
        if reference["controller"] == true {
            let this = format!("{}/{}", text(reference, "kind"), text(reference, "name"));
            match &controller {
                Some(first) => {
                    let why = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for \
                         {first} and {this}"
                    );
                    errors.invalid(path, references, &why);
                }
                None => controller = Some(this),
            }
        }
    }
}

/// `ValidateFinalizers` and `validateKubeFinalizerName`.
fn finalizers(errors: &mut Errors, finalizers: &Value, path: &Path<'_>) {
    let mut seen = [false, false];
    for (index, name) in items(finalizers) {
        let name = name.as_str().unwrap_or_default();
        errors.broken(path, name, &format::qualified_name(name));
        // Names without a domain belong to Kubernetes.
        if !name.contains('/') && ![ORPHAN, FOREGROUND, "kubernetes"].contains(&name) {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            errors.invalid(&path.index(index), name, why);
        }
        seen = [seen[0] || name == ORPHAN, seen[1] || name == FOREGROUND];
    }
    if seen == [true, true] {
        let why = format!("finalizer {ORPHAN} and {FOREGROUND} cannot be both set");
        errors.invalid(path, finalizers, &why);
    }
}

fn name_rules(kind: &Kind, name: &str) -> Vec<String> {
    match kind.plural {
        "services" => return format::dns_1035_label(name),
        // The pods of a stateful set bear its name as their host name.
        "statefulsets" => return format::dns_label(name),
        _ => {}
    }
    match kind.names {
        NameRule::Label => format::dns_label(name),
        NameRule::Subdomain => format::dns_subdomain(name),
        NameRule::PathSegment => format::path_segment(name),
    }
}

/// `maskTrailingDash`: what is generated never ends in the dash of the prefix.
fn masked(prefix: &str) -> String {
    match prefix.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => format!("{rest}a"),
        _ => prefix.to_owned(),
    }
}
