//! What the API server fills in: `SetDefaults_*` of `pkg/apis/*/v1/defaults.go` and the `+default` markers of the
//! types, by type, so that a container gets its own in a pod as in the template of a cron job.

mod admissionregistration;
mod apps;
mod autoscaling;
mod batch;
mod containers;
mod core;
mod fill;
mod networking;
mod pods;
mod rbac;
mod services;
mod storage;
mod volumes;

use serde_json::Value;

pub(crate) use self::fill::Fields;
use crate::kinds::Kind;
use crate::schema::{self, Type};

/// Fills in the defaults of an object and of everything in it.
pub(crate) fn apply(kind: &Kind, object: &mut Value) {
    if let Some(ty) = Type::of(kind) {
        schema::walk(ty, object, &mut |ty, _, fields| {
            // What the server itself makes has not been read as a client's body is.
            schema::complete(ty, fields);
            fill(ty.name, fields);
        });
    }
}

/// Fills in the defaults of one typed map. A type is in one file, by its API group or by what it is about.
fn fill(name: &str, fields: &mut Fields) {
    let Some(name) = name.strip_prefix("io.k8s.api.") else {
        return;
    };
    let Some((group, ty)) = name.split_once('.') else {
        return;
    };
    match (group, ty) {
        ("core", "v1.Pod" | "v1.PodSpec" | "v1.PodStatus" | "v1.PodTemplateSpec" | "v1.PodCondition") => {
            pods::fill(ty, fields);
        }
        ("core", "v1.Service" | "v1.ServiceSpec" | "v1.ServicePort" | "v1.EndpointPort") => {
            services::fill(ty, fields);
        }
        ("core", _) if containers::fill(ty, fields) || volumes::fill(ty, fields) => {}
        ("core", _) => core::fill(ty, fields),
        ("apps", _) => apps::fill(ty, fields),
        ("batch", _) => batch::fill(ty, fields),
        ("autoscaling", _) => autoscaling::fill(ty, fields),
        ("networking", _) => networking::fill(ty, fields),
        ("discovery", _) => services::fill(ty, fields),
        ("rbac", _) => rbac::fill(ty, fields),
        ("storage" | "scheduling" | "policy" | "coordination", _) => storage::fill(ty, fields),
        ("admissionregistration", _) => admissionregistration::fill(ty, fields),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
