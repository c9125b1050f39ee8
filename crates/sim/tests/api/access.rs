//! Service accounts, logs, and the faults that tests cut in.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::Error;
use kube::api::{Api, ListParams, LogParams};
use reqwest::Method;
use serde_json::{Value, json};
use sim::{Options, RequestLine, Seed, Sim, SimError};

use crate::common::{answer, cluster, trusting};

fn role(kind: &str, namespace: Option<&str>, rules: &Value) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
        "metadata": { "name": "reader", "namespace": namespace }, "rules": rules,
    })
}

fn binding(kind: &str, namespace: Option<&str>, role_kind: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
        "metadata": { "name": "reader", "namespace": namespace },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": "reader" },
        "subjects": [{ "kind": "ServiceAccount", "namespace": "cart", "name": "agent" }],
    })
}

#[tokio::test]
async fn a_service_account_may_what_its_bindings_allow() -> Result<()> {
    let cluster = cluster(Seed::Shop).await?;
    let token = cluster.sim.token_for("cart", "agent");
    let get = async |path: &str| answer(cluster.anonymous(Method::GET, path).bearer_auth(&token)).await;
    let user = "User \"system:serviceaccount:cart:agent\"";

    assert_eq!(
        get("/api/v1/namespaces/cart/secrets").await?,
        (
            403,
            json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Forbidden",
                "message": format!(
                    "secrets is forbidden: {user} cannot list resource \"secrets\" in API group \"\" in the \
                     namespace \"cart\""
                ),
                "details": { "kind": "secrets" }, "code": 403,
            })
        )
    );
    for (path, message) in [
        (
            "/api/v1/nodes",
            format!(
                "nodes is forbidden: {user} cannot list resource \"nodes\" in API group \"\" at the cluster scope"
            ),
        ),
        (
            "/apis/apps/v1/namespaces/cart/deployments/d",
            format!(
                "deployments.apps \"d\" is forbidden: {user} cannot get resource \"deployments\" in API group \"apps\" \
                 in the namespace \"cart\""
            ),
        ),
        (
            "/api/v1/namespaces/cart/pods/p/log",
            format!(
                "pods \"p\" is forbidden: {user} cannot get resource \"pods/log\" in API group \"\" in the namespace \
                 \"cart\""
            ),
        ),
        ("/metrics", format!("forbidden: {user} cannot get path \"/metrics\"")),
    ] {
        let (status, body) = get(path).await?;
        assert_eq!((status, body["message"].as_str()), (403, Some(message.as_str())), "{path}");
    }
    assert_eq!(get("/apis").await?.0, 200, "discovery is for everyone with a token");

    let store = cluster.sim.api();
    let rules = json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"] }]);
    store.create(role("Role", Some("cart"), &rules))?;
    store.create(binding("RoleBinding", Some("cart"), "Role"))?;
    assert_eq!(get("/api/v1/namespaces/cart/pods").await?.0, 200);
    assert_eq!(get("/api/v1/namespaces/payments/pods").await?.0, 403);
    assert_eq!(get("/api/v1/pods").await?.0, 403);

    let rules = json!([
        { "apiGroups": ["*"], "resources": ["nodes", "pods"], "verbs": ["*"] },
        { "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["prometheus-rules"], "verbs": ["get"] },
        { "nonResourceURLs": ["/metrics*"], "verbs": ["get"] },
    ]);
    store.create(role("ClusterRole", None, &rules))?;
    store.create(binding("ClusterRoleBinding", None, "ClusterRole"))?;
    assert_eq!(get("/api/v1/pods").await?.0, 200);
    assert_eq!(get("/api/v1/nodes").await?.0, 200);
    assert_eq!(get("/api/v1/namespaces/monitoring/configmaps/prometheus-rules").await?.0, 200);
    assert_eq!(get("/api/v1/namespaces/kube-system/configmaps/coredns").await?.0, 403);
    let metrics = cluster.anonymous(Method::GET, "/metrics").bearer_auth(&token).send().await?;
    assert_eq!(metrics.status(), 200, "no JSON, but allowed");
    Ok(())
}

#[tokio::test]
async fn the_real_client_reads_refusals() -> Result<()> {
    let cluster = cluster(Seed::Empty).await?;
    for (token, code) in [(cluster.sim.token_for("default", "nobody"), 403), ("wrong".to_owned(), 401)] {
        let namespaces: Api<Namespace> = Api::all(cluster.client(&token).await?);
        match namespaces.list(&ListParams::default()).await {
            Err(Error::Api(status)) => assert_eq!(status.code, code),
            other => bail!("expected {code}, got {other:?}"),
        }
    }
    Ok(())
}

#[tokio::test]
async fn logs_honour_container_tail_and_bytes() -> Result<()> {
    let cluster = cluster(Seed::Shop).await?;
    let client = cluster.admin().await?;
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

#[tokio::test]
async fn faults_strike_and_requests_are_counted() -> Result<()> {
    let cluster = cluster(Seed::Empty).await?;
    let line = RequestLine { verb: "list".to_owned(), resource: "namespaces".to_owned() };
    assert!(cluster.sim.requests().is_empty());
    cluster.sim.fail_next(2, 429)?;
    let response = cluster.request(Method::GET, "/api/v1/namespaces").send().await?;
    assert_eq!((response.status().as_u16(), response.headers()["retry-after"].as_bytes()), (429, &b"1"[..]));
    assert_eq!(cluster.get("/api/v1/namespaces").await?.1["reason"], "TooManyRequests");
    assert_eq!(cluster.get("/api/v1/namespaces").await?.0, 200);
    assert_eq!(cluster.sim.requests().get(&line), Some(&3));
    cluster.get("/api/v1/nowhere").await?;
    assert_eq!(cluster.sim.requests().values().sum::<u64>(), 4);

    cluster.sim.set_latency(Duration::from_millis(50));
    let asked = Instant::now();
    cluster.get("/version").await?;
    assert!(asked.elapsed() >= Duration::from_millis(50));
    Ok(())
}

#[tokio::test]
async fn a_port_is_held_until_the_simulator_goes() -> Result<()> {
    let first = cluster(Seed::Empty).await?;
    let options = |listen| Options {
        listen,
        seed: Seed::Empty,
        admin_token: Some("known".to_owned()),
        ..Options::default()
    };
    let address = first.sim.addr();
    match Sim::start(options(address)).await {
        Err(error @ SimError::Listen { .. }) => {
            assert!(error.to_string().contains(&address.to_string()), "{error}");
        }
        Err(other) => bail!("unexpected: {other}"),
        Ok(_) => bail!("two servers on one port"),
    }
    let watch = first.request(Method::GET, "/api/v1/pods?watch=1&resourceVersion=1").send().await?;
    first.sim.stop().await;
    assert!(watch.bytes().await.is_err(), "the watch is cut");

    let second = Sim::start(options(address)).await?;
    assert_eq!(second.admin_token(), "known");
    let token = second.token_for("default", "agent");
    let watch = trusting(&second.ca_pem())?
        .get(format!("{}/api/v1/pods?watch=1", second.url()))
        .bearer_auth("known")
        .send()
        .await?;
    drop(second);
    assert!(watch.bytes().await.is_err(), "dropping cuts the watch, too");
    let third = Sim::start(Options { admin_token: Some("known".to_owned()), ..Options::default() }).await?;
    assert_eq!(
        third.token_for("default", "agent"),
        token,
        "tokens outlive a restart with the same admin token"
    );
    Ok(())
}
