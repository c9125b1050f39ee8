//! JSON Patch (RFC 6902).

use json_patch::PatchOperation;
use serde_json::Value;

use super::too_deep;
use crate::status::ApiError;

/// `maxJSONPatchOperations` in `apiserver/pkg/endpoints/handlers/patch.go`.
const MAX_OPERATIONS: usize = 10_000;
/// How many bytes all `copy` operations may add (`jsonpatch.AccumulatedCopySizeLimit` in
/// `apiserver/pkg/server/config.go`: the limit of a body).
const MAX_COPIED: usize = 3 * 1024 * 1024;

pub(super) fn apply(current: &mut Value, body: &[u8]) -> Result<(), ApiError> {
    let patch: Value =
        serde_json::from_slice(body).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let Value::Array(operations) = patch else {
        let found = crate::schema::json_type(&patch);
        let message = format!("json: cannot unmarshal {found} into Go value of type jsonpatch.Patch");
        return Err(ApiError::bad_request(message));
    };
    if operations.len() > MAX_OPERATIONS {
        return Err(ApiError::too_many_operations(MAX_OPERATIONS, operations.len()));
    }
    let mut patched = current.clone();
    let mut copied = 0;
    for operation in operations {
        let operation = serde_json::from_value(operation).map_err(|_| ApiError::patch_rejected())?;
        if let PatchOperation::Copy(copy) = &operation {
            let source = copy.from.resolve(&patched).map_err(|_| ApiError::patch_rejected())?;
            copied += source.to_string().len();
        }
        if copied > MAX_COPIED {
            return Err(ApiError::patch_rejected());
        }
        json_patch::patch_unsafe(&mut patched, &[operation]).map_err(|_| ApiError::patch_rejected())?;
    }
    if too_deep(&patched) {
        return Err(ApiError::patch_rejected());
    }
    *current = patched;
    Ok(())
}
