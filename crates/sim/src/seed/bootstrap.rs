//! What every cluster has from its first start: namespaces and the default RBAC objects.

use serde_json::json;

use super::{Garden, roles};
use crate::status::ApiError;

/// How long ago the cluster was made.
pub(super) const AGE_HOURS: u32 = 24 * 92;

pub(super) fn plant(garden: &Garden<'_>) -> Result<(), ApiError> {
    for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
        namespace(garden, name, AGE_HOURS)?;
    }
    roles::plant(garden)
}

/// A namespace with nothing in it.
pub(super) fn namespace(garden: &Garden<'_>, name: &str, age_hours: u32) -> Result<(), ApiError> {
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
    garden.plant(namespace, age_hours).map(drop)
}
