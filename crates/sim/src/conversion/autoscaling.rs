//! `autoscaling/v1` and `v2` (`pkg/apis/autoscaling/v1/conversion.go`): what the older version has no field for stands in
//! annotations, so that nothing is lost.

use serde_json::{Map, Value, json};

use crate::schema::{self, Root};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";

const TARGET_CPU: &str = "targetCPUUtilizationPercentage";
const CURRENT_CPU: &str = "currentCPUUtilizationPercentage";

/// An autoscaler in version 2 as one in version 1.
pub(super) fn to_v1(mut scaler: Value) -> Value {
    scaler["apiVersion"] = "autoscaling/v1".into();
    let mut kept = Vec::new();
    if let Some(spec) = part(&mut scaler, "spec") {
        let mut metrics = take_list(spec, "metrics");
        if let Some(index) = metrics.iter().position(|metric| is_cpu(metric, "target")) {
            let cpu = metrics.remove(index);
            spec.insert(TARGET_CPU.to_owned(), cpu["resource"]["target"]["averageUtilization"].clone());
        }
        kept.push((METRICS, metrics.iter().map(|metric| older(metric, "target")).collect()));
        kept.push((BEHAVIOR, renamed(spec.remove("behavior").unwrap_or_default(), char::to_ascii_uppercase)));
    }
    if let Some(status) = part(&mut scaler, "status") {
        for count in ["currentReplicas", "desiredReplicas"] {
            status.entry(count).or_insert(0.into());
        }
        let metrics = take_list(status, "currentMetrics");
        if let Some(cpu) = metrics.iter().find(|metric| is_cpu(metric, "current")) {
            status.insert(CURRENT_CPU.to_owned(), cpu["resource"]["current"]["averageUtilization"].clone());
        }
        kept.push((CURRENT_METRICS, metrics.iter().map(|metric| older(metric, "current")).collect()));
        kept.push((CONDITIONS, take_list(status, "conditions").into()));
    }
    for (name, value) in kept {
        let is_empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        if !is_empty {
            scaler["metadata"]["annotations"][name] = value.to_string().into();
        }
    }
    scaler
}

/// An autoscaler in version 1 as one in version 2.
pub(super) fn to_v2(mut scaler: Value) -> Value {
    scaler["apiVersion"] = "autoscaling/v2".into();
    let mut take = |name: &str| -> Option<Value> {
        let annotations = scaler.get_mut("metadata")?.get_mut("annotations")?.as_object_mut()?;
        // What cannot be read is left out, as by the real server.
        serde_json::from_str(annotations.remove(name)?.as_str()?).ok()
    };
    let (metrics, behavior) = (take(METRICS), take(BEHAVIOR));
    let (current, conditions) = (take(CURRENT_METRICS), take(CONDITIONS));
    if scaler["metadata"]["annotations"].as_object().is_some_and(Map::is_empty) {
        part(&mut scaler, "metadata").and_then(|metadata| metadata.remove("annotations"));
    }
    let all = |metrics: Option<Value>, verb| -> Option<Vec<Value>> {
        let field = if verb == "target" { ("spec", "metrics") } else { ("status", "currentMetrics") };
        let metrics = metrics?;
        let metrics =
            metrics.as_array()?.iter().map(|metric| metric.is_object().then(|| newer(metric, verb)));
        match readable(field, &metrics.collect::<Option<Value>>()?)? {
            Value::Array(metrics) => Some(metrics),
            _ => None,
        }
    };
    let cpu = |verb: &str, percent: Value| {
        let mut cpu = json!({ "name": "cpu", verb: { "averageUtilization": percent } });
        if verb == "target" {
            cpu[verb]["type"] = "Utilization".into();
        }
        json!({ "type": "Resource", "resource": cpu })
    };
    if let Some(spec) = part(&mut scaler, "spec") {
        let mut metrics = all(metrics, "target").unwrap_or_default();
        metrics.extend(spec.remove(TARGET_CPU).filter(|cpu| !cpu.is_null()).map(|own| cpu("target", own)));
        if !metrics.is_empty() {
            spec.insert("metrics".to_owned(), metrics.into());
        }
        let behavior = behavior.map(|behavior| renamed(behavior, char::to_ascii_lowercase));
        if let Some(behavior) = behavior.and_then(|behavior| readable(("spec", "behavior"), &behavior)) {
            spec.insert("behavior".to_owned(), behavior);
        }
    }
    if let Some(status) = part(&mut scaler, "status") {
        let own =
            status.remove(CURRENT_CPU).filter(|cpu| !cpu.is_null()).map(|own| vec![cpu("current", own)]);
        if let Some(metrics) = all(current, "current").or(own) {
            status.insert("currentMetrics".to_owned(), metrics.into());
        }
        let conditions = conditions.and_then(|conditions| readable(("status", "conditions"), &conditions));
        if let Some(conditions) = conditions {
            status.insert("conditions".to_owned(), conditions);
        }
    }
    scaler
}

