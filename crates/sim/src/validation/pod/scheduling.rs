//! Where a pod may run: tolerations, affinity and spread.

use serde_json::Value;

use super::super::selectors::selector;
use crate::schema::Path;
use crate::validation::errors::Errors;
use crate::validation::format;
use crate::validation::metadata::label_key;
use crate::validation::read::{given, is_empty, items, number, text};

const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// `ValidateTolerations`.
pub(super) fn tolerations(errors: &mut Errors, tolerations: &Value, path: &Path<'_>) {
    for (index, toleration) in items(tolerations) {
        let path = path.index(index);
        let [key, operator, value, effect] =
            ["key", "operator", "value", "effect"].map(|field| text(toleration, field));
        if !key.is_empty() {
            label_key(errors, key, &path.field("key"));
        }
        if key.is_empty() && operator != "Exists" {
            let why =
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.invalid(&path.field("operator"), operator, why);
        }
        if given(toleration, "tolerationSeconds") && effect != "NoExecute" {
            let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.invalid(&path.field("effect"), effect, why);
        }
        match operator {
            "" | "Equal" => {
                let rules = format::label_value(value);
                if !rules.is_empty() {
                    errors.invalid(&path.field("operator"), value, &rules.join(";"));
                }
            }
            "Exists" if value.is_empty() => {}
            "Exists" => {
                let why = "value must be empty when `operator` is 'Exists'";
                errors.invalid(&path.field("operator"), toleration, why);
            }
            operator => errors.unsupported(&path.field("operator"), operator, &["Equal", "Exists"]),
        }
        if !effect.is_empty() {
            taint_effect(errors, effect, &path.field("effect"));
        }
    }
}

/// `validateTaintEffect`.
pub(in crate::validation) fn taint_effect(errors: &mut Errors, effect: &str, path: &Path<'_>) {
    if effect.is_empty() {
        errors.required(path, "");
    } else if !EFFECTS.contains(&effect) {
        errors.unsupported(path, effect, EFFECTS);
    }
}

/// `validateAffinity`.
pub(super) fn affinity(errors: &mut Errors, affinity: &Value, path: &Path<'_>) {
    node_affinity(errors, &affinity["nodeAffinity"], &path.field("nodeAffinity"));
    for kind in ["podAffinity", "podAntiAffinity"] {
        let path = path.field(kind);
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        let list = path.field(required);
        for (index, term) in items(&affinity[kind][required]) {
            pod_term(errors, term, &list.index(index));
        }
        let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
        let list = path.field(preferred);
        for (index, weighted) in items(&affinity[kind][preferred]) {
            let path = list.index(index);
            weight(errors, weighted, &path);
            pod_term(errors, &weighted["podAffinityTerm"], &path.field("podAffinityTerm"));
        }
    }
}

fn node_affinity(errors: &mut Errors, affinity: &Value, path: &Path<'_>) {
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    if given(affinity, required) {
        let path = path.field(required);
        let path = path.field("nodeSelectorTerms");
        let terms = &affinity[required]["nodeSelectorTerms"];
        if is_empty(terms) {
            errors.required(&path, "must have at least one node selector term");
        }
        for (index, term) in items(terms) {
            node_term(errors, term, &path.index(index));
        }
    }
    let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
    let list = path.field(preferred);
    for (index, weighted) in items(&affinity[preferred]) {
        let path = list.index(index);
        weight(errors, weighted, &path);
        node_term(errors, &weighted["preference"], &path.field("preference"));
    }
}

fn weight(errors: &mut Errors, weighted: &Value, path: &Path<'_>) {
    let weight = number(weighted, "weight");
    if !(1..=100).contains(&weight) {
        errors.invalid(&path.field("weight"), weight, "must be in the range 1-100");
    }
}

/// `ValidateNodeSelectorRequirement`.
fn node_term(errors: &mut Errors, term: &Value, path: &Path<'_>) {
    let path = path.field("matchExpressions");
    for (index, requirement) in items(&term["matchExpressions"]) {
        let path = path.index(index);
        let values = &requirement["values"];
        match text(requirement, "operator") {
            "In" | "NotIn" if is_empty(values) => {
                errors
                    .required(&path.field("values"), "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !is_empty(values) => {
                let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.forbidden(&path.field("values"), why);
            }
            "Gt" | "Lt" if values.as_array().is_none_or(|values| values.len() != 1) => {
                let why = "must be specified single value when `operator` is 'Lt' or 'Gt'";
                errors.required(&path.field("values"), why);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            operator => errors.invalid(&path.field("operator"), operator, "not a valid selector operator"),
        }
        label_key(errors, text(requirement, "key"), &path.field("key"));
    }
}

fn pod_term(errors: &mut Errors, term: &Value, path: &Path<'_>) {
    selector(errors, &term["labelSelector"], &path.field("labelSelector"));
    let key = text(term, "topologyKey");
    if key.is_empty() {
        errors.required(&path.field("topologyKey"), "can not be empty");
    }
    label_key(errors, key, &path.field("topologyKey"));
}

/// `validateTopologySpreadConstraints`.
pub(super) fn spread(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    for (index, constraint) in items(&spec["topologySpreadConstraints"]) {
        let path = path.index(index);
        let skew = number(constraint, "maxSkew");
        if skew <= 0 {
            errors.invalid(&path.field("maxSkew"), skew, "must be greater than zero");
        }
        let key = text(constraint, "topologyKey");
        if key.is_empty() {
            errors.required(&path.field("topologyKey"), "can not be empty");
        } else {
            label_key(errors, key, &path.field("topologyKey"));
        }
        let action = text(constraint, "whenUnsatisfiable");
        if !["DoNotSchedule", "ScheduleAnyway"].contains(&action) {
            let path = path.field("whenUnsatisfiable");
            errors.unsupported(&path, action, &["DoNotSchedule", "ScheduleAnyway"]);
        }
        selector(errors, &constraint["labelSelector"], &path.field("labelSelector"));
    }
}
