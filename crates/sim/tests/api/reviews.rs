//! Questions about who someone is and may do, and acting in another's place.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};
use sim::Seed;

use testkit::eventually;

use crate::common::{Anywhere, Cluster, answer, cluster};

const AUTHORIZATION: &str = "/apis/authorization.k8s.io/v1";

async fn ask(cluster: &Anywhere, path: &str, kind: &str, spec: Value) -> Result<(u16, Value)> {
    let group = path.split('/').nth(2).unwrap_or_default();
    let body = json!({ "apiVersion": format!("{group}/v1"), "kind": kind, "spec": spec });
    cluster.call(Method::POST, path, Some(body)).await
}

/// What jane, the account `agent` and the group `ops` may do in the test's namespace.
async fn view_of_own(cluster: &Anywhere) -> Result<()> {
    let rbac = "rbac.authorization.k8s.io";
    let api_version = format!("{rbac}/v1");
    let role = json!({
        "metadata": { "name": "reader" },
        "rules": [{ "apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"] }],
    });
    cluster.creates(&cluster.path(&api_version, "roles"), role).await?;
    let binding = json!({
        "metadata": { "name": "readers" },
        "roleRef": { "apiGroup": rbac, "kind": "Role", "name": "reader" },
        "subjects": [
            { "kind": "User", "apiGroup": rbac, "name": "jane" },
            { "kind": "ServiceAccount", "name": "agent", "namespace": cluster.cluster.namespace() },
            { "kind": "Group", "apiGroup": rbac, "name": "ops" },
        ],
    });
    cluster.creates(&cluster.path(&api_version, "rolebindings"), binding).await?;
    let pods = cluster.core("pods");
    let seen = async || {
        let answer = cluster.send(Method::GET, &pods, &[("impersonate-user", "jane")], "").await;
        (answer.ok()?.0 == 200).then_some(())
    };
    eventually("the authorizer sees it", seen).await
}

fn view_of_default(cluster: &Cluster) -> Result<()> {
    let rbac = "rbac.authorization.k8s.io";
    cluster.sim.api().create(json!({
        "apiVersion": format!("{rbac}/v1"), "kind": "Role",
        "metadata": { "name": "reader", "namespace": "default" },
        "rules": [{ "apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"] }],
    }))?;
    cluster.sim.api().create(json!({
        "apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding",
        "metadata": { "name": "readers", "namespace": "default" },
        "roleRef": { "apiGroup": rbac, "kind": "Role", "name": "reader" },
        "subjects": [
            { "kind": "User", "apiGroup": rbac, "name": "jane" },
            { "kind": "ServiceAccount", "name": "agent" },
            { "kind": "Group", "apiGroup": rbac, "name": "ops" },
        ],
    }))?;
    Ok(())
}

#[tokio::test]
async fn access_is_reviewed_as_requests_are() -> Result<()> {
    let cluster = Anywhere::start().await?;
    view_of_own(&cluster).await?;
    let own = cluster.cluster.namespace();
    let agent = format!("system:serviceaccount:{own}:agent");
    let list = |namespace: &str| json!({ "namespace": namespace, "verb": "list", "resource": "pods" });
    let path = format!("{AUTHORIZATION}/selfsubjectaccessreviews");
    let mine =
        ask(&cluster, &path, "SelfSubjectAccessReview", json!({ "resourceAttributes": list("") })).await?;
    assert_eq!((mine.0, &mine.1["status"]["allowed"]), (201, &json!(true)));

    let path = format!("{AUTHORIZATION}/subjectaccessreviews");
    for (user, groups, namespace, reason) in [
        ("jane", vec![], own, Some("User \"jane\"".to_owned())),
        ("joe", vec!["ops"], own, Some("Group \"ops\"".to_owned())),
        (&agent, vec![], own, Some(format!("ServiceAccount \"agent/{own}\""))),
        ("system:serviceaccount:other:agent", vec![], own, None),
        ("jane", vec![], "kube-system", None),
        ("jane", vec![], "", None),
    ] {
        let spec = json!({ "user": user, "groups": groups, "resourceAttributes": list(namespace) });
        let status = ask(&cluster, &path, "SubjectAccessReview", spec).await?.1["status"].clone();
        let expected = match reason {
            Some(whom) => json!({
                "allowed": true,
                "reason": format!("RBAC: allowed by RoleBinding \"readers/{own}\" of Role \"reader\" to {whom}"),
            }),
            None => json!({ "allowed": false }),
        };
        assert_eq!(status, expected, "{user} in {namespace:?}");
    }

    let spec = json!({ "user": "jane", "nonResourceAttributes": { "path": "/metrics", "verb": "get" } });
    assert_eq!(
        ask(&cluster, &path, "SubjectAccessReview", spec).await?.1["status"],
        json!({ "allowed": false })
    );
    let (status, body) = ask(&cluster, &path, "SubjectAccessReview", json!({ "user": "jane" })).await?;
    assert_eq!((status, &body["reason"]), (422, &json!("Invalid")));
    let local = cluster.path("authorization.k8s.io/v1", "localsubjectaccessreviews");
    let spec = json!({ "user": "jane", "resourceAttributes": list("other") });
    let (status, body) = ask(&cluster, &local, "LocalSubjectAccessReview", spec).await?;
    let message = format!("spec.resourceAttributes.namespace must match namespace: {own}");
    assert_eq!((status, &body["message"]), (400, &json!(message)));
    Ok(())
}

