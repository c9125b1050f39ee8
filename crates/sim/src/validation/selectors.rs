//! Label selectors: `k8s.io/apimachinery/pkg/apis/meta/v1/validation`.

use serde_json::Value;

use super::errors::{Errors, Raw, show_selector};
use super::format;
use super::metadata::{label_key, labels};
use super::read::{entries, is_empty, items, text};
use crate::schema::Path;

/// `ValidateLabelSelector`.
pub(super) fn selector(errors: &mut Errors, selector: &Value, path: &Path<'_>) {
    labels(errors, &selector["matchLabels"], &path.field("matchLabels"));
    let path = path.field("matchExpressions");
    for (index, expression) in items(&selector["matchExpressions"]) {
        requirement(errors, expression, &path.index(index));
    }
}

fn requirement(errors: &mut Errors, expression: &Value, path: &Path<'_>) {
    let values = &expression["values"];
    match text(expression, "operator") {
        "In" | "NotIn" if is_empty(values) => {
            errors.required(&path.field("values"), "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "In" | "NotIn" => {}
        "Exists" | "DoesNotExist" if !is_empty(values) => {
            let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.forbidden(&path.field("values"), why);
        }
        "Exists" | "DoesNotExist" => {}
        operator => errors.invalid(&path.field("operator"), operator, "not a valid selector operator"),
    }
    label_key(errors, text(expression, "key"), &path.field("key"));
    let path = path.field("values");
    for (index, value) in items(values) {
        let value = value.as_str().unwrap_or_default();
        errors.broken(&path.index(index), value, &format::label_value(value));
    }
}

/// The selector of a workload, which must not be empty. Tells whether it can be held against labels
/// (`LabelSelectorAsSelector`).
pub(super) fn of_workload(errors: &mut Errors, spec: &Value, path: &Path<'_>, empty: &str) -> bool {
    let path_of_selector = path.field("selector");
    let wanted = &spec["selector"];
    if wanted.is_null() {
        errors.required(&path_of_selector, "");
        return true;
    }
    let before = errors.len();
    selector(errors, wanted, &path_of_selector);
    let can_be_used = errors.len() == before;
    if !empty.is_empty() && is_empty_selector(wanted) {
        errors.invalid(&path_of_selector, Raw(&show_selector(wanted)), empty);
    }
    can_be_used
}

/// What is told of a workload whose selector cannot be held against labels, instead of what its template is like.
pub(super) fn unusable(errors: &mut Errors, spec: &Value, path: &Path<'_>, why: &str) {
    errors.invalid(&path.field("selector"), Raw(&show_selector(&spec["selector"])), why);
}

/// The template must have the labels that the selector asks for; a selector that is absent selects nothing.
pub(super) fn fits_template(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    let labels = &spec["template"]["metadata"]["labels"];
    if spec["selector"].is_null() || !matches(&spec["selector"], labels) {
        let template = path.field("template");
        let metadata = template.field("metadata");
        errors.invalid(&metadata.field("labels"), labels, "`selector` does not match template `labels`");
    }
}

/// Whether the labels pass; an empty selector passes all.
pub(super) fn matches(selector: &Value, labels: &Value) -> bool {
    let fits = |expression: &Value| {
        let label = &labels[text(expression, "key")];
        let listed = || items(&expression["values"]).any(|(_, value)| value == label);
        match text(expression, "operator") {
            "In" => listed(),
            "NotIn" => !listed(),
            "Exists" => !label.is_null(),
            "DoesNotExist" => label.is_null(),
            _ => false,
        }
    };
    entries(&selector["matchLabels"]).all(|(key, value)| labels[key] == *value)
        && items(&selector["matchExpressions"]).all(|(_, expression)| fits(expression))
}

fn is_empty_selector(selector: &Value) -> bool {
    is_empty(&selector["matchLabels"]) && is_empty(&selector["matchExpressions"])
}
