//! Questions about who someone is and may do, and acting in another's place.

use anyhow::Result;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Cluster, eventually};

use crate::common::{anywhere, get_as};

const AUTHORIZATION: &str = "/apis/authorization.k8s.io/v1";

async fn ask(cluster: &Cluster, path: &str, kind: &str, spec: Value) -> Result<(u16, Value)> {
    let group = path.split('/').nth(2).unwrap_or_default();
    let body = json!({ "apiVersion": format!("{group}/v1"), "kind": kind, "spec": spec });
    cluster.call(Method::POST, path, Some(body)).await
}

/// What jane, the account `agent` and the group `ops` may do in the test's namespace.
async fn view_of_own(cluster: &Cluster) -> Result<()> {
    let rbac = "rbac.authorization.k8s.io";
    let api_version = format!("{rbac}/v1");
    let role = json!({
        "metadata": { "name": "reader" },
        "rules": [{ "apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"] }],
    });
    cluster.post(&cluster.path(&api_version, "roles"), role).await?;
    let binding = json!({
        "metadata": { "name": "readers" },
        "roleRef": { "apiGroup": rbac, "kind": "Role", "name": "reader" },
        "subjects": [
            { "kind": "User", "apiGroup": rbac, "name": "jane" },
            { "kind": "ServiceAccount", "name": "agent", "namespace": cluster.namespace() },
            { "kind": "Group", "apiGroup": rbac, "name": "ops" },
        ],
    });
    cluster.post(&cluster.path(&api_version, "rolebindings"), binding).await?;
    let pods = cluster.core("pods");
    let seen = async || (get_as(cluster, "jane", &pods).await.ok()?.0 == 200).then_some(());
    eventually("the authorizer sees it", seen).await
}

#[tokio::test]
async fn access_is_reviewed_as_requests_are() -> Result<()> {
    let cluster = anywhere().await?;
    view_of_own(&cluster).await?;
    let own = cluster.namespace();
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
    let message = ".authorization.k8s.io \"\" is invalid: spec.resourceAttributes: Invalid value: \"null\": exactly one \
                   of nonResourceAttributes or resourceAttributes must be specified";
    assert_eq!((status, &body["message"]), (422, &json!(message)));
    let local = cluster.path("authorization.k8s.io/v1", "localsubjectaccessreviews");
    let spec = json!({ "user": "jane", "resourceAttributes": list("other") });
    let (status, body) = ask(&cluster, &local, "LocalSubjectAccessReview", spec).await?;
    let message = ".authorization.k8s.io \"\" is invalid: spec.resourceAttributes.namespace: Invalid value: \"other\": \
                   must match metadata.namespace";
    assert_eq!((status, &body["message"]), (422, &json!(message)));
    Ok(())
}

