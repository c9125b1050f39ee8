//! Workloads: `pkg/apis/apps/validation/validation.go`.

use serde_json::{Value, json};

use super::errors::Errors;
use super::read::{given, number, text};
use super::selectors::{fits_template, of_workload, unusable};
use super::{not_above_all, not_negative, pod, positive_int_or_percent};
use crate::schema::Path;

/// `ValidateDeploymentSpec`.
pub(super) fn deployment(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    not_negative(errors, spec, "replicas", path);
    if of_workload(errors, spec, path, "empty selector is invalid for deployment") {
        fits_template(errors, spec, path);
        template(errors, spec, path, "ReplicaSet");
    } else {
        unusable(errors, spec, path, "invalid label selector");
    }
    deployment_strategy(errors, &spec["strategy"], &path.field("strategy"));
    not_negative(errors, spec, "minReadySeconds", path);
    not_negative(errors, spec, "revisionHistoryLimit", path);
    if given(spec, "progressDeadlineSeconds") {
        not_negative(errors, spec, "progressDeadlineSeconds", path);
        let deadline = number(spec, "progressDeadlineSeconds");
        if deadline <= number(spec, "minReadySeconds") {
            let path = path.field("progressDeadlineSeconds");
            errors.invalid(&path, deadline, "must be greater than minReadySeconds");
        }
    }
}

/// `ValidateReplicaSetSpec`; the text does speak of deployments.
pub(super) fn replica_set(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    not_negative(errors, spec, "replicas", path);
    not_negative(errors, spec, "minReadySeconds", path);
    if of_workload(errors, spec, path, "empty selector is invalid for deployment") {
        fits_template(errors, spec, path);
        template(errors, spec, path, "ReplicaSet");
    } else {
        unusable(errors, spec, path, "invalid label selector");
    }
}

/// `ValidateReplicationControllerSpec`: the selector is a plain map.
pub(super) fn replication_controller(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    not_negative(errors, spec, "minReadySeconds", path);
    not_negative(errors, spec, "replicas", path);
    if super::read::is_empty(&spec["selector"]) {
        errors.required(&path.field("selector"), "");
    }
    if spec["template"].is_null() {
        errors.required(&path.field("template"), "");
        return;
    }
    let plain =
        serde_json::json!({ "selector": { "matchLabels": spec["selector"] }, "template": spec["template"] });
    fits_template(errors, &plain, path);
    template(errors, &plain, path, "ReplicationController");
}

/// `ValidateStatefulSetSpec`.
pub(super) fn stateful_set(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    let policy = text(spec, "podManagementPolicy");
    match policy {
        "" => errors.required(&path.field("podManagementPolicy"), ""),
        "OrderedReady" | "Parallel" => {}
        policy => {
            let why = "must be 'OrderedReady' or 'Parallel'";
            errors.invalid(&path.field("podManagementPolicy"), policy, why);
        }
    }
    stateful_set_strategy(errors, &spec["updateStrategy"], &path.field("updateStrategy"));
    not_negative(errors, spec, "replicas", path);
    not_negative(errors, spec, "minReadySeconds", path);
    not_negative(errors, &spec["ordinals"], "start", &path.field("ordinals"));
    if of_workload(errors, spec, path, "empty selector is invalid for statefulset") {
        fits_template(errors, spec, path);
        template(errors, &with_claims(spec), path, "StatefulSet");
    } else {
        unusable(errors, spec, path, "");
    }
}

/// The spec of a stateful set whose pods have a volume for each claim template, as its controller will give them one.
fn with_claims(spec: &Value) -> Value {
    let mut spec = spec.clone();
    let claims = spec["volumeClaimTemplates"].as_array().into_iter().flatten();
    let claims: Vec<String> = claims.map(|claim| text(&claim["metadata"], "name").to_owned()).collect();
    let Some(pod) = spec.pointer_mut("/template/spec").and_then(Value::as_object_mut) else { return spec };
    let volumes = pod.entry("volumes").or_insert_with(|| Value::Array(Vec::new()));
    if let Some(volumes) = volumes.as_array_mut() {
        volumes.retain(|volume| !claims.iter().any(|claim| volume["name"] == **claim));
        let volume =
            |claim: &String| json!({ "name": claim, "persistentVolumeClaim": { "claimName": claim } });
        volumes.extend(claims.iter().map(volume));
    }
    spec
}

/// `ValidateDaemonSetSpec`.
pub(super) fn daemon_set(errors: &mut Errors, spec: &Value, path: &Path<'_>) {
    if of_workload(errors, spec, path, "empty selector is invalid for daemonset") {
        fits_template(errors, spec, path);
    }
    template(errors, spec, path, "DaemonSet");
    not_negative(errors, spec, "minReadySeconds", path);
    daemon_set_strategy(errors, &spec["updateStrategy"], &path.field("updateStrategy"));
    not_negative(errors, spec, "revisionHistoryLimit", path);
}

