//! JSON Patch (RFC 6902).

use json_patch::PatchOperation;
use serde_json::Value;

use super::too_deep;
use crate::json;
use crate::status::ApiError;

/// `maxJSONPatchOperations` in `apiserver/pkg/endpoints/handlers/patch.go`.
const MAX_OPERATIONS: usize = 10_000;
/// How many bytes all `copy` operations may add (`jsonpatch.AccumulatedCopySizeLimit` in
/// `apiserver/pkg/server/config.go`: the limit of a body).
const MAX_COPIED: usize = 3 * 1024 * 1024;

/// How many elements of lists all operations may move by putting one in or taking one out. The real server has no such
/// bound; this one is far beyond what patches of objects of 3 MiB are for.
const MAX_MOVED: usize = 20_000_000;

pub(super) fn apply(current: &mut Value, body: &[u8]) -> Result<(), ApiError> {
    let operations =
        read(body).map_err(|why| ApiError::bad_request(format!("error decoding patch: {why}")))?;
    if operations.len() > MAX_OPERATIONS {
        return Err(ApiError::too_many_operations(MAX_OPERATIONS, operations.len()));
    }
    let mut patched = current.clone();
    let (mut copied, mut moved) = (0, 0);
    for operation in operations {
        let operation: PatchOperation =
            serde_json::from_value(operation).map_err(|_| ApiError::patch_rejected())?;
        let below = operation.path().count();
        let deepens = match &operation {
            PatchOperation::Add(add) => too_deep(&add.value, below),
            PatchOperation::Replace(replace) => too_deep(&replace.value, below),
            PatchOperation::Copy(copy) => {
                let source = copy.from.resolve(&patched).map_err(|_| ApiError::patch_rejected())?;
                let deepens = too_deep(source, below);
                if !deepens {
                    copied += source.to_string().len();
                }
                deepens
            }
            PatchOperation::Move(from) => {
                too_deep(from.from.resolve(&patched).map_err(|_| ApiError::patch_rejected())?, below)
            }
            PatchOperation::Remove(_) | PatchOperation::Test(_) => false,
        };
        moved += siblings(&patched, &operation);
        if deepens || copied > MAX_COPIED || moved > MAX_MOVED {
            return Err(ApiError::patch_rejected());
        }
        json_patch::patch_unsafe(&mut patched, &[operation]).map_err(|_| ApiError::patch_rejected())?;
    }
    *current = patched;
    Ok(())
}

/// The operations, which may still say what cannot be done.
fn read(body: &[u8]) -> Result<Vec<Value>, String> {
    match json::read(body)? {
        Value::Array(operations) => {
            operations.iter().try_for_each(check_types)?;
            Ok(operations)
        }
        Value::Null => Ok(Vec::new()),
        other => Err(json::mismatch(&other, "value of type []handlers.jsonPatchOp")),
    }
}

fn check_types(operation: &Value) -> Result<(), String> {
    let fields = match operation {
        Value::Object(fields) => fields,
        Value::Null => return Ok(()),
        other => return Err(json::mismatch(other, "value of type handlers.jsonPatchOp")),
    };
    ["op", "path", "from"].into_iter().try_for_each(|name| match fields.get(name) {
        None | Some(Value::Null | Value::String(_)) => Ok(()),
        Some(other) => Err(json::mismatch(other, &format!("struct field jsonPatchOp.{name} of type string"))),
    })
}

/// How many elements the list has that an operation puts something into or takes something out of.
fn siblings(document: &Value, operation: &PatchOperation) -> usize {
    let parent = operation.path().parent().and_then(|parent| parent.resolve(document).ok());
    parent.and_then(Value::as_array).map_or(0, Vec::len)
}
