//! The small groups: storage, scheduling, policy and coordination.

use super::fill::{Fields, absent, numbers, structs};

pub(super) fn fill(ty: &str, fields: &mut Fields) {
    match ty {
        "v1.StorageClass" => {
            absent(fields, "reclaimPolicy", "Delete");
            absent(fields, "volumeBindingMode", "Immediate");
        }
        "v1.VolumeAttachment" => structs(fields, &["spec", "status"]),
        "v1.VolumeAttachmentStatus" => absent(fields, "attached", false),
        "v1.PriorityClass" => absent(fields, "preemptionPolicy", "PreemptLowerPriority"),
        "v1.PodDisruptionBudget" => structs(fields, &["spec", "status"]),
        "v1.PodDisruptionBudgetStatus" => {
            numbers(fields, &["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"]);
        }
        "v1.Lease" => structs(fields, &["spec"]),
        _ => {}
    }
}
