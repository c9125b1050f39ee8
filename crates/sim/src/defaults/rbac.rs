//! Roles and bindings: `pkg/apis/rbac/v1/defaults.go`.

use super::fill::{Fields, map, text, zero};

const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) fn fill(ty: &str, fields: &mut Fields) {
    match ty {
        "v1.ClusterRoleBinding" | "v1.RoleBinding" => {
            if let Some(role) = map(fields, "roleRef") {
                zero(role, "apiGroup", GROUP);
            }
        }
        // Service accounts are of the core group, whose name is empty.
        "v1.Subject" if matches!(text(fields, "kind"), "User" | "Group") => zero(fields, "apiGroup", GROUP),
        _ => {}
    }
}
