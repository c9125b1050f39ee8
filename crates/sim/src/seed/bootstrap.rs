//! What every cluster has from its first start: namespaces and the default RBAC objects.

use serde_json::{Value, json};

use super::Garden;
use crate::status::ApiError;

/// How long ago the cluster was made.
const AGE_HOURS: u32 = 24 * 92;
const RBAC: &str = "rbac.authorization.k8s.io";

pub(super) fn plant(garden: &Garden<'_>) -> Result<(), ApiError> {
    for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
        namespace(garden, name, AGE_HOURS)?;
    }
    let everything = json!([
        { "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] },
        { "nonResourceURLs": ["*"], "verbs": ["*"] },
    ]);
    let discovery = [
        "/api",
        "/api/*",
        "/apis",
        "/apis/*",
        "/healthz",
        "/livez",
        "/openapi",
        "/openapi/*",
        "/readyz",
        "/version",
        "/version/",
    ];
    let public = ["/healthz", "/livez", "/readyz", "/version", "/version/"];
    for (role, rules, groups) in [
        ("cluster-admin", everything, vec!["system:masters"]),
        ("system:discovery", urls(&discovery), vec!["system:authenticated"]),
        ("system:public-info-viewer", urls(&public), vec!["system:authenticated", "system:unauthenticated"]),
    ] {
        let labels = json!({ "kubernetes.io/bootstrapping": "rbac-defaults" });
        garden.plant(cluster_role(role, &labels, &rules), AGE_HOURS)?;
        garden.plant(cluster_role_binding(role, &labels, &groups), AGE_HOURS)?;
    }
    Ok(())
}

/// A namespace with nothing in it.
pub(super) fn namespace(garden: &Garden<'_>, name: &str, age_hours: u32) -> Result<(), ApiError> {
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
    garden.plant(namespace, age_hours).map(drop)
}

fn urls(urls: &[&str]) -> Value {
    json!([{ "nonResourceURLs": urls, "verbs": ["get"] }])
}

fn cluster_role(name: &str, labels: &Value, rules: &Value) -> Value {
    json!({
        "apiVersion": format!("{RBAC}/v1"),
        "kind": "ClusterRole",
        "metadata": { "name": name, "labels": labels },
        "rules": rules,
    })
}

fn cluster_role_binding(role: &str, labels: &Value, groups: &[&str]) -> Value {
    let subjects: Vec<Value> =
        groups.iter().map(|group| json!({ "apiGroup": RBAC, "kind": "Group", "name": group })).collect();
    json!({
        "apiVersion": format!("{RBAC}/v1"),
        "kind": "ClusterRoleBinding",
        "metadata": { "name": role, "labels": labels },
        "roleRef": { "apiGroup": RBAC, "kind": "ClusterRole", "name": role },
        "subjects": subjects,
    })
}
