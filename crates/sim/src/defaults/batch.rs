//! Jobs and cron jobs: `pkg/apis/batch/v1/defaults.go`.

use serde_json::Value;

use super::fill::{Fields, absent, map, zero};

/// What a cron job's template lacks is filled in when a job is made from it.
pub(super) fn fill(ty: &str, fields: &mut Fields) {
    match ty {
        "v1.Job" => {
            if let Some(spec) = map(fields, "spec") {
                job(spec);
            }
        }
        "v1.PodFailurePolicyOnPodConditionsPattern" => zero(fields, "status", "True"),
        "v1.CronJobSpec" => {
            zero(fields, "concurrencyPolicy", "Allow");
            absent(fields, "suspend", false);
            absent(fields, "successfulJobsHistoryLimit", 3);
            absent(fields, "failedJobsHistoryLimit", 1);
        }
        _ => {}
    }
}

/// `SetDefaults_Job`: without a number of completions and of pods at a time, both are one.
fn job(spec: &mut Fields) {
    let is_set = |spec: &Fields, name: &str| spec.get(name).is_some_and(|value| !value.is_null());
    if !is_set(spec, "completions") && !is_set(spec, "parallelism") {
        absent(spec, "completions", 1);
    }
    absent(spec, "parallelism", 1);
    let per_index = is_set(spec, "backoffLimitPerIndex");
    absent(spec, "backoffLimit", if per_index { i32::MAX } else { 6 });
    absent(spec, "completionMode", "NonIndexed");
    absent(spec, "suspend", false);
    absent(spec, "manualSelector", false);
    let policy = if is_set(spec, "podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    absent(spec, "podReplacementPolicy", Value::from(policy));
}
