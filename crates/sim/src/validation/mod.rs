//! What objects must be like: `pkg/apis/*/validation` of Kubernetes, with its paths, reasons and texts.
//!
//! Structs of the server's own that a text would show are shown as their JSON.

mod apps;
mod autoscaling;
mod batch;
mod configuration;
mod cron;
mod errors;
mod events;
pub(crate) mod format;
mod metadata;
mod networking;
mod nodes;
pub(crate) mod options;
mod pod;
mod policy;
mod quota;
mod rbac;
mod read;
mod reviews;
mod selectors;
mod services;
mod status;
mod storage;

use serde_json::Value;

use self::errors::Errors;
use self::read::number;
pub(crate) use self::reviews::access_review;
pub(crate) use self::status::update as update_status;
use crate::kinds::Kind;
use crate::object;
use crate::schema::Path;
use crate::status::ApiError;

/// `IsNegativeErrorMsg`.
const NEGATIVE: &str = "must be greater than or equal to 0";

/// Refuses a new object that its kind does not allow.
pub(crate) fn create(kind: &Kind, object: &Value) -> Result<(), ApiError> {
    let mut errors = Errors::default();
    metadata::create(&mut errors, kind, object);
    if kind.plural == "jobs" {
        batch::generated_selector(&mut errors, object);
    }
    content(&mut errors, kind, object);
    match kind.plural {
        "pods" => pod::create(&mut errors, object),
        "cronjobs" => batch::cron_job_name(&mut errors, object),
        "priorityclasses" => policy::priority_class(&mut errors, object),
        _ => {}
    }
    errors.into_result(kind, object::name(object))
}

/// Refuses a replacement of `old` that its kind does not allow.
pub(crate) fn update(kind: &Kind, new: &Value, old: &Value) -> Result<(), ApiError> {
    let mut errors = Errors::default();
    metadata::update(&mut errors, new, old);
    if kind.plural == "pods" {
        pod::update(&mut errors, new, old);
    } else {
        content(&mut errors, kind, new);
        transition(&mut errors, kind, new, old);
    }
    errors.into_result(kind, object::name(old))
}

/// What holds for the object as it is.
fn content(errors: &mut Errors, kind: &Kind, object: &Value) {
    let root = Path::ROOT;
    let (spec, path) = (&object["spec"], root.field("spec"));
    match kind.plural {
        "deployments" => apps::deployment(errors, spec, &path),
        "replicasets" => apps::replica_set(errors, spec, &path),
        "replicationcontrollers" => apps::replication_controller(errors, spec, &path),
        "statefulsets" => apps::stateful_set(errors, spec, &path),
        "daemonsets" => apps::daemon_set(errors, spec, &path),
        "jobs" => batch::job(errors, spec, &path),
        "cronjobs" => batch::cron_job(errors, spec, &path),
        "events" => events::event(errors, object),
        "services" => services::service(errors, spec, &path),
        "endpointslices" => services::endpoint_slice(errors, object),
        "ingresses" => networking::ingress(errors, spec, &path),
        "networkpolicies" => networking::policy(errors, spec, &path),
        "poddisruptionbudgets" => policy::budget(errors, spec, &path),
        "horizontalpodautoscalers" => autoscaling::autoscaler(errors, spec, &path),
        "configmaps" => configuration::config_map(errors, object),
        "secrets" => configuration::secret(errors, object),
        "persistentvolumeclaims" => storage::claim(errors, spec, &path),
        "persistentvolumes" => storage::volume(errors, spec, &path),
        "storageclasses" => storage::class(errors, object),
        "roles" | "clusterroles" => rbac::role(errors, kind, object),
        "rolebindings" | "clusterrolebindings" => rbac::binding(errors, kind, object),
        "leases" => policy::lease(errors, spec, &path),
        "nodes" => nodes::node(errors, spec),
        "limitranges" => quota::limit_range(errors, spec, &path),
        "resourcequotas" => quota::quota(errors, spec, &path),
        _ => {}
    }
}

/// What may become of the object as it was.
fn transition(errors: &mut Errors, kind: &Kind, new: &Value, old: &Value) {
    match kind.plural {
        "deployments" | "replicasets" | "daemonsets" => apps::same_selector(errors, new, old),
        "statefulsets" => apps::stateful_set_update(errors, new, old),
        "jobs" => batch::job_update(errors, new, old),
        "services" => services::update(errors, new, old),
        "configmaps" | "secrets" => configuration::update(errors, kind, new, old),
        "persistentvolumeclaims" => storage::claim_update(errors, new, old),
        "persistentvolumes" => storage::volume_update(errors, new, old),
        "storageclasses" => storage::class_update(errors, new, old),
        "rolebindings" | "clusterrolebindings" => rbac::binding_update(errors, new, old),
        "nodes" => nodes::update(errors, new, old),
        "priorityclasses" => policy::priority_class_update(errors, new, old),
        _ => {}
    }
}

/// `ValidateNonnegativeField`.
fn not_negative(errors: &mut Errors, object: &Value, field: &str, path: &Path<'_>) {
    let value = number(object, field);
    if value < 0 {
        errors.invalid(&path.field(field), value, NEGATIVE);
    }
}

/// `ValidatePortNumOrName`.
fn port_or_name(errors: &mut Errors, port: &Value, path: &Path<'_>) {
    match port {
        Value::String(name) => errors.broken(path, name.as_str(), &format::port_name(name)),
        port => {
            let port = port.as_i64().unwrap_or_default();
            errors.broken(path, port, &format::port_number(port));
        }
    }
}

/// `ValidatePositiveIntOrPercent` and `IsNotMoreThan100Percent`.
fn int_or_percent(errors: &mut Errors, value: &Value, path: &Path<'_>) {
    positive_int_or_percent(errors, value, path);
    not_above_all(errors, value, path);
}

/// `ValidatePositiveIntOrPercent`.
fn positive_int_or_percent(errors: &mut Errors, value: &Value, path: &Path<'_>) {
    match value {
        Value::String(text) => errors.broken(path, text.as_str(), &format::percent(text)),
        value => {
            let number = value.as_i64().unwrap_or_default();
            if number < 0 {
                errors.invalid(path, number, NEGATIVE);
            }
        }
    }
}

/// `IsNotMoreThan100Percent`.
fn not_above_all(errors: &mut Errors, value: &Value, path: &Path<'_>) {
    let percent = value.as_str().and_then(|text| text.strip_suffix('%')?.parse::<i64>().ok());
    if percent.is_some_and(|percent| percent > 100) {
        errors.invalid(path, value, "must not be greater than 100%");
    }
}

#[cfg(test)]
mod tests;