/// What a client wrote into an annotation, as the field of version 2 that it stands for, if it is that.
fn readable((part, field): (&str, &str), value: &Value) -> Option<Value> {
    let root = Root::find("autoscaling", "v2", "HorizontalPodAutoscaler")?;
    let decoded = schema::decode_root(root, json!({ part: { field: value } })).ok()?;
    Some(decoded.object[part][field].clone()).filter(|value| !value.is_null())
}

fn part<'a>(scaler: &'a mut Value, name: &str) -> Option<&'a mut Map<String, Value>> {
    scaler.get_mut(name)?.as_object_mut()
}

fn take_list(part: &mut Map<String, Value>, name: &str) -> Vec<Value> {
    match part.remove(name) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

fn is_cpu(metric: &Value, verb: &str) -> bool {
    let resource = &metric["resource"];
    metric["type"] == "Resource"
        && resource["name"] == "cpu"
        && resource[verb]["averageUtilization"].is_number()
}

/// The fields of a source of metrics: their names in version 1, and where they stand in version 2. `verb` is `target` in
/// a specification and `current` in a status.
fn fields(source: &str, verb: &str) -> Vec<(String, Vec<String>)> {
    let own = |name: &str| (name.to_owned(), vec![name.to_owned()]);
    let metric = |old: &str, new: &str| (old.to_owned(), vec!["metric".to_owned(), new.to_owned()]);
    let amount = |name: &str| {
        let mut new = name.to_owned();
        new[..1].make_ascii_lowercase();
        (format!("{verb}{name}"), vec![verb.to_owned(), new])
    };
    match source {
        "object" => vec![
            ("target".to_owned(), vec!["describedObject".to_owned()]),
            metric("metricName", "name"),
            metric("selector", "selector"),
            amount("Value"),
            ("averageValue".to_owned(), vec![verb.to_owned(), "averageValue".to_owned()]),
        ],
        "pods" => vec![metric("metricName", "name"), metric("selector", "selector"), amount("AverageValue")],
        "external" => vec![
            metric("metricName", "name"),
            metric("metricSelector", "selector"),
            amount("Value"),
            amount("AverageValue"),
        ],
        _ => vec![own("name"), own("container"), amount("AverageUtilization"), amount("AverageValue")],
    }
}

/// The field in which a metric says what it measures.
fn source(metric: &Value) -> String {
    let mut chars = metric["type"].as_str().unwrap_or_default().chars();
    chars.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(chars).collect()
}

fn older(metric: &Value, verb: &str) -> Value {
    let source = source(metric);
    let mut old = json!({});
    for (name, path) in fields(&source, verb) {
        let value = path.iter().fold(&metric[source.as_str()], |value, name| &value[name.as_str()]);
        if !value.is_null() {
            old[name] = value.clone();
        }
    }
    json!({ "type": metric["type"], source: old })
}

fn newer(metric: &Value, verb: &str) -> Value {
    let source = source(metric);
    let mut new = json!({});
    for (name, path) in fields(&source, verb) {
        let value = &metric[source.as_str()][name.as_str()];
        if !value.is_null() {
            *path.iter().fold(&mut new, |place, name| &mut place[name.as_str()]) = value.clone();
        }
    }
    if verb == "target" {
        let has = |amount: &str| !new["target"][amount].is_null();
        let kind = match (has("averageUtilization"), has("averageValue")) {
            (true, _) => "Utilization",
            (false, true) => "AverageValue",
            (false, false) => "Value",
        };
        new["target"]["type"] = kind.into();
    }
    json!({ "type": metric["type"], source: new })
}

/// The behaviour is kept as Go names its fields, which differs from JSON in the first letter.
fn renamed(value: Value, letter: fn(&char) -> char) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| {
                let mut chars = name.chars();
                let name = chars.next().map(|first| letter(&first)).into_iter().chain(chars).collect();
                (name, renamed(value, letter))
            });
            Value::Object(fields.collect())
        }
        Value::Array(items) => items.into_iter().map(|item| renamed(item, letter)).collect(),
        other => other,
    }
}
