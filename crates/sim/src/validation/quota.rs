//! Limit ranges and quotas: `ValidateLimitRange` and `ValidateResourceQuotaSpec`.

use std::collections::HashSet;

use serde_json::Value;

use super::errors::Errors;
use super::format;
use super::pod::amount;
use super::read::{entries, is_empty, items, text};
use crate::schema::{Path, Quantity};

/// What a quota counts beside the resources with a domain (`standardQuotaResources`).
const COUNTED: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];

pub(super) fn limit_range(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    let path = path.field("limits");
    let mut types = HashSet::new();
    for (index, item) in items(&spec["limits"]) {
        let path = path.index(index);
        let kind = text(item, "type");
        if !types.insert(kind) {
            errors.duplicate(&path.field("type"), kind);
        }
        if kind == "Pod" {
            for field in ["default", "defaultRequest"] {
                if !is_empty(&item[field]) {
                    errors.forbidden(&path.field(field), "may not be specified when `type` is 'Pod'");
                }
            }
        }
        for (lower, upper, lower_text, upper_text) in [
            ("min", "max", "min", "max"),
            ("defaultRequest", "max", "default request", "max"),
            ("default", "max", "default", "max"),
            ("min", "defaultRequest", "min", "default request"),
            ("min", "default", "min", "default"),
            ("defaultRequest", "default", "default request", "default"),
        ] {
            ordered(errors, item, [lower, upper], [lower_text, upper_text], &path);
        }
    }
}

/// No amount of the lower bound is above the one of the upper.
fn ordered(errors: &mut Errors, item: &Value, fields: [&str; 2], names: [&str; 2], path: &Path<'_>) {
    let [lower, upper] = fields;
    for (name, least) in entries(&item[lower]) {
        let most = &item[upper][name];
        if !most.is_null() && Quantity::of(least) > Quantity::of(most) {
            let shown = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let why = format!(
                "{} value {} is greater than {} value {}",
                names[0],
                shown(least),
                names[1],
                shown(most),
            );
            // The path is that of the lower bound, as in the original.
            let path = path.field(lower);
            errors.invalid(&path.key(name), least, &why);
        }
    }
}

pub(super) fn quota(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    let path = path.field("hard");
    for (name, value) in entries(&spec["hard"]) {
        let path = path.key(name);
        resource_name(errors, name, &path);
        amount(errors, name, value, &path);
    }
}

/// `ValidateResourceQuotaResourceName`.
fn resource_name(errors: &mut Errors, name: &str, path: &Path<'_>) {
    errors.broken(path, name, &format::qualified_name(name));
    let is_huge = ["hugepages-", "requests.hugepages-"].iter().any(|prefix| name.starts_with(prefix));
    if name.contains('/') || is_huge || COUNTED.contains(&name) {
        return;
    }
    if name != "storage" {
        errors.invalid(path, name, "must be a standard resource type or fully qualified");
    }
    errors.invalid(path, name, "must be a standard resource for quota");
}
