//! Jobs and cron jobs: `pkg/apis/batch/validation/validation.go`.

use serde_json::Value;

use super::errors::{Errors, Raw, show_selector};
use super::read::{given, number, text};
use super::selectors::{fits_template, matches, of_workload};
use super::{cron, not_negative, pod};
use crate::object;
use crate::schema::Path;

/// The suffix of the jobs' names, 11 characters, must fit in 63.
const CRON_JOB_NAME: usize = 52;
const COUNTS: [&str; 4] = ["parallelism", "completions", "activeDeadlineSeconds", "backoffLimit"];
/// `completionModeIndexed` bounds both.
const MAX_INDEXED: i64 = 100_000;

/// `ValidateJobSpec`.
pub(super) fn job(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    let can_be_used = of_workload(errors, spec, path, "");
    template(errors, spec, path);
    if can_be_used && !spec["selector"].is_null() {
        fits_template(errors, spec, path);
    }
}

/// `validateJobSpec`: what the templates of cron jobs share with jobs.
fn template(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    for field in COUNTS.iter().chain(&["ttlSecondsAfterFinished", "backoffLimitPerIndex", "maxFailedIndexes"])
    {
        not_negative(errors, spec, field, path);
    }
    match text(spec, "completionMode") {
        "" | "NonIndexed" => {
            for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
                if given(spec, field) {
                    let why = "requires indexed completion mode";
                    errors.invalid(&path.field(field), number(spec, field), why);
                }
            }
        }
        "Indexed" if !given(spec, "completions") => {
            errors.required(&path.field("completions"), "when completion mode is Indexed");
        }
        "Indexed" => {
            let parallelism = number(spec, "parallelism");
            if parallelism > MAX_INDEXED {
                let why =
                    format!("must be less than or equal to {MAX_INDEXED} when completion mode is Indexed");
                errors.invalid(&path.field("parallelism"), parallelism, &why);
            }
        }
        mode => errors.unsupported(&path.field("completionMode"), mode, &["NonIndexed", "Indexed"]),
    }
    let policy = text(spec, "podReplacementPolicy");
    if !["", "Failed", "TerminatingOrFailed"].contains(&policy) {
        let path = path.field("podReplacementPolicy");
        errors.unsupported(&path, policy, &["Failed", "TerminatingOrFailed"]);
    }
    let path = path.field("template");
    pod::template(errors, &spec["template"], &path);
    if text(&spec["template"]["spec"], "restartPolicy") == "Always" {
        let path = path.field("spec");
        errors.required(&path.field("restartPolicy"), "valid values: \"OnFailure\", \"Never\"");
    }
}

/// `ValidateGeneratedSelector`: labels that the server would have made must be as it would have made them.
pub(super) fn generated_selector(errors: &mut Errors, job: &Value) {
    if job["spec"]["manualSelector"] == true {
        return;
    }
    let root = Path::ROOT;
    let (metadata, spec) = (root.field("metadata"), root.field("spec"));
    let uid = object::field(job, "metadata.uid");
    if uid.is_empty() {
        errors.required(&metadata.field("uid"), "");
    }
    let labels = &job["spec"]["template"]["metadata"]["labels"];
    let template = spec.field("template");
    let template = template.field("metadata");
    let template = template.field("labels");
    let generated = [
        ("batch.kubernetes.io/controller-uid", uid.as_str()),
        ("controller-uid", uid.as_str()),
        ("batch.kubernetes.io/job-name", object::name(job)),
        ("job-name", object::name(job)),
    ];
    for (key, expected) in generated {
        let label = labels[key].as_str().unwrap_or_default();
        if label != expected {
            let why = format!("must be '{expected}'");
            errors.invalid(&template.key(key), label, &why);
        }
    }
    let generated = generated.map(|(key, value)| (key.to_owned(), Value::from(value)));
    let selector = &job["spec"]["selector"];
    if !matches(selector, &Value::Object(generated.into_iter().collect())) {
        let shown = show_selector(selector);
        errors.invalid(&spec.field("selector"), Raw(&shown), "`selector` not auto-generated");
    }
}

/// `ValidateJobSpecUpdate`.
pub(super) fn job_update(errors: &mut Errors, new: &Value, old: &Value) {
    let root = Path::ROOT;
    let path = root.field("spec");
    let (new, old) = (&new["spec"], &old["spec"]);
    if text(old, "completionMode") != "Indexed" || new["completions"] != new["parallelism"] {
        errors.immutable(&path.field("completions"), &new["completions"], &old["completions"]);
    }
    errors.immutable(&path.field("selector"), &new["selector"], &old["selector"]);
    errors.immutable(&path.field("template"), &new["template"], &steered(new, old));
    for field in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"]
    {
        errors.immutable(&path.field(field), &new[field], &old[field]);
    }
}

/// The old template; where the job is suspended, with the new one's say about the scheduling of its pods.
fn steered(new: &Value, old: &Value) -> Value {
    let mut template = old["template"].clone();
    if old["suspend"] != true {
        return template;
    }
    for (part, fields) in [
        ("spec", ["affinity", "nodeSelector", "tolerations", "schedulingGates"].as_slice()),
        ("metadata", ["labels", "annotations"].as_slice()),
    ] {
        for field in fields {
            object::set_or_remove(&mut template[part], field, &new["template"][part][*field]);
        }
    }
    template
}

/// `validateCronJobSpec`.
pub(super) fn cron_job(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    let schedule = text(spec, "schedule");
    if schedule.is_empty() {
        errors.required(&path.field("schedule"), "");
    } else {
        if let Err(why) = cron::check(schedule) {
            errors.invalid(&path.field("schedule"), schedule, &why);
        }
        if schedule.contains("TZ") {
            let why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
            errors.invalid(&path.field("schedule"), schedule, why);
        }
    }
    let zone = text(spec, "timeZone");
    if !zone.is_empty() && jiff::tz::TimeZone::get(zone).is_err() {
        errors.invalid(&path.field("timeZone"), zone, &format!("unknown time zone {zone}"));
    }
    not_negative(errors, spec, "startingDeadlineSeconds", path);
    pod::choice(errors, spec, "concurrencyPolicy", &["Allow", "Forbid", "Replace"], path);
    not_negative(errors, spec, "successfulJobsHistoryLimit", path);
    not_negative(errors, spec, "failedJobsHistoryLimit", path);
    let path = path.field("jobTemplate");
    let (job, path) = (&spec["jobTemplate"]["spec"], path.field("spec"));
    if job["manualSelector"] == true {
        errors.unsupported(&path.field("manualSelector"), &job["manualSelector"], &["nil", "false"]);
    }
    template(errors, job, &path);
}

/// A cron job's name leaves room for what the names of its jobs end in.
pub(super) fn cron_job_name(errors: &mut Errors, cron_job: &Value) {
    let name = object::name(cron_job);
    if name.len() > CRON_JOB_NAME {
        let root = Path::ROOT;
        let path = root.field("metadata");
        let why = format!("must be no more than {CRON_JOB_NAME} characters");
        errors.invalid(&path.field("name"), name, &why);
    }
}
