//! What the API server fills in when an object is created without it.

use serde_json::{Value, json};

use crate::kinds::Kind;
use crate::object;

/// Fills in the defaults of the kind.
pub(crate) fn apply(kind: &Kind, object: &mut Value) {
    match kind.plural {
        "namespaces" => namespace(object),
        "pods" => pod(object),
        _ => {}
    }
}

fn namespace(object: &mut Value) {
    let name = object::name(object).to_owned();
    object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name.into();
    fill(object, json!({ "spec": { "finalizers": ["kubernetes"] }, "status": { "phase": "Active" } }));
}

fn pod(object: &mut Value) {
    fill(
        object,
        json!({
            "spec": {
                "restartPolicy": "Always",
                "terminationGracePeriodSeconds": 30,
                "dnsPolicy": "ClusterFirst",
                "serviceAccountName": "default",
                "serviceAccount": "default",
                "securityContext": {},
                "schedulerName": "default-scheduler",
                "priority": 0,
                "enableServiceLinks": true,
                "preemptionPolicy": "PreemptLowerPriority",
            },
            "status": { "phase": "Pending", "qosClass": "BestEffort" },
        }),
    );
    for container in object["spec"]["containers"].as_array_mut().into_iter().flatten() {
        let tagged = container["image"]
            .as_str()
            .is_some_and(|image| image.contains(':') && !image.ends_with(":latest"));
        fill(
            container,
            json!({
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "imagePullPolicy": if tagged { "IfNotPresent" } else { "Always" },
            }),
        );
    }
}

/// Adds what is missing, at every depth; what is there stays.
fn fill(target: &mut Value, defaults: Value) {
    match (target, defaults) {
        (Value::Object(target), Value::Object(defaults)) => {
            for (field, default) in defaults {
                fill(target.entry(field).or_insert(Value::Null), default);
            }
        }
        (target @ Value::Null, default) => *target = default,
        _ => {}
    }
}
