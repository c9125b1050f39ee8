//! The endpoints below an object: `log`, `status`, `scale`, `eviction`, `binding`, `finalize`.

use axum::response::Response;
use serde_json::{Value, json};

use super::objects::Call;
use super::{answer, logs, reviews, write};
use crate::api::{Part, scale};
use crate::object;
use crate::schema::Root;
use crate::status::ApiError;

/// Answers a request about a part of an object.
pub(super) fn serve(call: &Call<'_>, verb: &str) -> Result<Response, ApiError> {
    match (call.path.subresource.as_str(), verb) {
        ("log", "get") => logs::serve(call),
        ("status", "get") => call.respond(200, &*call.get()?),
        ("status", "update") => write::replace(call, Part::Status),
        ("status", "patch") => write::patch_part(call, Part::Status),
        ("finalize", "update") => write::replace(call, Part::Finalize),
        ("scale", "get") => respond_scale(call, scale::of(&*call.get()?)),
        ("scale", "update" | "patch") => update_scale(call, verb),
        ("eviction", "create") => evict(call),
        ("binding", "create") => bind(call),
        ("token", "create") => reviews::request_token(call),
        _ => Err(ApiError::method_not_allowed()),
    }
}

fn update_scale(call: &Call<'_>, verb: &str) -> Result<Response, ApiError> {
    let (path, mut options) = (call.path, call.write_options()?);
    let replacement = match verb {
        "update" => Some(call.decode_as("autoscaling", "v1", "Scale")?),
        _ => None,
    };
    if let Some(scale) = &replacement {
        options.uid = object::field(scale, "metadata.uid");
    }
    let change = |scale: &mut Value| {
        match replacement {
            Some(replacement) => *scale = replacement,
            None => {
                let root =
                    Root::find("autoscaling", "v1", "Scale").ok_or_else(ApiError::unsupported_patch)?;
                write::apply_patch(call, root, scale)?;
            }
        }
        call.set_namespace(scale)?;
        call.check_name(scale)
    };
    let updated = call.server.api.update_scale(call.kind, &path.namespace, &path.name, &options, change)?;
    respond_scale(call, scale::of(&updated))
}

fn respond_scale(call: &Call<'_>, scale: Value) -> Result<Response, ApiError> {
    let rendered = call.rendering.object(call.kind, &scale, call.server.api.clock().now())?;
    Ok(answer::json(200, &rendered.unwrap_or(scale)))
}

fn evict(call: &Call<'_>) -> Result<Response, ApiError> {
    let mut write = call.write_options()?;
    let eviction = call.decode_below("policy", "v1", "Eviction")?;
    call.check_name_below(&eviction, "Eviction")?;
    let (options, dry_run) = write::read_delete_options(&eviction["deleteOptions"])?;
    write.dry_run |= dry_run;
    call.server.api.evict_with(&call.path.namespace, &call.path.name, &options, &write)?;
    Ok(success())
}

fn bind(call: &Call<'_>) -> Result<Response, ApiError> {
    let options = call.write_options()?;
    let binding = call.decode_below("", "v1", "Binding")?;
    call.check_name_below(&binding, "Binding")?;
    let target = |field: &str| binding["target"][field].as_str().unwrap_or_default();
    check_target(target("kind"), target("name"))?;
    call.server.api.bind_with(&call.path.namespace, &call.path.name, target("name"), &options)?;
    Ok(success())
}

/// `ValidatePodBinding`; the errors are told together, without a reason (`ToAggregate`).
fn check_target(kind: &str, name: &str) -> Result<(), ApiError> {
    let mut errors = Vec::new();
    if !["", "Node"].contains(&kind) {
        errors.push(format!(
            "target.kind: Unsupported value: {kind:?}: supported values: \"Node\", \"<empty>\""
        ));
    }
    if name.is_empty() {
        errors.push("target.name: Required value".to_owned());
    }
    match errors.as_slice() {
        [] => Ok(()),
        [error] => Err(ApiError::unexplained(error)),
        errors => Err(ApiError::unexplained(format!("[{}]", errors.join(", ")))),
    }
}

fn success() -> Response {
    let body =
        json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 });
    answer::json(201, &body)
}
