//! Tokens of service accounts as the API gives them out.

use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::Method;
use serde_json::{Value, json};
use sim::Seed;
use testkit::{Cluster, eventually, eventually_within};

use crate::common::{PATIENCE, anywhere, idle_pod, sim, simulated, status_with};

/// What is asked for with a token: 403 for who is known and may not, 401 for a bad token.
const NAMESPACES: &str = "/api/v1/namespaces";

async fn make_account(cluster: &Cluster) -> Result<Value> {
    cluster.post(&cluster.core("serviceaccounts"), json!({ "metadata": { "name": "builder" } })).await
}

/// The test's namespace has an account `builder`.
async fn with_account() -> Result<Cluster> {
    let cluster = anywhere().await?;
    make_account(&cluster).await?;
    Ok(cluster)
}

/// A token for the account.
async fn request_token(cluster: &Cluster, spec: Value) -> Result<(u16, Value)> {
    let body = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec });
    cluster.call(Method::POST, &cluster.core("serviceaccounts/builder/token"), Some(body)).await
}

async fn review(cluster: &Cluster, token: &str, audiences: &[&str]) -> Result<Value> {
    let body = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "spec": { "token": token, "audiences": audiences },
    });
    let review = cluster.post("/apis/authentication.k8s.io/v1/tokenreviews", body).await?;
    Ok(review["status"].clone())
}

/// Waits until the token is worth nothing.
async fn until_refused(cluster: &Cluster, token: &str) -> Result<()> {
    let refused = async || (status_with(cluster, token, NAMESPACES).await.ok()? == 401).then_some(());
    eventually_within(PATIENCE, "the token to be refused", refused).await
}

#[tokio::test]
async fn a_token_says_who_has_it() -> Result<()> {
    let cluster = with_account().await?;
    let asked = jiff::Timestamp::now();
    let (status, request) = request_token(&cluster, json!({ "expirationSeconds": 600 })).await?;
    assert_eq!(status, 201);
    let token = request["status"]["token"].as_str().context("no token")?;
    let expiry: jiff::Timestamp =
        request["status"]["expirationTimestamp"].as_str().context("no time")?.parse()?;
    let lasts = expiry.duration_since(asked).as_secs();
    assert!((590..=610).contains(&lasts), "{lasts}");
    assert_eq!(status_with(&cluster, token, NAMESPACES).await?, 403);

    let status = review(&cluster, token, &[]).await?;
    let (_, account) = cluster.get(&cluster.core("serviceaccounts/builder")).await?;
    let (user, own) = (&status["user"], cluster.namespace());
    assert_eq!(status["authenticated"], true);
    assert_eq!(user["username"], format!("system:serviceaccount:{own}:builder"));
    assert_eq!(user["uid"], account["metadata"]["uid"]);
    let by_namespace = format!("system:serviceaccounts:{own}");
    assert_eq!(user["groups"], json!(["system:serviceaccounts", by_namespace, "system:authenticated"]));
    Ok(())
}

/// Simulated: the clock is moved.
#[tokio::test]
async fn a_token_ends_with_its_time() -> Result<()> {
    let cluster = simulated(Seed::Empty).await?;
    make_account(&cluster).await?;
    let (_, request) = request_token(&cluster, json!({ "expirationSeconds": 600 })).await?;
    let token = request["status"]["token"].as_str().context("no token")?;
    assert_eq!(status_with(&cluster, token, NAMESPACES).await?, 403);
    sim(&cluster).api().clock().advance(Duration::from_secs(601));
    assert_eq!(status_with(&cluster, token, NAMESPACES).await?, 401);
    assert_eq!(
        review(&cluster, token, &[]).await?,
        json!({ "user": {}, "error": "[invalid bearer token, service account token has expired]" })
    );
    Ok(())
}

#[tokio::test]
async fn a_token_is_for_its_audiences() -> Result<()> {
    let cluster = with_account().await?;
    let (_, request) = request_token(&cluster, json!({ "audiences": ["vault", "audit"] })).await?;
    assert_eq!(request["spec"]["expirationSeconds"], 3600, "the default");
    let token = request["status"]["token"].as_str().context("no token")?;
    assert_eq!(status_with(&cluster, token, NAMESPACES).await?, 401, "not for the API server");
    assert_eq!(review(&cluster, token, &["x", "vault"]).await?["audiences"], json!(["vault"]));
    let refused = review(&cluster, token, &[]).await?;
    assert!(refused["error"].as_str().is_some_and(|why| why.contains("is invalid for the target audiences")));

    let (_, request) = request_token(&cluster, json!({})).await?;
    let token = request["status"]["token"].as_str().context("no token")?;
    assert_eq!(status_with(&cluster, token, NAMESPACES).await?, 403, "known, but without rights");
    Ok(())
}

