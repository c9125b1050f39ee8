//! Horizontal pod autoscalers: what they measure and what it should be (`formatHPAMetrics`).

use serde_json::Value;

use super::Printer;
use super::column::{AGE, Field, NAME, text};
use super::read::{self, age, count, list, name};

pub(super) const HORIZONTAL_POD_AUTOSCALER: Printer = Printer {
    columns: &[
        NAME,
        text("Reference", Field("spec.scaleTargetRef")),
        text("Targets", Field("spec.metrics")),
        text("MinPods", Field("spec.minReplicas")),
        text("MaxPods", Field("spec.maxReplicas")),
        text("Replicas", Field("status.currentReplicas")),
        AGE,
    ],
    cells: |scaler, now| {
        let target = &scaler["spec"]["scaleTargetRef"];
        let least = read::int_or_string(scaler, "/spec/minReplicas");
        vec![
            name(scaler),
            format!("{}/{}", read::text(target, "/kind"), read::text(target, "/name")).into(),
            targets(scaler).into(),
            least.unwrap_or_else(|| "<unset>".to_owned()).into(),
            count(scaler, "/spec/maxReplicas").into(),
            count(scaler, "/status/currentReplicas").into(),
            age(scaler, now),
        ]
    },
};

/// At most two metrics are shown.
const MOST: usize = 2;

fn targets(scaler: &Value) -> String {
    let specs = list(scaler, "/spec/metrics");
    if specs.is_empty() {
        return "<none>".to_owned();
    }
    let statuses = list(scaler, "/status/currentMetrics");
    let metrics: Vec<String> = specs
        .iter()
        .enumerate()
        .map(|(index, spec)| metric(spec, statuses.get(index).unwrap_or(&Value::Null)))
        .collect();
    read::first_of(&metrics, MOST, ", ")
}

/// What is and what should be, of one metric.
fn metric(spec: &Value, status: &Value) -> String {
    let kind = read::text(spec, "/type");
    let mut source = kind.to_owned();
    if let Some(first) = source.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    let (spec, current) = (&spec[&source], &status[&source]["current"]);
    let target = &spec["target"];
    let now = |field: &str| match &current[field] {
        Value::Null => "<unknown>".to_owned(),
        value => read::quantity(value),
    };
    let average = !target["averageValue"].is_null();
    match kind {
        "External" | "Object" if average => {
            format!("{}/{} (avg)", now("averageValue"), read::quantity(&target["averageValue"]))
        }
        "External" | "Object" => format!("{}/{}", now("value"), read::quantity(&target["value"])),
        "Pods" => format!("{}/{}", now("averageValue"), read::quantity(&target["averageValue"])),
        "Resource" | "ContainerResource" => {
            let name = read::text(spec, "/name");
            if average {
                return format!(
                    "{name}: {}/{}",
                    now("averageValue"),
                    read::quantity(&target["averageValue"])
                );
            }
            let percent = |value: &Value, otherwise: &str| {
                value.as_i64().map_or_else(|| otherwise.to_owned(), |value| format!("{value}%"))
            };
            let is = percent(&current["averageUtilization"], "<unknown>");
            format!("{name}: {is}/{}", percent(&target["averageUtilization"], "<auto>"))
        }
        _ => "<unknown type>".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metrics_in_words() {
        let cpu = json!({ "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 80 } } });
        let external = json!({ "type": "External", "external": { "target": { "averageValue": "30" } } });
        let pods = json!({ "type": "Pods", "pods": { "target": { "averageValue": "1k" } } });
        let scaler = json!({
            "spec": { "metrics": [cpu, external, pods] },
            "status": { "currentMetrics": [{ "type": "Resource", "resource": { "current": { "averageUtilization": 12 } } }] },
        });
        assert_eq!(targets(&scaler), "cpu: 12%/80%, <unknown>/30 (avg) + 1 more...");
        assert_eq!(targets(&json!({})), "<none>");
        assert_eq!(targets(&json!({ "spec": { "metrics": [{ "type": "Ä" }] } })), "<unknown type>");
    }
}
