//! The small groups: storage, scheduling, policy and coordination.

use super::fill::{Fields, absent};

pub(super) fn fill(ty: &str, fields: &mut Fields) {
    match ty {
        "v1.StorageClass" => {
            absent(fields, "reclaimPolicy", "Delete");
            absent(fields, "volumeBindingMode", "Immediate");
        }
        "v1.PriorityClass" => absent(fields, "preemptionPolicy", "PreemptLowerPriority"),
        _ => {}
    }
}
