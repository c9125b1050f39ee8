//! `StorageObjectInUseProtection`: what is in use is not gone before its users.

use serde_json::Value;

use super::list;

pub(super) fn protect(object: &mut Value, finalizer: &str) {
    if let Some(finalizers) = list(object, "metadata", "finalizers")
        && !finalizers.iter().any(|present| present == finalizer)
    {
        finalizers.push(finalizer.into());
    }
}
