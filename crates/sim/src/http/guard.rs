//! Roles and bindings are written by those alone who may give what they grant.

use serde_json::Value;

use super::objects::Call;
use crate::object;
use crate::rbac;
use crate::status::ApiError;

/// Before an object is created.
pub(super) fn creation(call: &Call<'_>, object: &Value) -> Result<(), ApiError> {
    rbac::check_escalation(&call.server.api, call.user, call.kind, None, object)
}

/// Before an object is changed; `change` is made to a copy of it.
pub(super) fn change(
    call: &Call<'_>,
    change: impl FnOnce(&mut Value) -> Result<(), ApiError>,
) -> Result<(), ApiError> {
    if call.kind.group != rbac::GROUP {
        return Ok(());
    }
    let present = call.get()?;
    let mut wanted = Value::clone(&present);
    change(&mut wanted)?;
    object::check_shape(call.kind, &wanted)?;
    rbac::check_escalation(&call.server.api, call.user, call.kind, Some(&present), &wanted)
}