#[tokio::test]
async fn a_role_that_is_not_there_is_named() -> Result<()> {
    let cluster = cluster(Seed::Empty).await?;
    cluster.sim.api().create(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": "broken" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "gone" },
        "subjects": [{ "kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:authenticated" }],
    }))?;
    let token = cluster.sim.token_for("default", "agent");
    let (_, body) = answer(cluster.anonymous(Method::GET, "/api/v1/nodes").bearer_auth(token)).await?;
    let why = "at the cluster scope: RBAC: clusterrole.rbac.authorization.k8s.io \"gone\" not found";
    assert!(body["message"].as_str().is_some_and(|message| message.ends_with(why)), "{body}");
    Ok(())
}

#[tokio::test]
async fn someone_acts_in_anothers_place() -> Result<()> {
    let cluster = cluster(Seed::Empty).await?;
    view_of_default(&cluster)?;
    let pods = || cluster.request(Method::GET, "/api/v1/namespaces/default/pods");
    assert_eq!(answer(pods().header("Impersonate-User", "jane")).await?.0, 200);
    assert_eq!(answer(pods().header("Impersonate-User", "joe")).await?.0, 403);
    let as_ops = pods().header("Impersonate-User", "joe").header("Impersonate-Group", "ops");
    assert_eq!(answer(as_ops).await?.0, 200);
    let agent = "system:serviceaccount:default:agent";
    assert_eq!(answer(pods().header("Impersonate-User", agent)).await?.0, 200);
    assert_eq!(answer(pods().header("Impersonate-Group", "ops")).await?.0, 500);

    let body = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let who = cluster.request(Method::POST, path).json(&body);
    let who = who.header("Impersonate-User", "joe").header("Impersonate-Extra-Reason", "why");
    let (_, who) = answer(who).await?;
    let info =
        json!({ "username": "joe", "groups": ["system:authenticated"], "extra": { "reason": ["why"] } });
    assert_eq!(who["status"]["userInfo"], info);

    let token = cluster.sim.token_for("default", "agent");
    let request = cluster.anonymous(Method::GET, "/api/v1/nodes").bearer_auth(token);
    let (status, body) = answer(request.header("Impersonate-User", "jane")).await?;
    let message = "users \"jane\" is forbidden: User \"system:serviceaccount:default:agent\" cannot impersonate \
                   resource \"users\" in API group \"\" at the cluster scope";
    assert_eq!((status, &body["message"]), (403, &json!(message)));
    Ok(())
}

#[tokio::test]
async fn all_that_someone_may_do_is_listed() -> Result<()> {
    let cluster = Anywhere::start().await?;
    view_of_own(&cluster).await?;
    let body = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
        "spec": { "namespace": cluster.cluster.namespace() },
    });
    let path = format!("{AUTHORIZATION}/selfsubjectrulesreviews");
    let headers = [("content-type", "application/json"), ("impersonate-user", "jane")];
    let (status, review) = cluster.send(Method::POST, &path, &headers, body.to_string()).await?;
    assert_eq!(status, 201);
    let rules = review["status"]["resourceRules"].as_array().cloned().unwrap_or_default();
    let reader = json!({ "verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "pods/log"] });
    assert!(rules.contains(&reader), "{rules:?}");
    let paths = review["status"]["nonResourceRules"].to_string();
    assert!(paths.contains("/openapi/*") && review["status"]["incomplete"] == false, "{review}");
    Ok(())
}

#[tokio::test]
async fn a_name_in_a_selector_is_the_objects_name() -> Result<()> {
    let cluster = cluster(Seed::Empty).await?;
    let rbac = "rbac.authorization.k8s.io";
    cluster.sim.api().create(json!({
        "apiVersion": format!("{rbac}/v1"), "kind": "ClusterRole", "metadata": { "name": "one" },
        "rules": [{
            "apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["default"], "verbs": ["list", "watch"],
        }],
    }))?;
    cluster.sim.api().create(json!({
        "apiVersion": format!("{rbac}/v1"), "kind": "ClusterRoleBinding", "metadata": { "name": "one" },
        "roleRef": { "apiGroup": rbac, "kind": "ClusterRole", "name": "one" },
        "subjects": [{ "kind": "User", "apiGroup": rbac, "name": "jane" }],
    }))?;
    for (query, status) in [
        ("?fieldSelector=metadata.name%3Ddefault", 200),
        ("?fieldSelector=metadata.name%3Dkube-system", 403),
        ("", 403),
    ] {
        let request = cluster.request(Method::GET, &format!("/api/v1/namespaces{query}"));
        assert_eq!(answer(request.header("Impersonate-User", "jane")).await?.0, status, "{query}");
    }
    Ok(())
}
