//! Workloads: `pkg/apis/apps/v1/defaults.go`.

use serde_json::json;

use super::fill::{Fields, absent, map, text, zero};

pub(super) fn fill(ty: &str, fields: &mut Fields) {
    match ty {
        "v1.DeploymentSpec" => deployment(fields),
        "v1.ReplicaSetSpec" => absent(fields, "replicas", 1),
        "v1.StatefulSetSpec" => stateful_set(fields),
        "v1.DaemonSetSpec" => daemon_set(fields),
        _ => {}
    }
}

fn deployment(fields: &mut Fields) {
    absent(fields, "replicas", 1);
    absent(fields, "revisionHistoryLimit", 10);
    absent(fields, "progressDeadlineSeconds", 600);
    if let Some(update) = rolling_update(fields, "strategy") {
        absent(update, "maxUnavailable", "25%");
        absent(update, "maxSurge", "25%");
    }
}

fn daemon_set(fields: &mut Fields) {
    absent(fields, "revisionHistoryLimit", 10);
    if let Some(update) = rolling_update(fields, "updateStrategy") {
        absent(update, "maxUnavailable", 1);
        absent(update, "maxSurge", 0);
    }
}

/// `maxUnavailable` has no default: its feature gate is off in 1.36.
fn stateful_set(fields: &mut Fields) {
    absent(fields, "replicas", 1);
    absent(fields, "revisionHistoryLimit", 10);
    zero(fields, "podManagementPolicy", "OrderedReady");
    if let Some(update) = rolling_update(fields, "updateStrategy") {
        absent(update, "partition", 0);
    }
    if let Some(retention) = map(fields, "persistentVolumeClaimRetentionPolicy") {
        zero(retention, "whenDeleted", "Retain");
        zero(retention, "whenScaled", "Retain");
    }
}

/// The settings of the strategy `RollingUpdate`, which is the one by default; `None` with another one.
fn rolling_update<'a>(fields: &'a mut Fields, strategy: &str) -> Option<&'a mut Fields> {
    let strategy = map(fields, strategy)?;
    zero(strategy, "type", "RollingUpdate");
    if text(strategy, "type") != "RollingUpdate" {
        return None;
    }
    absent(strategy, "rollingUpdate", json!({}));
    map(strategy, "rollingUpdate")
}
