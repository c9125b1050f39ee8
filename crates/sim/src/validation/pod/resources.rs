//! Requests and limits: `ValidateResourceRequirements`.

use serde_json::Value;

use crate::schema::{Path, Quantity};
use crate::validation::NEGATIVE;
use crate::validation::errors::Errors;
use crate::validation::format;
use crate::validation::read::{entries, is_empty};

/// `IsStandardContainerResourceName`.
const OF_CONTAINERS: &[&str] = &["cpu", "ephemeral-storage", "memory"];
/// The others of `standardResources` in `pkg/apis/core/helper/helpers.go`.
const OF_OTHERS: &[&str] = &[
    "configmaps",
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
    "requests.storage",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
    "storage",
];

pub(super) fn requirements(errors: &mut Errors, resources: &Value, path: &Path<'_>) {
    let (limits, requests) = (path.field("limits"), path.field("requests"));
    for (name, value) in entries(&resources["limits"]) {
        named_amount(errors, name, value, &limits.key(name));
    }
    for (name, value) in entries(&resources["requests"]) {
        named_amount(errors, name, value, &requests.key(name));
        let limit = &resources["limits"][name];
        let shown = value.as_str().unwrap_or_default();
        if limit.is_null() {
            if !may_be_overcommitted(name) {
                errors.required(&limits, "Limit must be set for non overcommitable resources");
            }
            continue;
        }
        let (amount, most) = (Quantity::of(value), Quantity::of(limit));
        let limit = limit.as_str().unwrap_or_default();
        if amount != most && !may_be_overcommitted(name) {
            errors.invalid(&requests, shown, &format!("must be equal to {name} limit of {limit}"));
        } else if amount > most {
            errors.invalid(
                &requests,
                shown,
                &format!("must be less than or equal to {name} limit of {limit}"),
            );
        }
    }
    if !is_empty(&resources["claims"]) && resources["claims"].as_array().is_none() {
        errors.required(&path.field("claims"), "");
    }
}

fn named_amount(errors: &mut Errors, name: &str, value: &Value, path: &Path<'_>) {
    resource_name(errors, name, path);
    amount(errors, name, value, path);
}

/// `validateContainerResourceName`.
fn resource_name(errors: &mut Errors, name: &str, path: &Path<'_>) {
    errors.broken(path, name, &format::qualified_name(name));
    if name.contains('/') {
        if !is_native(name) && (name.starts_with("requests.") || !format::qualified_name(name).is_empty()) {
            errors.invalid(path, name, "doesn't follow extended resource name standard");
        }
        return;
    }
    let of_containers = OF_CONTAINERS.contains(&name) || name.starts_with("hugepages-");
    if !of_containers && !OF_OTHERS.contains(&name) {
        errors.invalid(path, name, "must be a standard resource type or fully qualified");
    }
    if !of_containers {
        errors.invalid(path, name, "must be a standard resource for containers");
    }
}

/// `ValidateResourceQuantityValue`: never negative, and whole where the resource comes in pieces.
pub(in crate::validation) fn amount(errors: &mut Errors, name: &str, value: &Value, path: &Path<'_>) {
    let amount = Quantity::of(value);
    let shown = value.as_str().unwrap_or_default();
    if amount < Quantity::ZERO {
        errors.invalid(path, shown, NEGATIVE);
    }
    let in_pieces =
        !is_native(name) || OF_OTHERS.contains(&name) && !name.contains("storage") && !name.contains('.');
    if in_pieces && amount.milli() % 1000 != 0 {
        errors.invalid(path, shown, "must be an integer");
    }
}

/// `IsNativeResource`.
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// `IsOvercommitAllowed`.
fn may_be_overcommitted(name: &str) -> bool {
    is_native(name) && !name.starts_with("hugepages-")
}
