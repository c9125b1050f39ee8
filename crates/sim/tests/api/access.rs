//! Service accounts and logs.

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::Error;
use kube::api::{Api, ListParams, LogParams};
use serde_json::{Value, json};
use sim::Seed;
use testkit::{Caller, Cluster, eventually};

use crate::common::{anywhere, simulated};

const RBAC: &str = "rbac.authorization.k8s.io";

fn role(name: &str, rules: &Value) -> Value {
    json!({ "metadata": { "name": name }, "rules": rules })
}

/// A binding of a role of its own name to the account `agent` of the test's namespace.
fn binding(cluster: &Cluster, role_kind: &str, name: &str) -> Value {
    json!({
        "metadata": { "name": name },
        "roleRef": { "apiGroup": RBAC, "kind": role_kind, "name": name },
        "subjects": [{ "kind": "ServiceAccount", "namespace": cluster.namespace(), "name": "agent" }],
    })
}

/// A caller with the token of a service account.
async fn account(cluster: &Cluster, name: &str) -> Result<Caller> {
    cluster.post(&cluster.core("serviceaccounts"), json!({ "metadata": { "name": name } })).await?;
    cluster.with_token(&cluster.token_of(cluster.namespace(), name).await?).await
}

/// Waits until the authorizer knows of a right.
async fn may(caller: &Caller, path: &str, expected: u16) -> Result<()> {
    let known = async || (caller.get(path).await.ok()?.0 == expected).then_some(());
    eventually(&format!("{expected} at {path}"), known).await
}

