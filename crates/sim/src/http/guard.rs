//! Roles and bindings are written by those alone who may give what they grant.

use serde_json::Value;

use super::objects::Call;
use crate::object;
use crate::rbac::{self, Attempt};
use crate::status::ApiError;

/// Before an object is created.
pub(super) fn creation(call: &Call<'_>, object: &Value) -> Result<(), ApiError> {
    rbac::check_escalation(&call.server.api, call.user, call.kind, None, object)
}

/// Before an object is changed.
pub(super) fn change(call: &Call<'_>, present: &Value, wanted: &Value) -> Result<(), ApiError> {
    if call.kind.group != rbac::GROUP {
        return Ok(());
    }
    object::check_shape(call.kind, wanted)?;
    rbac::check_escalation(&call.server.api, call.user, call.kind, Some(present), wanted)
}

/// Before a request that is no creation by its method creates an object: whoever may write it may not yet create it
/// (`withAuthorization` of `apiserver/pkg/endpoints/handlers/create.go`).
pub(super) fn creation_by_write(call: &Call<'_>, object: &Value) -> Result<(), ApiError> {
    let attempt = Attempt {
        verb: "create",
        group: call.kind.group,
        resource: call.kind.plural,
        namespace: &call.path.namespace,
        name: &call.path.name,
        ..Attempt::default()
    };
    rbac::authorize(&call.server.api, call.user, &attempt)?;
    creation(call, object)
}
