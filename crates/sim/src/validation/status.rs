//! What controllers tell of objects: `Validate…Status` and `Validate…StatusUpdate`.

use serde_json::Value;

use super::errors::Errors;
use super::read::number;
use super::{metadata, not_negative};
use crate::kinds::Kind;
use crate::object;
use crate::schema::Path;
use crate::status::ApiError;

/// Refuses a new status of `old` that its kind does not allow.
pub(crate) fn update(kind: &Kind, new: &Value, old: &Value) -> Result<(), ApiError> {
    let (root, mut errors) = (Path::ROOT, Errors::default());
    metadata::update(&mut errors, new, old);
    let (status, path) = (&new["status"], root.field("status"));
    for field in counts(kind) {
        not_negative(&mut errors, status, field, &path);
    }
    let pods = parts_of_replicas(kind);
    for field in pods {
        not_more(&mut errors, status, field, "replicas", "cannot be greater than status.replicas", &path);
    }
    if !pods.is_empty() {
        let why = match kind.plural {
            "statefulsets" => "cannot be greater than status.readyReplicas",
            _ => "cannot be greater than readyReplicas",
        };
        not_more(&mut errors, status, "availableReplicas", "readyReplicas", why, &path);
    }
    errors.into_result(kind, object::name(old))
}

fn not_more(errors: &mut Errors, status: &Value, field: &str, bound: &str, why: &str, path: &Path<'_>) {
    let value = number(status, field);
    if value > number(status, bound) {
        errors.invalid(&path.field(field), value, why);
    }
}

fn counts(kind: &Kind) -> &'static [&'static str] {
    match kind.plural {
        "deployments" => {
            &["observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas"]
        }
        "replicasets" | "replicationcontrollers" => {
            &["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"]
        }
        "statefulsets" => {
            &["replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"]
        }
        "daemonsets" => &[
            "currentNumberScheduled",
            "numberMisscheduled",
            "desiredNumberScheduled",
            "numberReady",
            "observedGeneration",
        ],
        "jobs" => &["active", "succeeded", "failed"],
        "poddisruptionbudgets" => &["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"],
        _ => &[],
    }
}

/// The counts of which none is above `replicas`.
fn parts_of_replicas(kind: &Kind) -> &'static [&'static str] {
    match kind.plural {
        "deployments" => &["updatedReplicas", "readyReplicas", "availableReplicas"],
        "replicasets" | "replicationcontrollers" => {
            &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"]
        }
        "statefulsets" => &["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"],
        _ => &[],
    }
}
