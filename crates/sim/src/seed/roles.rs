//! The default roles and bindings (`plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go`): those that people and
//! workloads get. The roles of Kubernetes' own components are left out, because none of them runs here.

use serde_json::{Value, json};

use super::Garden;
use super::bootstrap::AGE_HOURS;
use crate::rbac::GROUP;
use crate::status::ApiError;

const EVERYONE: &[&str] = &["system:authenticated", "system:unauthenticated"];
const AUTHENTICATED: &[&str] = &["system:authenticated"];
const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];
const READ_WRITE: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const CREATE: &[&str] = &["create"];

pub(super) fn plant(garden: &Garden<'_>) -> Result<(), ApiError> {
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
    let monitoring =
        ["/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/metrics/slis", "/readyz", "/readyz/*"];
    let myself = json!([
        rule("authorization.k8s.io", &["selfsubjectaccessreviews", "selfsubjectrulesreviews"], CREATE),
        rule("authentication.k8s.io", &["selfsubjectreviews"], CREATE),
    ]);
    let delegator = json!([
        rule("authentication.k8s.io", &["tokenreviews"], CREATE),
        rule("authorization.k8s.io", &["subjectaccessreviews"], CREATE),
    ]);
    for (name, rules, groups) in [
        ("cluster-admin", everything, &["system:masters"][..]),
        ("system:discovery", paths(&discovery), AUTHENTICATED),
        ("system:basic-user", myself, AUTHENTICATED),
        ("system:public-info-viewer", paths(&public), EVERYONE),
        ("system:monitoring", paths(&monitoring), &["system:monitoring"]),
        ("system:auth-delegator", delegator, &[]),
    ] {
        garden.plant(cluster_role(name, &json!({}), &rules), AGE_HOURS)?;
        if !groups.is_empty() {
            garden.plant(cluster_role_binding(name, groups), AGE_HOURS)?;
        }
    }
    plant_user_roles(garden)
}

/// `admin`, `edit` and `view`: each is made of parts, and is a part of the one above it.
fn plant_user_roles(garden: &Garden<'_>) -> Result<(), ApiError> {
    for (name, above, rules) in [
        ("admin", None, admin()),
        ("edit", Some("aggregate-to-admin"), edit()),
        ("view", Some("aggregate-to-edit"), view()),
    ] {
        let part = format!("aggregate-to-{name}");
        let label = |part: &str| json!({ format!("rbac.authorization.k8s.io/{part}"): "true" });
        let own = above.map_or(json!({}), label);
        let mut role = cluster_role(name, &own, &json!([]));
        role["aggregationRule"] = json!({ "clusterRoleSelectors": [{ "matchLabels": label(&part) }] });
        garden.plant(role, AGE_HOURS)?;
        garden.plant(cluster_role(&format!("system:{part}"), &label(&part), &rules), AGE_HOURS)?;
    }
    Ok(())
}

fn admin() -> Value {
    json!([
        rule("authorization.k8s.io", &["localsubjectaccessreviews"], CREATE),
        rule(GROUP, &["rolebindings", "roles"], READ_WRITE),
    ])
}

fn edit() -> Value {
    let run = ["pods/attach", "pods/exec", "pods/portforward", "pods/proxy"];
    json!([
        rule("", &[&run[..], &["secrets", "services/proxy"]].concat(), READ),
        rule("", &["serviceaccounts"], &["impersonate"]),
        rule("", &[&["pods"], &run[..]].concat(), WRITE),
        rule("", &["pods/eviction"], CREATE),
        rule(
            "",
            &[
                "configmaps",
                "events",
                "persistentvolumeclaims",
                "replicationcontrollers",
                "replicationcontrollers/scale",
                "secrets",
                "serviceaccounts",
                "services",
                "services/proxy",
            ],
            WRITE
        ),
        rule("", &["serviceaccounts/token"], CREATE),
        rule(
            "apps",
            &[
                "daemonsets",
                "deployments",
                "deployments/rollback",
                "deployments/scale",
                "replicasets",
                "replicasets/scale",
                "statefulsets",
                "statefulsets/scale",
            ],
            WRITE
        ),
        rule("autoscaling", &["horizontalpodautoscalers"], WRITE),
        rule("batch", &["cronjobs", "jobs"], WRITE),
        rule("policy", &["poddisruptionbudgets"], WRITE),
        rule("networking.k8s.io", &["ingresses", "networkpolicies"], WRITE),
        rule("coordination.k8s.io", &["leases"], READ_WRITE),
    ])
}

fn view() -> Value {
    json!([
        rule(
            "",
            &[
                "configmaps",
                "endpoints",
                "persistentvolumeclaims",
                "persistentvolumeclaims/status",
                "pods",
                "replicationcontrollers",
                "replicationcontrollers/scale",
                "serviceaccounts",
                "services",
                "services/status",
            ],
            READ
        ),
        rule(
            "",
            &[
                "bindings",
                "events",
                "limitranges",
                "namespaces/status",
                "pods/log",
                "pods/status",
                "replicationcontrollers/status",
                "resourcequotas",
                "resourcequotas/status",
            ],
            READ
        ),
        rule("", &["namespaces"], READ),
        rule("discovery.k8s.io", &["endpointslices"], READ),
        rule(
            "apps",
            &[
                "controllerrevisions",
                "daemonsets",
                "daemonsets/status",
                "deployments",
                "deployments/scale",
                "deployments/status",
                "replicasets",
                "replicasets/scale",
                "replicasets/status",
                "statefulsets",
                "statefulsets/scale",
                "statefulsets/status",
            ],
            READ
        ),
        rule("autoscaling", &["horizontalpodautoscalers", "horizontalpodautoscalers/status"], READ),
        rule("batch", &["cronjobs", "cronjobs/status", "jobs", "jobs/status"], READ),
        rule("policy", &["poddisruptionbudgets", "poddisruptionbudgets/status"], READ),
        rule("networking.k8s.io", &["ingresses", "ingresses/status", "networkpolicies"], READ),
    ])
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({ "apiGroups": [group], "resources": resources, "verbs": verbs })
}

fn paths(paths: &[&str]) -> Value {
    json!([{ "nonResourceURLs": paths, "verbs": ["get"] }])
}

fn metadata(name: &str) -> Value {
    json!({
        "name": name,
        "labels": { "kubernetes.io/bootstrapping": "rbac-defaults" },
        "annotations": { "rbac.authorization.kubernetes.io/autoupdate": "true" },
    })
}

fn cluster_role(name: &str, labels: &Value, rules: &Value) -> Value {
    let mut metadata = metadata(name);
    json_patch::merge(&mut metadata["labels"], labels);
    json!({ "apiVersion": format!("{GROUP}/v1"), "kind": "ClusterRole", "metadata": metadata, "rules": rules })
}

fn cluster_role_binding(role: &str, groups: &[&str]) -> Value {
    let subjects: Vec<Value> =
        groups.iter().map(|group| json!({ "apiGroup": GROUP, "kind": "Group", "name": group })).collect();
    json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": "ClusterRoleBinding",
        "metadata": metadata(role),
        "roleRef": { "apiGroup": GROUP, "kind": "ClusterRole", "name": role },
        "subjects": subjects,
    })
}
