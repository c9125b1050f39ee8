//! Nobody gives rights that they do not have; roles that are made of others.

use anyhow::Result;
use k8s_openapi::api::rbac::v1::ClusterRole;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Cluster, eventually};

use crate::common::{anywhere, get_as};

const RBAC: &str = "rbac.authorization.k8s.io";

fn role(name: &str, rules: &Value) -> Value {
    json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": "Role", "rules": rules,
        "metadata": { "name": name },
    })
}

fn binding(name: &str, role_kind: &str, role: &str) -> Value {
    json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": "RoleBinding",
        "metadata": { "name": name },
        "roleRef": { "apiGroup": RBAC, "kind": role_kind, "name": role },
        "subjects": [{ "kind": "User", "apiGroup": RBAC, "name": "jane" }],
    })
}

async fn as_jane(cluster: &Cluster, method: Method, path: &str, body: &Value) -> Result<(u16, Value)> {
    let content = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    let headers = [("content-type", content), ("impersonate-user", "jane")];
    cluster.send(method, path, &headers, body.to_string()).await
}

async fn applies(cluster: &Cluster, path: &str, object: &Value) -> Result<(u16, Value)> {
    let headers = [("content-type", "application/apply-patch+yaml"), ("impersonate-user", "jane")];
    cluster.send(Method::PATCH, path, &headers, object.to_string()).await
}

/// Jane makes a role or a binding as soon as the authorizer knows that she may.
async fn makes_in_the_end(cluster: &Cluster, path: &str, object: &Value) -> Result<()> {
    let made = async || {
        let (status, _) = as_jane(cluster, Method::POST, path, object).await.ok()?;
        (status == 201).then_some(())
    };
    eventually("the right of jane", made).await
}

#[tokio::test]
async fn nobody_gives_what_they_do_not_have() -> Result<()> {
    let cluster = anywhere().await?;
    let api_version = format!("{RBAC}/v1");
    let (roles, bindings) = (cluster.path(&api_version, "roles"), cluster.path(&api_version, "rolebindings"));
    let pods = |verbs: &[&str]| json!({ "apiGroups": [""], "resources": ["pods"], "verbs": verbs });
    let manage = json!({ "apiGroups": [RBAC], "resources": ["roles", "rolebindings"], "verbs": ["*"] });
    let manager = json!([pods(&["get", "list"]), {
        "apiGroups": [RBAC], "resources": ["roles", "rolebindings"], "verbs": ["create", "get", "patch", "update"],
    }]);
    cluster.post(&roles, role("manager", &manager)).await?;
    cluster.post(&bindings, binding("manager", "Role", "manager")).await?;

    makes_in_the_end(&cluster, &roles, &role("ok", &json!([pods(&["get"])]))).await?;
    let wanted = role(
        "more",
        &json!([pods(&["list", "delete", "create"]), {
            "apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": ["web"], "verbs": ["get"],
        }]),
    );
    let (status, body) = as_jane(&cluster, Method::POST, &roles, &wanted).await?;
    let message = "roles.rbac.authorization.k8s.io \"more\" is forbidden: user \"jane\" \
                   (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n\
                   {APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\" \"create\"]}\n\
                   {APIGroups:[\"apps\"], Resources:[\"deployments\"], ResourceNames:[\"web\"], Verbs:[\"get\"]}";
    assert_eq!((status, &body["message"]), (403, &json!(message)));

    let own = format!("{roles}/ok");
    let labels = json!({ "metadata": { "labels": { "a": "b" } } });
    assert_eq!(as_jane(&cluster, Method::PATCH, &own, &labels).await?.0, 200, "the rules stay as they are");
    let rules = json!({ "rules": [pods(&["*"])] });
    assert_eq!(as_jane(&cluster, Method::PATCH, &own, &rules).await?.0, 403);
    assert_eq!(as_jane(&cluster, Method::PUT, &own, &role("ok", &rules["rules"])).await?.0, 403);
    for name in ["ok", "another"] {
        let path = format!("{roles}/{name}?fieldManager=jane&force=true");
        let (status, body) = applies(&cluster, &path, &role(name, &rules["rules"])).await?;
        assert_eq!(status, 403, "{name}: {body}");
    }

    let strong = binding("strong", "ClusterRole", "cluster-admin");
    assert_eq!(as_jane(&cluster, Method::POST, &bindings, &strong).await?.0, 403);
    makes_in_the_end(&cluster, &bindings, &binding("weak", "Role", "ok")).await?;
    let missing = binding("missing", "Role", "none");
    assert_eq!(as_jane(&cluster, Method::POST, &bindings, &missing).await?.0, 404);

    // By the verb `escalate`.
    cluster.post(&roles, role("free", &json!([manage]))).await?;
    cluster.post(&bindings, binding("free", "Role", "free")).await?;
    makes_in_the_end(&cluster, &roles, &wanted).await
}

