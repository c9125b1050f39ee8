//! Environment variables: `ValidateEnv` and `ValidateEnvFrom`.

use serde_json::Value;

use crate::schema::Path;
use crate::validation::errors::Errors;
use crate::validation::format;
use crate::validation::read::{given, items, text};

/// In the order of the sorted set of the original.
const FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
const RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
/// Other fields of a pod that exist but cannot be had here.
const OTHER_FIELDS: &[&str] =
    &["metadata.annotations", "metadata.labels", "spec.restartPolicy", "spec.schedulerName", "status.phase"];

pub(super) fn variables(errors: &mut Errors, variables: &Value, path: &Path<'_>) {
    for (index, variable) in items(variables) {
        let path = path.index(index);
        let name = text(variable, "name");
        if name.is_empty() {
            errors.required(&path.field("name"), "");
        } else {
            errors.broken(&path.field("name"), name, &format::env_var_name(name));
        }
        if given(variable, "valueFrom") {
            value_from(errors, variable, &path.field("valueFrom"));
        }
    }
}

/// `validateEnvVarValueFrom`.
fn value_from(errors: &mut Errors, variable: &Value, path: &Path<'_>) {
    let from = &variable["valueFrom"];
    let mut sources = 0;
    if given(from, "fieldRef") {
        sources += 1;
        let path = path.field("fieldRef");
        field(errors, text(&from["fieldRef"], "fieldPath"), &path.field("fieldPath"));
    }
    if given(from, "resourceFieldRef") {
        sources += 1;
        let path = path.field("resourceFieldRef");
        let path = path.field("resource");
        match text(&from["resourceFieldRef"], "resource") {
            "" => errors.required(&path, ""),
            name if RESOURCES.contains(&name) || name.contains("hugepages-") => {}
            name => errors.unsupported(&path, name, RESOURCES),
        }
    }
    for source in ["configMapKeyRef", "secretKeyRef"] {
        if given(from, source) {
            sources += 1;
            let path = path.field(source);
            if text(&from[source], "name").is_empty() {
                errors.required(&path.field("name"), "");
            }
            match text(&from[source], "key") {
                "" => errors.required(&path.field("key"), ""),
                key => errors.broken(&path.field("key"), key, &format::config_map_key(key)),
            }
        }
    }
    sources += usize::from(given(from, "fileKeyRef"));
    if sources == 0 {
        let why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or \
                   `fileKeyRef`";
        errors.invalid(path, "", why);
    } else if !text(variable, "value").is_empty() {
        errors.invalid(path, "", "may not be specified when `value` is not empty");
    } else if sources > 1 {
        errors.invalid(path, "", "may not have more than one field specified at a time");
    }
}

/// `validateObjectFieldSelector`.
fn field(errors: &mut Errors, field: &str, path: &Path<'_>) {
    let subscripted = ["metadata.annotations['", "metadata.labels['"];
    if field.is_empty() {
        errors.required(path, "");
    } else if FIELDS.contains(&field)
        || subscripted.iter().any(|prefix| field.starts_with(prefix) && field.ends_with("']"))
    {
    } else if OTHER_FIELDS.contains(&field) {
        errors.unsupported(path, field, FIELDS);
    } else {
        let why = format!("error converting fieldPath: field label not supported: {field}");
        errors.invalid(path, field, &why);
    }
}

pub(super) fn sources(errors: &mut Errors, sources: &Value, path: &Path<'_>) {
    for (index, source) in items(sources) {
        let path = path.index(index);
        let prefix = text(source, "prefix");
        if !prefix.is_empty() {
            errors.broken(&path.field("prefix"), prefix, &format::env_var_name(prefix));
        }
        let given: Vec<&str> =
            ["configMapRef", "secretRef"].into_iter().filter(|field| given(source, field)).collect();
        for field in &given {
            if text(&source[*field], "name").is_empty() {
                let path = path.field(field);
                errors.required(&path.field("name"), "");
            }
        }
        match given.len() {
            0 => errors.invalid(&path, "", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => errors.invalid(&path, "", "may not have more than one field specified at a time"),
        }
    }
}