/// The template of pods that run for ever: `ValidatePodTemplateSpecForReplicaSet` and its likes.
fn template(errors: &mut Errors, spec: &Value, path: &Path<'_>, owner: &str) {
    let path = path.field("template");
    pod::template(errors, &spec["template"], &path);
    let (pod, path) = (&spec["template"]["spec"], path.field("spec"));
    let policy = text(pod, "restartPolicy");
    if policy != "Always" {
        errors.unsupported(&path.field("restartPolicy"), policy, &["Always"]);
    }
    if given(pod, "activeDeadlineSeconds") {
        let why = format!("activeDeadlineSeconds in {owner} is not Supported");
        errors.forbidden(&path.field("activeDeadlineSeconds"), &why);
    }
}

/// `ValidateDeploymentStrategy`.
fn deployment_strategy(errors: &mut Errors, strategy: &Value, path: &Path<'_>) {
    let update = &strategy["rollingUpdate"];
    match text(strategy, "type") {
        "Recreate" if !update.is_null() => {
            let why = "may not be specified when strategy `type` is 'Recreate'";
            errors.forbidden(&path.field("rollingUpdate"), why);
        }
        "Recreate" => {}
        "RollingUpdate" => {
            let path = path.field("rollingUpdate");
            let unavailable = path.field("maxUnavailable");
            positive_int_or_percent(errors, &update["maxUnavailable"], &unavailable);
            positive_int_or_percent(errors, &update["maxSurge"], &path.field("maxSurge"));
            if is_none(&update["maxUnavailable"]) && is_none(&update["maxSurge"]) {
                let why = "may not be 0 when `maxSurge` is 0";
                errors.invalid(&unavailable, &update["maxUnavailable"], why);
            }
            not_above_all(errors, &update["maxUnavailable"], &unavailable);
        }
        _ => errors.unsupported(path, strategy, &["Recreate", "RollingUpdate"]),
    }
}

/// `ValidateRollingUpdateDaemonSet`.
fn daemon_set_strategy(errors: &mut Errors, strategy: &Value, path: &Path<'_>) {
    let update = &strategy["rollingUpdate"];
    match text(strategy, "type") {
        "OnDelete" => {}
        "RollingUpdate" => {
            let path = path.field("rollingUpdate");
            let (unavailable, over) = (&update["maxUnavailable"], &update["maxSurge"]);
            let both = [(unavailable, path.field("maxUnavailable")), (over, path.field("maxSurge"))];
            both.iter().for_each(|(value, path)| positive_int_or_percent(errors, value, path));
            both.iter().for_each(|(value, path)| not_above_all(errors, value, path));
            match (is_none(unavailable), is_none(over)) {
                (true, true) => {
                    errors.required(&path.field("maxUnavailable"), "cannot be 0 when maxSurge is 0");
                }
                (false, false) => {
                    let why = "may not be set when maxUnavailable is non-zero";
                    errors.invalid(&path.field("maxSurge"), over, why);
                }
                (true, false) | (false, true) => {}
            }
        }
        kind => errors.unsupported(&path.field("type"), kind, &["RollingUpdate", "OnDelete"]),
    }
}

fn stateful_set_strategy(errors: &mut Errors, strategy: &Value, path: &Path<'_>) {
    let update = &strategy["rollingUpdate"];
    match text(strategy, "type") {
        "" => errors.required(path, ""),
        "OnDelete" if !update.is_null() => {
            let why = "only allowed for updateStrategy 'RollingUpdate'";
            errors.invalid(&path.field("rollingUpdate"), update, why);
        }
        "OnDelete" => {}
        "RollingUpdate" => not_negative(errors, update, "partition", &path.field("rollingUpdate")),
        _ => errors.invalid(path, strategy, "must be 'RollingUpdate' or 'OnDelete'"),
    }
}

/// `getIntOrPercentValue`: a text that is no percentage is worth nothing.
fn is_none(amount: &Value) -> bool {
    match amount.as_str() {
        Some(text) => text.strip_suffix('%').unwrap_or(text).parse::<i64>().unwrap_or_default() == 0,
        None => amount.as_i64() == Some(0),
    }
}

/// What the strategies of `apps/v1` add to the validation: `ValidateUpdate`.
pub(super) fn same_selector(errors: &mut Errors, new: &Value, old: &Value) {
    let root = Path::ROOT;
    let path = root.field("spec");
    let (new, old) = (&new["spec"]["selector"], &old["spec"]["selector"]);
    if new != old && !new.is_null() {
        let shown = super::errors::show_selector(new);
        errors.invalid(&path.field("selector"), super::errors::Raw(&shown), "field is immutable");
    } else {
        errors.immutable(&path.field("selector"), new, old);
    }
}

/// `ValidateStatefulSetUpdate`.
pub(super) fn stateful_set_update(errors: &mut Errors, new: &Value, old: &Value) {
    const CHANGEABLE: [&str; 7] = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let fixed = |object: &Value| {
        let mut spec = object["spec"].clone();
        if let Some(spec) = spec.as_object_mut() {
            spec.retain(|field, _| !CHANGEABLE.contains(&field.as_str()));
        }
        spec
    };
    if fixed(new) != fixed(old) {
        let root = Path::ROOT;
        let why = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                   'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                   'minReadySeconds' are forbidden";
        errors.forbidden(&root.field("spec"), why);
    }
}
