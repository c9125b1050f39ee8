//! Pods and their templates: `ValidatePodSpec` in `pkg/apis/core/validation/validation.go`.

mod containers;
mod env;
mod probes;
mod resources;
mod scheduling;
mod update;
mod volumes;

use serde_json::Value;

use super::errors::Errors;
use super::format;
use super::metadata;
use super::read::{given, is_empty, items, number, text};
use crate::schema::Path;

pub(super) use self::resources::amount;
pub(super) use self::scheduling::taint_effect;
pub(super) use self::update::update;

/// A new pod.
pub(super) fn create(errors: &mut Errors, pod: &Value) {
    let root = Path::ROOT;
    let path = root.field("spec");
    spec(errors, &pod["spec"], &path);
    // They come by a subresource of their own.
    if !is_empty(&pod["spec"]["ephemeralContainers"]) {
        errors.forbidden(&path.field("ephemeralContainers"), "cannot be set on create");
    }
}

/// `ValidatePodTemplateSpec`.
pub(super) fn template(errors: &mut Errors, template: &Value, path: &Path<'_>) {
    // The paths leave `metadata` out, as those of the original do.
    metadata::labels(errors, &template["metadata"]["labels"], &path.field("labels"));
    metadata::annotations(errors, &template["metadata"]["annotations"], &path.field("annotations"));
    let path = path.field("spec");
    spec(errors, &template["spec"], &path);
    if !is_empty(&template["spec"]["ephemeralContainers"]) {
        let why = "ephemeral containers not allowed in pod template";
        errors.forbidden(&path.field("ephemeralContainers"), why);
    }
}

fn spec(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    let volumes = volumes::volumes(errors, &spec["volumes"], &path.field("volumes"));
    containers::all(errors, spec, &volumes, path);
    choice(errors, spec, "restartPolicy", &["Always", "OnFailure", "Never"], path);
    choice(errors, spec, "dnsPolicy", &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"], path);
    metadata::labels(errors, &spec["nodeSelector"], &path.field("nodeSelector"));
    pull_secrets(errors, spec, path);
    scheduling::affinity(errors, &spec["affinity"], &path.field("affinity"));
    scheduling::spread(errors, spec, &path.field("topologySpreadConstraints"));
    names(errors, spec, path);
    deadline(errors, spec, path);
    scheduling::tolerations(errors, &spec["tolerations"], &path.field("tolerations"));
    if given(spec, "preemptionPolicy") {
        choice(errors, spec, "preemptionPolicy", &["PreemptLowerPriority", "Never"], path);
    }
}

/// A field with a fixed set of values; without a default it is required.
pub(super) fn choice(errors: &mut Errors, object: &Value, field: &str, supported: &[&str], path: &Path<'_>) {
    let path = path.field(field);
    match text(object, field) {
        "" => errors.required(&path, ""),
        value if supported.contains(&value) => {}
        value => errors.unsupported(&path, value, supported),
    }
}

fn pull_secrets(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    let path = path.field("imagePullSecrets");
    for (index, secret) in items(&spec["imagePullSecrets"]) {
        if text(secret, "name").is_empty() {
            let path = path.index(index);
            errors.required(&path.field("name"), "");
        }
    }
}

/// Answers with what a text breaks.
type Rule = fn(&str) -> Vec<String>;

/// The names of other things in a pod's spec.
fn names(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    let rules: [(&str, Rule); 6] = [
        ("serviceAccountName", format::dns_subdomain),
        ("nodeName", format::dns_subdomain),
        ("hostname", format::dns_label),
        ("subdomain", format::dns_label),
        ("priorityClassName", format::dns_subdomain),
        ("runtimeClassName", format::dns_subdomain),
    ];
    for (field, rule) in rules {
        let name = text(spec, field);
        if !name.is_empty() {
            errors.broken(&path.field(field), name, &rule(name));
        }
    }
}

fn deadline(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    if given(spec, "activeDeadlineSeconds") {
        let seconds = number(spec, "activeDeadlineSeconds");
        let rules = format::range(seconds, 1, i64::from(i32::MAX));
        errors.broken(&path.field("activeDeadlineSeconds"), seconds, &rules);
    }
}