#[tokio::test]
async fn a_review_is_told_all_that_is_wrong_with_it() -> Result<()> {
    let cluster = anywhere().await?;
    let subject = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let local = &cluster.path("authorization.k8s.io/v1", "localsubjectaccessreviews");
    let get = json!({ "verb": "get", "namespace": cluster.namespace() });
    for (path, review, fields) in [
        (subject, json!({ "spec": {} }), vec!["spec.resourceAttributes", "spec.user"]),
        (
            subject,
            json!({ "metadata": { "name": "x" }, "spec": { "user": "a", "resourceAttributes": get } }),
            vec!["metadata"],
        ),
        (
            local,
            json!({ "metadata": { "name": "x", "namespace": cluster.namespace() }, "spec": { "resourceAttributes": { "verb": "get" }, "nonResourceAttributes": {} } }),
            vec![
                "spec.nonResourceAttributes",
                "spec.user",
                "metadata",
                "spec.resourceAttributes.namespace",
                "spec.nonResourceAttributes",
            ],
        ),
        (
            local,
            json!({ "spec": { "user": "a", "nonResourceAttributes": { "path": "/" } } }),
            vec!["spec.nonResourceAttributes"],
        ),
    ] {
        let (status, refused) = cluster.call(Method::POST, path, Some(review)).await?;
        assert_eq!((status, &refused["details"]["kind"]), (422, &Value::Null), "{refused}");
        let causes = refused["details"]["causes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let found: Vec<&str> = causes.iter().filter_map(|cause| cause["field"].as_str()).collect();
        assert_eq!(found, fields);
        assert_eq!(refused["details"]["group"], "authorization.k8s.io");
    }
    let metadata = json!({ "namespace": cluster.namespace() });
    let review = json!({ "metadata": metadata, "spec": { "user": "a", "resourceAttributes": get } });
    assert_eq!(cluster.call(Method::POST, local, Some(review)).await?.0, 201);
    Ok(())
}

#[tokio::test]
async fn a_role_that_is_not_there_is_named() -> Result<()> {
    let cluster = anywhere().await?;
    let rbac = "rbac.authorization.k8s.io";
    let binding = json!({
        "metadata": { "name": "broken" },
        "roleRef": { "apiGroup": rbac, "kind": "Role", "name": "gone" },
        "subjects": [{ "kind": "User", "apiGroup": rbac, "name": "jane" }],
    });
    cluster.post(&cluster.path(&format!("{rbac}/v1"), "rolebindings"), binding).await?;
    let own = cluster.namespace();
    let why = format!("in the namespace \"{own}\": RBAC: role.rbac.authorization.k8s.io \"gone\" not found");
    let named = async || {
        let (_, refused) = get_as(&cluster, "jane", &cluster.core("pods")).await.ok()?;
        refused["message"].as_str()?.ends_with(&why).then_some(())
    };
    eventually("the missing role to be named", named).await
}

#[tokio::test]
async fn someone_acts_in_anothers_place() -> Result<()> {
    let cluster = anywhere().await?;
    view_of_own(&cluster).await?;
    let agent = format!("system:serviceaccount:{}:agent", cluster.namespace());
    let pods = cluster.core("pods");
    for (headers, status) in [
        (vec![("impersonate-user", "jane")], 200),
        (vec![("impersonate-user", "joe")], 403),
        (vec![("impersonate-user", "joe"), ("impersonate-group", "ops")], 200),
        (vec![("impersonate-user", &agent)], 200),
        (vec![("impersonate-group", "ops")], 500),
    ] {
        assert_eq!(cluster.send(Method::GET, &pods, &headers, "").await?.0, status, "{headers:?}");
    }

    let body = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let headers = [
        ("content-type", "application/json"),
        ("impersonate-user", "joe"),
        ("impersonate-extra-reason", "why"),
    ];
    let (_, who) = cluster.send(Method::POST, path, &headers, body.to_string()).await?;
    let info =
        json!({ "username": "joe", "groups": ["system:authenticated"], "extra": { "reason": ["why"] } });
    assert_eq!(who["status"]["userInfo"], info);

    cluster.post(&cluster.core("serviceaccounts"), json!({ "metadata": { "name": "agent" } })).await?;
    let caller = cluster.with_token(&cluster.token_of(cluster.namespace(), "agent").await?).await?;
    let as_jane = [("impersonate-user", "jane")];
    let (status, body) = caller.send(Method::GET, "/api/v1/nodes", &as_jane, "").await?;
    let message = format!(
        "users \"jane\" is forbidden: User \"{agent}\" cannot impersonate resource \"users\" in API group \"\" at the \
         cluster scope"
    );
    assert_eq!((status, &body["message"]), (403, &json!(message)));
    Ok(())
}

#[tokio::test]
async fn all_that_someone_may_do_is_listed() -> Result<()> {
    let cluster = anywhere().await?;
    view_of_own(&cluster).await?;
    let body = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
        "spec": { "namespace": cluster.namespace() },
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
    let cluster = anywhere().await?;
    let rbac = "rbac.authorization.k8s.io";
    let (one, jill) = (cluster.unique("one"), cluster.unique("jill"));
    cluster.remove_at_end::<ClusterRole>(&one);
    cluster.remove_at_end::<ClusterRoleBinding>(&one);
    let role = json!({
        "metadata": { "name": one },
        "rules": [{
            "apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["default"], "verbs": ["list", "watch"],
        }],
    });
    cluster.post(&format!("/apis/{rbac}/v1/clusterroles"), role).await?;
    let binding = json!({
        "metadata": { "name": one },
        "roleRef": { "apiGroup": rbac, "kind": "ClusterRole", "name": one },
        "subjects": [{ "kind": "User", "apiGroup": rbac, "name": jill }],
    });
    cluster.post(&format!("/apis/{rbac}/v1/clusterrolebindings"), binding).await?;
    let selected = |name: &str| format!("/api/v1/namespaces?fieldSelector=metadata.name%3D{name}");
    let default = selected("default");
    let may = async || (get_as(&cluster, &jill, &default).await.ok()?.0 == 200).then_some(());
    eventually("the right to list one namespace", may).await?;
    for path in [&selected("kube-system"), "/api/v1/namespaces"] {
        assert_eq!(get_as(&cluster, &jill, path).await?.0, 403, "{path}");
    }
    Ok(())
}