#[tokio::test]
async fn a_token_ends_with_what_it_is_bound_to() -> Result<()> {
    let cluster = with_account().await?;
    let pod = idle_pod("p", &json!({ "serviceAccountName": "builder" }));
    let pod = cluster.post(&cluster.core("pods"), pod).await?;
    let reference = json!({ "apiVersion": "v1", "kind": "Pod", "name": "p", "uid": pod["metadata"]["uid"] });
    let (_, request) = request_token(&cluster, json!({ "boundObjectRef": reference })).await?;
    let token = request["status"]["token"].as_str().context("no token")?;
    let extra = review(&cluster, token, &[]).await?["user"]["extra"].clone();
    assert_eq!(extra["authentication.kubernetes.io/pod-name"], json!(["p"]));
    let unbound = cluster.token_of(cluster.namespace(), "builder").await?;

    cluster.call(Method::DELETE, &cluster.core("pods/p?gracePeriodSeconds=0"), None).await?;
    until_refused(&cluster, token).await?;
    assert_eq!(status_with(&cluster, &unbound, NAMESPACES).await?, 403);
    cluster.call(Method::DELETE, &cluster.core("serviceaccounts/builder"), None).await?;
    until_refused(&cluster, &unbound).await?;
    make_account(&cluster).await?;
    let again = cluster.token_of(cluster.namespace(), "builder").await?;
    assert_eq!(status_with(&cluster, &again, NAMESPACES).await?, 403);
    assert_eq!(status_with(&cluster, &unbound, NAMESPACES).await?, 401, "another one of the same name");
    Ok(())
}

#[tokio::test]
async fn requests_for_tokens_that_make_no_sense() -> Result<()> {
    let cluster = with_account().await?;
    let bound = |kind: &str, name: &str, uid: &str| json!({ "boundObjectRef": { "apiVersion": "v1", "kind": kind, "name": name, "uid": uid } });
    for (spec, status, message) in [
        (json!({ "expirationSeconds": 599 }), 422, "may not specify a duration less than 10 minutes"),
        (
            json!({ "expirationSeconds": 1_i64 << 33 }),
            422,
            "may not specify a duration larger than 2^32 seconds",
        ),
        (bound("Pod", "none", ""), 404, "pods \"none\" not found"),
        (bound("Job", "none", ""), 400, "cannot bind token to object of type /v1, Kind=Job"),
    ] {
        let (code, body) = request_token(&cluster, spec).await?;
        assert_eq!(code, status, "{body}");
        assert!(body["message"].as_str().is_some_and(|text| text.contains(message)), "{body}");
    }
    let path = cluster.core("serviceaccounts/nobody/token");
    assert_eq!(cluster.call(Method::POST, &path, Some(json!({ "spec": {} }))).await?.0, 404);
    Ok(())
}

#[tokio::test]
async fn a_secret_holds_a_token_that_ends_with_it() -> Result<()> {
    let cluster = with_account().await?;
    let secret = |name: &str, account: &str| {
        let annotations = json!({ "kubernetes.io/service-account.name": account });
        json!({
            "type": "kubernetes.io/service-account-token",
            "metadata": { "name": name, "annotations": annotations },
        })
    };
    cluster.post(&cluster.core("secrets"), secret("kept", "builder")).await?;
    cluster.post(&cluster.core("secrets"), secret("stray", "nobody")).await?;
    let kept = cluster.core("secrets/kept");
    let kept = eventually("the token", async || {
        let (_, secret) = cluster.get(&kept).await.ok()?;
        secret["data"]["token"].is_string().then_some(secret)
    });
    let kept = kept.await?;
    let gone = async || (cluster.get(&cluster.core("secrets/stray")).await.ok()?.0 == 404).then_some(());
    eventually("the secret of no account to be gone", gone).await?;

    let decoded = |field: &str| -> Result<String> {
        let text = kept["data"][field].as_str().with_context(|| format!("no {field}"))?;
        Ok(String::from_utf8(BASE64_STANDARD.decode(text)?)?)
    };
    assert_eq!(decoded("namespace")?, cluster.namespace());
    // Which authorities a real cluster names is a matter of its settings.
    if let Some(sim) = cluster.sim() {
        assert_eq!(decoded("ca.crt")?, sim.ca_pem());
    }
    let token = decoded("token")?;
    assert_eq!(status_with(&cluster, &token, NAMESPACES).await?, 403);
    cluster.call(Method::DELETE, &cluster.core("secrets/kept"), None).await?;
    until_refused(&cluster, &token).await
}