#[tokio::test]
async fn a_role_has_the_rules_of_its_parts() -> Result<()> {
    let cluster = anywhere().await?;
    let (whole, part) = (cluster.unique("whole"), cluster.unique("part"));
    let roles = format!("/apis/{RBAC}/v1/clusterroles");
    for name in [&whole, &part] {
        cluster.remove_at_end::<ClusterRole>(name);
    }
    let selector = json!({ "matchLabels": { "kubesage.io/part-of": whole } });
    let aggregated = json!({
        "metadata": { "name": whole },
        "aggregationRule": { "clusterRoleSelectors": [selector] },
    });
    cluster.post(&roles, aggregated).await?;
    let rules = json!([{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"] }]);
    let labels = json!({ "kubesage.io/part-of": whole });
    cluster.post(&roles, json!({ "metadata": { "name": part, "labels": labels }, "rules": rules })).await?;

    let bindings = cluster.path(&format!("{RBAC}/v1"), "rolebindings");
    cluster.post(&bindings, binding("viewer", "ClusterRole", &whole)).await?;
    let maps = cluster.core("configmaps");
    let may = async || (get_as(&cluster, "jane", &maps).await.ok()?.0 == 200).then_some(());
    eventually("the rules of the part", may).await?;
    let (_, told) = cluster.get(&format!("{roles}/{whole}")).await?;
    assert_eq!(told["rules"], rules);
    assert_eq!(get_as(&cluster, "jane", &cluster.core("secrets")).await?.0, 403);
    assert_eq!(get_as(&cluster, "jane", "/api/v1/namespaces/kube-system/configmaps").await?.0, 403);
    Ok(())
}

/// What is in `view` is in `edit` and `admin`, too.
#[tokio::test]
async fn the_default_roles_are_made_of_each_other() -> Result<()> {
    let cluster = anywhere().await?;
    let rules = async |name: &str| -> Result<Vec<Value>> {
        let (_, role) = cluster.get(&format!("/apis/{RBAC}/v1/clusterroles/{name}")).await?;
        Ok(role["rules"].as_array().cloned().unwrap_or_default())
    };
    let filled = async || rules("admin").await.ok().filter(|rules| !rules.is_empty());
    let admin = eventually("the rules of admin", filled).await?;
    let (view, edit) = (rules("view").await?, rules("edit").await?);
    assert!(!view.is_empty());
    assert!(view.iter().all(|rule| edit.contains(rule)), "{view:#?}");
    assert!(edit.iter().all(|rule| admin.contains(rule)), "{edit:#?}");
    Ok(())
}

#[tokio::test]
async fn writing_what_is_not_there_takes_the_right_to_create_it() -> Result<()> {
    let cluster = anywhere().await?;
    let api_version = format!("{RBAC}/v1");
    let writes = json!({
        "apiGroups": ["", "coordination.k8s.io"],
        "resources": ["configmaps", "leases"],
        "verbs": ["get", "patch", "update"],
    });
    cluster.post(&cluster.path(&api_version, "roles"), role("writer", &json!([writes]))).await?;
    let bindings = cluster.path(&api_version, "rolebindings");
    cluster.post(&bindings, binding("writer", "Role", "writer")).await?;

    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "m" } });
    let path = cluster.core("configmaps/m");
    let known = async || {
        let (status, _) = as_jane(&cluster, Method::GET, &path, &Value::Null).await.ok()?;
        (status == 404).then_some(())
    };
    eventually("the rights of jane", known).await?;
    assert_eq!(applies(&cluster, &format!("{path}?fieldManager=jane"), &map).await?.0, 403);

    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": "l" },
        "spec": { "holderIdentity": "jane" },
    });
    let path = cluster.path("coordination.k8s.io/v1", "leases/l");
    assert_eq!(as_jane(&cluster, Method::PUT, &path, &lease).await?.0, 403);
    Ok(())
}
