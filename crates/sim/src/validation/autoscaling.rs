//! Horizontal autoscalers: `pkg/apis/autoscaling/validation/validation.go`.

use serde_json::Value;

use super::errors::Errors;
use super::read::{given, items, number, text};
use crate::schema::Path;

/// What each type of metric is described by.
const METRICS: [(&str, &str); 5] = [
    ("ContainerResource", "containerResource"),
    ("External", "external"),
    ("Object", "object"),
    ("Pods", "pods"),
    ("Resource", "resource"),
];

pub(super) fn autoscaler(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    let (least, most) = (number(spec, "minReplicas"), number(spec, "maxReplicas"));
    if given(spec, "minReplicas") && least < 1 {
        errors.invalid(&path.field("minReplicas"), least, "must be greater than or equal to 1");
    }
    if most < 1 {
        errors.invalid(&path.field("maxReplicas"), most, "must be greater than 0");
    }
    if given(spec, "minReplicas") && most < least {
        errors.invalid(&path.field("maxReplicas"), most, "must be greater than or equal to `minReplicas`");
    }
    let target = path.field("scaleTargetRef");
    for field in ["kind", "name"] {
        if text(&spec["scaleTargetRef"], field).is_empty() {
            errors.required(&target.field(field), "");
        }
    }
    let metrics = path.field("metrics");
    for (index, metric) in items(&spec["metrics"]) {
        self::metric(errors, metric, &metrics.index(index));
    }
}

/// `validateMetricSpec`.
fn metric(errors: &mut Errors, metric: &Value, path: &Path<'_>) {
    let kind = text(metric, "type");
    if kind.is_empty() {
        errors.required(&path.field("type"), "must specify a metric source type");
    }
    let Some((_, source)) = METRICS.iter().find(|(known, _)| *known == kind) else {
        errors.unsupported(&path.field("type"), kind, &METRICS.map(|(kind, _)| kind));
        return;
    };
    if !given(metric, source) {
        let why = "must populate information for the given metric source";
        errors.required(&path.field(source), why);
        return;
    }
    let (described, at) = (&metric[*source], path.field(source));
    if *source == "resource" && text(described, "name").is_empty() {
        errors.required(&at.field("name"), "must specify a resource name");
    }
    let (target, at) = (&described["target"], at.field("target"));
    match text(target, "type") {
        "" => errors.required(&at.field("type"), "must specify a metric target type"),
        "AverageValue" | "Utilization" | "Value" => {}
        kind => errors.invalid(&at.field("type"), kind, "must be either Utilization, Value, or AverageValue"),
    }
    let percent = number(target, "averageUtilization");
    if given(target, "averageUtilization") && percent < 1 {
        errors.invalid(&at.field("averageUtilization"), percent, "must be greater than 0");
    }
}
