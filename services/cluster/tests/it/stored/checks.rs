//! What is given of a cluster is checked before it is stored.

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::TestBus;

use super::{fields, nowhere, simulated};
use crate::world::{Setup, problem};

/// A certificate of its own authority and its key, as PEM.
fn certificate() -> Result<(String, String)> {
    let certified = rcgen::generate_simple_self_signed(["test".to_owned()])?;
    Ok((certified.cert.pem(), certified.signing_key.serialize_pem()))
}

#[tokio::test]
async fn each_field_that_cannot_be_accepted_is_named() -> Result<()> {
    let service = Setup::on(&TestBus::memory()).service().await?;
    let ((certificate, key), (_, other_key)) = (certificate()?, certificate()?);
    let with = |changes: Value| {
        let mut given = nowhere("c");
        given["use_secure_tls"] = true.into();
        given["ca_data"] = certificate.as_str().into();
        for (field, value) in changes.as_object().into_iter().flatten() {
            given[field] = value.clone();
        }
        given
    };
    let cases = [
        (json!({"cluster_name": ""}), "cluster_name"),
        (json!({"cluster_name": " c"}), "cluster_name"),
        (json!({"cluster_name": "a\u{0}b"}), "cluster_name"),
        (json!({"cluster_name": "x".repeat(254)}), "cluster_name"),
        (json!({"server_url": "http://203.0.113.7"}), "server_url"),
        (json!({"server_url": "https://me:secret@203.0.113.7"}), "server_url"),
        (json!({"server_url": "https://169.254.169.254"}), "server_url"),
        (json!({"server_url": "203.0.113.7"}), "server_url"),
        (json!({"token": "two words"}), "token"),
        (json!({"token": "x".repeat(20_000)}), "token"),
        (json!({"token": null}), "token"),
        (json!({"ca_data": null}), "ca_data"),
        (json!({"ca_data": "rubbish"}), "ca_data"),
        (json!({"ca_data": key}), "ca_data"),
        (json!({"tls_cert": certificate}), "tls_key"),
        (json!({"tls_key": key}), "tls_cert"),
        (json!({"tls_cert": certificate, "tls_key": other_key}), "tls_key"),
        (json!({"tls_cert": "x", "tls_key": key}), "tls_cert"),
        (json!({"tags": "a\nb"}), "tags"),
        (json!({"unknown": 1}), "unknown"),
    ];
    for (changes, field) in cases {
        let refused = service.post(&service.bob, "/onboard-cluster", &with(changes.clone())).await?;
        let document = problem(refused, 422, "invalid").await?;
        ensure!(document.errors.iter().any(|error| error.field == field), "{changes}: {document:?}");
        ensure!(!format!("{document:?}").contains("secret"), "{document:?}");
    }
    service.onboard(&service.bob, &with(json!({"tls_cert": certificate, "tls_key": key}))).await?;
    problem(service.post(&service.ann, "/onboard-cluster", &nowhere("a")).await?, 403, "forbidden").await?;
    Ok(())
}

#[tokio::test]
async fn verification_says_what_is_wrong_and_stores_nothing() -> Result<()> {
    let cluster = simulated().await?;
    let service = Setup::on(&TestBus::memory()).service().await?;
    let good = fields("good", cluster.kubeconfig())?;
    let (stranger, _) = certificate()?;
    let with = |field: &str, value: Value| {
        let mut given = good.clone();
        given[field] = value;
        given
    };
    for (given, status, code, says) in [
        (with("server_url", "https://127.0.0.1:9".into()), 502, "cluster_unreachable", "refused"),
        (
            with("server_url", "https://nobody.invalid".into()),
            502,
            "cluster_unreachable",
            "cannot be reached",
        ),
        (with("ca_data", stranger.into()), 502, "cluster_unreachable", "certificate"),
    ] {
        let refused = service.post(&service.bob, "/onboard-cluster?verify=true", &given).await?;
        let document = problem(refused, status, code).await?;
        ensure!(document.detail.to_lowercase().contains(says), "{says}: {document:?}");
    }
    // `/version` is for everybody; what the token is worth is seen when it is used.
    let id = service.onboard(&service.bob, &with("token", "worthless".into())).await?;
    let path = format!("/get-namespaces/{id}");
    let refused = service.call(&service.bob, Method::GET, &path).send().await?;
    let document = problem(refused, 403, "forbidden").await?;
    ensure!(document.detail.contains("401"), "{document:?}");
    Ok(())
}

/// A bundle may hold more than certificates, and only those are kept.
#[tokio::test]
async fn what_is_secret_in_a_bundle_is_not_kept() -> Result<()> {
    let service = Setup::on(&TestBus::memory()).service().await?;
    let (certificate, key) = certificate()?;
    let mut given = nowhere("c");
    given["use_secure_tls"] = true.into();
    given["ca_data"] = format!("# mine\u{0}\n{key}{certificate}").into();
    service.onboard(&service.bob, &given).await?;
    let list = service.get_json(&service.bob, "/clusters").await?;
    ensure!(list["clusters"][0]["ca_data"] == certificate, "{list}");
    Ok(())
}

#[tokio::test]
async fn other_credentials_take_the_place_of_those_that_are_stored() -> Result<()> {
    let cluster = simulated().await?;
    let service = Setup::on(&TestBus::memory()).service().await?;
    let good = fields("c", cluster.kubeconfig())?;
    let mut worthless = good.clone();
    worthless["token"] = "worthless".into();
    let id = service.onboard(&service.bob, &worthless).await?;
    let path = format!("/get-namespaces/{id}");
    let asked = || service.call(&service.bob, Method::GET, &path).send();
    problem(asked().await?, 403, "forbidden").await?;
    let mut credentials = good.clone();
    credentials.as_object_mut().context("fields")?.remove("cluster_name");
    let replacing = service.call(&service.bob, Method::PUT, "/cluster/c/credentials?verify=true");
    ensure!(replacing.json(&credentials).send().await?.status() == 200);
    // A client of the earlier ones is not used any more.
    ensure!(asked().await?.status() == 200);
    let events = service.audit(&service.bob, "?type=cluster_updated", 1).await?;
    ensure!(events[0]["data"]["changed"] == json!(["credentials"]), "{events:?}");
    Ok(())
}