#[tokio::test]
async fn a_service_account_may_what_its_bindings_allow() -> Result<()> {
    let cluster = anywhere().await?;
    let other = cluster.another_namespace("other").await?;
    let agent = account(&cluster, "agent").await?;
    let own = cluster.namespace().to_owned();
    let user = format!("User \"system:serviceaccount:{own}:agent\"");

    assert_eq!(
        agent.get(&cluster.core("secrets")).await?,
        (
            403,
            json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Forbidden",
                "message": format!(
                    "secrets is forbidden: {user} cannot list resource \"secrets\" in API group \"\" in the \
                     namespace \"{own}\""
                ),
                "details": { "kind": "secrets" }, "code": 403,
            })
        )
    );
    for (path, message) in [
        (
            "/api/v1/nodes".to_owned(),
            format!(
                "nodes is forbidden: {user} cannot list resource \"nodes\" in API group \"\" at the cluster scope"
            ),
        ),
        (
            cluster.path("apps/v1", "deployments/d"),
            format!(
                "deployments.apps \"d\" is forbidden: {user} cannot get resource \"deployments\" in API group \"apps\" \
                 in the namespace \"{own}\""
            ),
        ),
        (
            cluster.core("pods/p/log"),
            format!(
                "pods \"p\" is forbidden: {user} cannot get resource \"pods/log\" in API group \"\" in the namespace \
                 \"{own}\""
            ),
        ),
        ("/nowhere".to_owned(), format!("forbidden: {user} cannot get path \"/nowhere\"")),
    ] {
        let (status, body) = agent.get(&path).await?;
        assert_eq!((status, body["message"].as_str()), (403, Some(message.as_str())), "{path}");
    }
    assert_eq!(agent.get("/apis").await?.0, 200, "discovery is for everyone with a token");

    let api_version = format!("{RBAC}/v1");
    let rules = json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"] }]);
    cluster.post(&cluster.path(&api_version, "roles"), role("reader", &rules)).await?;
    let bindings = cluster.path(&api_version, "rolebindings");
    cluster.post(&bindings, binding(&cluster, "Role", "reader")).await?;
    may(&agent, &cluster.core("pods"), 200).await?;
    let others = |resource: &str| format!("/api/v1/namespaces/{other}/{resource}");
    assert_eq!(agent.get(&others("pods")).await?.0, 403);
    assert_eq!(agent.get("/api/v1/pods").await?.0, 403);

    let rules = json!([
        { "apiGroups": ["*"], "resources": ["nodes", "pods"], "verbs": ["*"] },
        { "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["rules"], "verbs": ["get"] },
        { "nonResourceURLs": ["/nowhere*"], "verbs": ["get"] },
    ]);
    let reader = cluster.unique("reader");
    cluster.remove_at_end::<ClusterRole>(&reader);
    cluster.remove_at_end::<ClusterRoleBinding>(&reader);
    cluster.post(&format!("/apis/{api_version}/clusterroles"), role(&reader, &rules)).await?;
    let bindings = format!("/apis/{api_version}/clusterrolebindings");
    cluster.post(&bindings, binding(&cluster, "ClusterRole", &reader)).await?;
    may(&agent, "/api/v1/pods?limit=1", 200).await?;
    for (path, status) in [
        ("/api/v1/nodes?limit=1", 200),
        (&others("configmaps/rules"), 404),
        (&others("configmaps/others"), 403),
        ("/nowhere/else", 404),
    ] {
        assert_eq!(agent.get(path).await?.0, status, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn the_real_client_reads_refusals() -> Result<()> {
    let cluster = anywhere().await?;
    let unknown = cluster.with_token("wrong").await?;
    for (caller, code) in [(account(&cluster, "nobody").await?, 403), (unknown, 401)] {
        let namespaces: Api<Namespace> = Api::all(caller.client());
        match namespaces.list(&ListParams::default()).await {
            Err(Error::Api(status)) => assert_eq!(status.code, code),
            other => bail!("expected {code}, got {other:?}"),
        }
    }
    Ok(())
}

/// Simulated: stand-ins for kubelets have no logs.
#[tokio::test]
async fn logs_honour_container_tail_and_bytes() -> Result<()> {
    let cluster = simulated(Seed::Shop).await?;
    let client = cluster.client();
    let pods: Api<Pod> = Api::namespaced(client.clone(), "cart");
    let name = pods.list(&ListParams::default()).await?.items[0].metadata.name.clone().context("no name")?;
    let whole = pods.logs(&name, &LogParams::default()).await?;
    assert!(whole.lines().count() > 100);
    let tail = pods.logs(&name, &LogParams { tail_lines: Some(3), ..Default::default() }).await?;
    assert_eq!(tail.lines().count(), 3);
    assert!(whole.ends_with(&tail));
    let some = pods
        .logs(&name, &LogParams { tail_lines: Some(3), limit_bytes: Some(20), ..Default::default() })
        .await?;
    assert_eq!(some, tail[..20]);
    let named =
        LogParams { container: Some("cart-api".to_owned()), tail_lines: Some(0), ..Default::default() };
    assert_eq!(pods.logs(&name, &named).await?, "");

    let path = format!("/api/v1/namespaces/cart/pods/{name}/log");
    let invalid = |why: &str| format!("PodLogOptions \"{name}\" is invalid: {why}");
    for (query, status, message) in [
        ("container=nope", 400, format!("container nope is not valid for pod {name}")),
        ("tailLines=-1", 422, invalid("tailLines: Invalid value: -1: must be greater than or equal to 0")),
        ("limitBytes=0", 422, invalid("limitBytes: Invalid value: 0: must be greater than 0")),
        ("sinceSeconds=0", 422, invalid("sinceSeconds: Invalid value: 0: must be greater than 0")),
        (
            "sinceSeconds=1&sinceTime=2026-11-20T09:37:24Z",
            422,
            invalid("[]: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"),
        ),
        (
            "sinceTime=soon",
            400,
            "parsing time \"soon\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"soon\" as \"2006\""
                .to_owned(),
        ),
    ] {
        let (code, body) = cluster.get(&format!("{path}?{query}")).await?;
        assert_eq!((code, body["message"].as_str()), (status, Some(message.as_str())));
    }

    let payments: Api<Pod> = Api::namespaced(client.clone(), "payments");
    let crashing = ListParams::default().labels("app.kubernetes.io/name=fraud-rules");
    let crashing = payments.list(&crashing).await?.items[0].metadata.name.clone().context("no name")?;
    assert!(payments.logs(&crashing, &LogParams::default()).await?.contains("FATAL"));
    let search: Api<Pod> = Api::namespaced(client, "search");
    assert_eq!(search.logs("search-index-2", &LogParams::default()).await?, "", "it runs nowhere");
    Ok(())
}
