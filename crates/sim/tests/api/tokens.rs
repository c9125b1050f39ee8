//! Tokens of service accounts as the API gives them out.

use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::Method;
use serde_json::{Value, json};
use sim::{DeleteOptions, Options, Seed, kinds};

use crate::common::{Anywhere, Cluster, answer, cluster, cluster_with};

const ACCOUNT: &str = "/api/v1/namespaces/default/serviceaccounts/builder";

async fn with_account() -> Result<Cluster> {
    let cluster = cluster(Seed::Empty).await?;
    cluster.sim.api().create(account("builder"))?;
    Ok(cluster)
}

fn account(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name, "namespace": "default" } })
}

async fn request_token(cluster: &Cluster, spec: Value) -> Result<(u16, Value)> {
    let body = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec });
    cluster.call(Method::POST, &format!("{ACCOUNT}/token"), Some(body)).await
}

async fn review(cluster: &Cluster, token: &str, audiences: &[&str]) -> Result<Value> {
    let body = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "spec": { "token": token, "audiences": audiences },
    });
    let path = "/apis/authentication.k8s.io/v1/tokenreviews";
    let (status, review) = cluster.call(Method::POST, path, Some(body)).await?;
    assert_eq!(status, 201);
    Ok(review["status"].clone())
}

/// The status of a list of namespaces with a token: 403 for who is known and may not, 401 for a bad token.
async fn status_with(cluster: &Cluster, token: &str) -> Result<u16> {
    Ok(answer(cluster.anonymous(Method::GET, "/api/v1/namespaces").bearer_auth(token)).await?.0)
}

/// A token for the account `builder` of the test's namespace.
async fn asks_for_token(cluster: &Anywhere, spec: Value) -> Result<(u16, Value)> {
    let body = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec });
    cluster.call(Method::POST, &cluster.core("serviceaccounts/builder/token"), Some(body)).await
}

async fn anywhere_with_account() -> Result<Anywhere> {
    let cluster = Anywhere::start().await?;
    cluster.creates(&cluster.core("serviceaccounts"), json!({ "metadata": { "name": "builder" } })).await?;
    Ok(cluster)
}

#[tokio::test]
async fn a_token_ends_with_its_time() -> Result<()> {
    let cluster = with_account().await?;
    let (status, request) = request_token(&cluster, json!({ "expirationSeconds": 600 })).await?;
    assert_eq!(status, 201);
    let token = request["status"]["token"].as_str().context("no token")?;
    let expiry: jiff::Timestamp =
        request["status"]["expirationTimestamp"].as_str().context("no time")?.parse()?;
    let left = expiry.duration_since(cluster.sim.api().clock().now()).as_secs();
    assert!((590..=600).contains(&left), "{left}");
    assert_eq!(status_with(&cluster, token).await?, 403);

    let status = review(&cluster, token, &[]).await?;
    let (user, uid) = (&status["user"], cluster.get(ACCOUNT).await?.1["metadata"]["uid"].clone());
    assert_eq!(status["authenticated"], true);
    assert_eq!(user["username"], "system:serviceaccount:default:builder");
    assert_eq!(user["uid"], uid);
    let groups = ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"];
    assert_eq!(user["groups"], json!(groups));

    cluster.sim.api().clock().advance(Duration::from_secs(601));
    assert_eq!(status_with(&cluster, token).await?, 401);
    let status = review(&cluster, token, &[]).await?;
    assert_eq!(
        status,
        json!({ "user": {}, "error": "[invalid bearer token, service account token has expired]" })
    );
    Ok(())
}

#[tokio::test]
async fn a_token_is_for_its_audiences() -> Result<()> {
    let cluster = anywhere_with_account().await?;
    let (_, request) = asks_for_token(&cluster, json!({ "audiences": ["vault", "audit"] })).await?;
    assert_eq!(request["spec"]["expirationSeconds"], 3600, "the default");
    let token = request["status"]["token"].as_str().context("no token")?;
    let namespaces = "/api/v1/namespaces";
    assert_eq!(cluster.status_with(token, namespaces).await?, 401, "not for the API server");
    let review = async |audiences: &[&str]| {
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": { "token": token, "audiences": audiences },
        });
        let path = "/apis/authentication.k8s.io/v1/tokenreviews";
        anyhow::Ok(cluster.creates(path, body).await?["status"].take())
    };
    assert_eq!(review(&["x", "vault"]).await?["audiences"], json!(["vault"]));
    let refused = review(&[]).await?;
    assert!(refused["error"].as_str().is_some_and(|why| why.contains("is invalid for the target audiences")));

    let (_, request) = asks_for_token(&cluster, json!({})).await?;
    let token = request["status"]["token"].as_str().context("no token")?;
    assert_eq!(cluster.status_with(token, namespaces).await?, 403, "known, but without rights");
    Ok(())
}

