//! Budgets, priorities and leases: the groups `policy`, `scheduling` and `coordination`.

use serde_json::Value;

use super::errors::{Errors, Raw, show_selector};
use super::int_or_percent;
use super::read::{given, number, text};
use super::selectors::selector;
use crate::object;
use crate::schema::Path;

/// `HighestUserDefinablePriority`.
const HIGHEST_PRIORITY: i64 = 1_000_000_000;
/// The classes that every cluster has, which may be above it.
const SYSTEM_CLASSES: [&str; 2] = ["system-cluster-critical", "system-node-critical"];

/// `ValidatePodDisruptionBudgetSpec`.
pub(super) fn budget(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    if given(spec, "minAvailable") && given(spec, "maxUnavailable") {
        let shown = budget_spec(spec);
        errors.invalid(path, Raw(&shown), "minAvailable and maxUnavailable cannot be both set");
    }
    for field in ["minAvailable", "maxUnavailable"] {
        if given(spec, field) {
            int_or_percent(errors, &spec[field], &path.field(field));
        }
    }
    selector(errors, &spec["selector"], &path.field("selector"));
    let policy = text(spec, "unhealthyPodEvictionPolicy");
    if !["", "AlwaysAllow", "IfHealthyBudget"].contains(&policy) {
        let path = path.field("unhealthyPodEvictionPolicy");
        errors.unsupported(&path, policy, &["AlwaysAllow", "IfHealthyBudget"]);
    }
}

/// The server's own struct `policy.PodDisruptionBudgetSpec`, whose fields have no JSON names.
fn budget_spec(spec: &Value) -> String {
    let selector =
        if spec["selector"].is_null() { "null".to_owned() } else { show_selector(&spec["selector"]) };
    format!(
        "{{\"MinAvailable\":{},\"Selector\":{selector},\"MaxUnavailable\":{},\"UnhealthyPodEvictionPolicy\":{}}}",
        spec["minAvailable"], spec["maxUnavailable"], spec["unhealthyPodEvictionPolicy"],
    )
}

/// `ValidatePriorityClass`.
pub(super) fn priority_class(errors: &mut Errors, class: &Value) {
    let (root, name, value) = (Path::ROOT, object::name(class), number(class, "value"));
    if name.starts_with("system-") {
        if !SYSTEM_CLASSES.contains(&name) {
            let path = root.field("metadata");
            let why = format!(
                "priority class names with 'system-' prefix are reserved for system use only. error: {name} is not a \
                 known system priority class"
            );
            errors.forbidden(&path.field("name"), &why);
        }
    } else if value > HIGHEST_PRIORITY {
        let why = format!("maximum allowed value of a user defined priority is {HIGHEST_PRIORITY}");
        errors.forbidden(&root.field("value"), &why);
    }
    let policy = text(class, "preemptionPolicy");
    if !["Never", "PreemptLowerPriority"].contains(&policy) {
        let path = root.field("preemptionPolicy");
        errors.unsupported(&path, policy, &["PreemptLowerPriority", "Never"]);
    }
}

/// `ValidatePriorityClassUpdate`.
pub(super) fn priority_class_update(errors: &mut Errors, new: &Value, old: &Value) {
    let root = Path::ROOT;
    if new["value"] != old["value"] {
        errors.forbidden(&root.field("value"), "may not be changed in an update.");
    }
    let field = "preemptionPolicy";
    errors.immutable(&root.field(field), &new[field], &old[field]);
}

/// `ValidateLeaseSpec`.
pub(super) fn lease(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    if given(spec, "leaseDurationSeconds") && number(spec, "leaseDurationSeconds") <= 0 {
        let path = path.field("leaseDurationSeconds");
        errors.invalid(&path, number(spec, "leaseDurationSeconds"), "must be greater than 0");
    }
    if number(spec, "leaseTransitions") < 0 {
        let path = path.field("leaseTransitions");
        errors.invalid(&path, number(spec, "leaseTransitions"), super::NEGATIVE);
    }
}
