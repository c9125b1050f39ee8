//! Merge patch (RFC 7386): `null` deletes, maps are merged, all else is replaced.

use serde_json::Value;

use crate::json;
use crate::status::ApiError;

pub(super) fn apply(current: &mut Value, body: &[u8]) -> Result<(), ApiError> {
    let patch =
        json::read_map(body).map_err(|why| ApiError::bad_request(format!("error decoding patch: {why}")))?;
    json_patch::merge(current, &Value::Object(patch));
    Ok(())
}
