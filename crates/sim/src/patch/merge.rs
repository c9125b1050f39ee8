//! Merge patch (RFC 7386): `null` deletes, maps are merged, all else is replaced.

use serde_json::Value;

use crate::status::ApiError;

pub(super) fn apply(current: &mut Value, body: &[u8]) -> Result<(), ApiError> {
    let patch: Value =
        serde_json::from_slice(body).map_err(|_| ApiError::bad_request("Invalid JSON Patch"))?;
    if !matches!(patch, Value::Object(_) | Value::Array(_)) {
        return Err(ApiError::bad_request("Invalid JSON Patch"));
    }
    json_patch::merge(current, &patch);
    Ok(())
}