#[tokio::test]
async fn a_token_ends_with_what_it_is_bound_to() -> Result<()> {
    let cluster = with_account().await?;
    let pod = cluster.sim.api().create(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p", "namespace": "default" },
        "spec": { "serviceAccountName": "builder", "containers": [{ "name": "c", "image": "i" }] },
    }))?;
    let reference = json!({ "apiVersion": "v1", "kind": "Pod", "name": "p", "uid": pod["metadata"]["uid"] });
    let (_, request) = request_token(&cluster, json!({ "boundObjectRef": reference })).await?;
    let token = request["status"]["token"].as_str().context("no token")?;
    let extra = review(&cluster, token, &[]).await?["user"]["extra"].clone();
    assert_eq!(extra["authentication.kubernetes.io/pod-name"], json!(["p"]));
    let (_, unbound) = request_token(&cluster, json!({})).await?;
    let unbound = unbound["status"]["token"].as_str().context("no token")?;

    let now = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
    cluster.sim.api().delete(kinds::PODS, "default", "p", &now)?;
    assert_eq!(status_with(&cluster, token).await?, 401);
    assert_eq!(status_with(&cluster, unbound).await?, 403);
    cluster.sim.api().delete(kinds::SERVICE_ACCOUNTS, "default", "builder", &DeleteOptions::default())?;
    assert_eq!(status_with(&cluster, unbound).await?, 401);
    cluster.sim.api().create(account("builder"))?;
    assert_eq!(status_with(&cluster, unbound).await?, 401, "another one of the same name");
    Ok(())
}

#[tokio::test]
async fn requests_for_tokens_that_make_no_sense() -> Result<()> {
    let cluster = anywhere_with_account().await?;
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
        let (code, body) = asks_for_token(&cluster, spec).await?;
        assert_eq!(code, status, "{body}");
        assert!(body["message"].as_str().is_some_and(|text| text.contains(message)), "{body}");
    }
    let path = cluster.core("serviceaccounts/nobody/token");
    assert_eq!(cluster.call(Method::POST, &path, Some(json!({ "spec": {} }))).await?.0, 404);
    Ok(())
}

#[tokio::test]
async fn a_secret_holds_a_token_that_ends_with_it() -> Result<()> {
    let cluster = cluster_with(Options { seed: Seed::Empty, ..Options::default() }).await?;
    let api = cluster.sim.api();
    api.create(account("builder"))?;
    let secret = |name: &str, account: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
            "metadata": {
                "name": name, "namespace": "default",
                "annotations": { "kubernetes.io/service-account.name": account },
            },
        })
    };
    let mut revision = api.revision();
    api.create(secret("kept", "builder"))?;
    api.create(secret("stray", "nobody"))?;
    let filled = async {
        loop {
            let kept = api.get(kinds::SECRETS, "default", "kept")?;
            if kept["data"]["token"].is_string() && api.get(kinds::SECRETS, "default", "stray").is_err() {
                return anyhow::Ok(kept);
            }
            revision.changed().await?;
        }
    };
    let kept = tokio::time::timeout(Duration::from_secs(10), filled).await??;
    let decoded = |field: &str| -> Result<String> {
        let text = kept["data"][field].as_str().context("no such field")?;
        Ok(String::from_utf8(BASE64_STANDARD.decode(text)?)?)
    };
    assert_eq!(decoded("namespace")?, "default");
    assert_eq!(decoded("ca.crt")?, cluster.sim.ca_pem());
    let token = decoded("token")?;
    assert_eq!(status_with(&cluster, &token).await?, 403);
    api.delete(kinds::SECRETS, "default", "kept", &DeleteOptions::default())?;
    assert_eq!(status_with(&cluster, &token).await?, 401);
    Ok(())
}
