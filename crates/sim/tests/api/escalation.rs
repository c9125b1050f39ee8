//! Nobody gives rights that they do not have; roles that are made of others.

use std::time::Duration;

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};
use sim::{Options, Seed, kinds};

use crate::common::{Cluster, answer, cluster, cluster_with};

const RBAC: &str = "rbac.authorization.k8s.io";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";
const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";

fn role(name: &str, rules: &Value) -> Value {
    json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": "Role", "rules": rules,
        "metadata": { "name": name, "namespace": "default" },
    })
}

fn binding(name: &str, role_kind: &str, role: &str) -> Value {
    json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": "RoleBinding",
        "metadata": { "name": name, "namespace": "default" },
        "roleRef": { "apiGroup": RBAC, "kind": role_kind, "name": role },
        "subjects": [{ "kind": "User", "apiGroup": RBAC, "name": "jane" }],
    })
}

async fn as_jane(cluster: &Cluster, method: Method, path: &str, body: &Value) -> Result<(u16, Value)> {
    let content = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    let request = cluster.request(method, path).header("Content-Type", content).body(body.to_string());
    answer(request.header("Impersonate-User", "jane")).await
}

#[tokio::test]
async fn nobody_gives_what_they_do_not_have() -> Result<()> {
    let cluster = cluster(Seed::Empty).await?;
    let api = cluster.sim.api();
    let pods = |verbs: &[&str]| json!({ "apiGroups": [""], "resources": ["pods"], "verbs": verbs });
    let manage = json!({ "apiGroups": [RBAC], "resources": ["roles", "rolebindings"], "verbs": ["*"] });
    api.create(role("manager", &json!([pods(&["get", "list"]), {
        "apiGroups": [RBAC], "resources": ["roles", "rolebindings"], "verbs": ["create", "get", "patch", "update"],
    }])))?;
    api.create(binding("manager", "Role", "manager"))?;

    assert_eq!(as_jane(&cluster, Method::POST, ROLES, &role("ok", &json!([pods(&["get"])]))).await?.0, 201);
    let wanted = role(
        "more",
        &json!([pods(&["list", "delete", "create"]), {
            "apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": ["web"], "verbs": ["get"],
        }]),
    );
    let (status, body) = as_jane(&cluster, Method::POST, ROLES, &wanted).await?;
    let message = "roles.rbac.authorization.k8s.io \"more\" is forbidden: user \"jane\" \
                   (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n\
                   {APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"create\" \"delete\"]}\n\
                   {APIGroups:[\"apps\"], Resources:[\"deployments\"], ResourceNames:[\"web\"], Verbs:[\"get\"]}";
    assert_eq!((status, &body["message"]), (403, &json!(message)));

    let own = format!("{ROLES}/ok");
    let labels = json!({ "metadata": { "labels": { "a": "b" } } });
    assert_eq!(as_jane(&cluster, Method::PATCH, &own, &labels).await?.0, 200, "the rules stay as they are");
    let rules = json!({ "rules": [pods(&["*"])] });
    assert_eq!(as_jane(&cluster, Method::PATCH, &own, &rules).await?.0, 403);
    assert_eq!(as_jane(&cluster, Method::PUT, &own, &role("ok", &rules["rules"])).await?.0, 403);

    let strong = binding("strong", "ClusterRole", "cluster-admin");
    assert_eq!(as_jane(&cluster, Method::POST, BINDINGS, &strong).await?.0, 403);
    let weak = binding("weak", "Role", "ok");
    assert_eq!(as_jane(&cluster, Method::POST, BINDINGS, &weak).await?.0, 201);
    let missing = binding("missing", "Role", "none");
    assert_eq!(as_jane(&cluster, Method::POST, BINDINGS, &missing).await?.0, 404);

    api.create(role("free", &json!([manage])))?;
    api.create(binding("free", "Role", "free"))?;
    assert_eq!(as_jane(&cluster, Method::POST, ROLES, &wanted).await?.0, 201, "by the verb `escalate`");
    Ok(())
}

#[tokio::test]
async fn a_role_has_the_rules_of_its_parts() -> Result<()> {
    let cluster = cluster_with(Options { seed: Seed::Empty, ..Options::default() }).await?;
    let api = cluster.sim.api();
    let widgets = json!({ "apiGroups": ["x"], "resources": ["widgets"], "verbs": ["get"] });
    let mut revision = api.revision();
    api.create(json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRole", "rules": [widgets],
        "metadata": { "name": "widgets", "labels": { "rbac.authorization.k8s.io/aggregate-to-view": "true" } },
    }))?;
    let reach = async {
        // What is in `view` is in `edit` and `admin`, too.
        while !api.get(kinds::CLUSTER_ROLES, "", "admin")?["rules"].to_string().contains("widgets") {
            revision.changed().await?;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(10), reach).await??;
    api.create(binding("viewer", "ClusterRole", "view"))?;
    let get = async |path: &str| {
        let request = cluster.request(Method::GET, path).header("Impersonate-User", "jane");
        anyhow::Ok(request.send().await?.status().as_u16())
    };
    assert_eq!(get("/api/v1/namespaces/default/configmaps").await?, 200);
    assert_eq!(get("/api/v1/namespaces/default/secrets").await?, 403);
    assert_eq!(get("/api/v1/namespaces/kube-system/configmaps").await?, 403);
    Ok(())
}
