//! Who gets into the account, and from there into the cluster.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use aws_access::eks_token;
use aws_credential_types::Credentials;
use cloud::{CloudError, CloudReads as _};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use simulated_cloud::{Settings, Simulated};

use crate::common::{World, group, settings};

/// Who a token says that its sender is, as the cluster tells its sender.
async fn who(world: &World, token: &str) -> Result<(u16, Value)> {
    let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    world.cluster.with_token(token).await?.call(reqwest::Method::POST, path, Some(review)).await
}

fn token(credentials: &Credentials, cluster: &str, at: SystemTime) -> Result<String> {
    Ok(eks_token(credentials, "us-east-1", cluster, at)?.token.expose_secret().to_owned())
}

#[tokio::test]
async fn who_has_assumed_the_role_is_known_to_the_cluster() -> Result<()> {
    let world = World::shop().await?;
    let credentials = world.cloud.credentials().await?;
    let now = SystemTime::now();
    let good = token(&credentials, "shop", now)?;
    let (status, review) = who(&world, &good).await?;
    assert_eq!(status, 201, "{review}");
    let user = &review["status"]["userInfo"];
    let name = "arn:aws:sts::000000000000:assumed-role/KubesageOptimizer/kubesage-optimizer";
    assert_eq!(user["username"], name);
    assert_eq!(user["groups"], json!(["kubesage:optimizer", "system:authenticated"]));
    let minutes = |count| Duration::from_mins(count);
    assert_eq!(who(&world, &token(&credentials, "shop", now - minutes(14))?).await?.0, 201);
    // EKS believes the STS of every region.
    let elsewhere = eks_token(&credentials, "eu-west-1", "shop", now)?;
    assert_eq!(who(&world, elsewhere.token.expose_secret()).await?.0, 201);

    let stranger = Credentials::new(
        credentials.access_key_id(),
        "another secret",
        credentials.session_token().map(str::to_owned),
        None,
        "test",
    );
    let unknown = Credentials::new("ASIA0000000000000000", "secret", None, None, "test");
    let mut changed = good.clone();
    let last = if changed.pop() == Some('A') { 'B' } else { 'A' };
    changed.push(last);
    for (why, bad) in [
        ("another cluster", token(&credentials, "other", now)?),
        ("too old", token(&credentials, "shop", now - minutes(16))?),
        ("of the future", token(&credentials, "shop", now + minutes(16))?),
        ("another key", token(&stranger, "shop", now)?),
        ("no session", token(&unknown, "shop", now)?),
        ("changed", changed),
        ("cut", good[..good.len() / 2].to_owned()),
        ("empty", "k8s-aws-v1.".to_owned()),
        ("long", format!("k8s-aws-v1.{}", "A".repeat(5000))),
    ] {
        assert_eq!(who(&world, &bad).await?.0, 401, "{why}");
    }

    world.account().end_sessions();
    assert_eq!(who(&world, &good).await?.0, 401, "its session has ended");
    world.cloud.group(&group("eks-core")).await?;
    let renewed = world.cloud.credentials().await?;
    assert_ne!(renewed.access_key_id(), credentials.access_key_id(), "the role was assumed again");
    assert_eq!(who(&world, &token(&renewed, "shop", now)?).await?.0, 201);
    Ok(())
}

#[tokio::test]
async fn only_who_knows_the_external_id_is_let_in() -> Result<()> {
    let world = World::shop().await?;
    let good = settings(world.sim());
    for bad in [
        Settings { external_id: "guessed".to_owned(), ..good.clone() },
        Settings { role_arn: "arn:aws:iam::000000000000:role/Other".to_owned(), ..good.clone() },
    ] {
        let answer = Simulated::new(bad)?.group(&group("eks-core")).await;
        assert!(matches!(answer, Err(CloudError::Denied { .. })), "{answer:?}");
    }
    world.account().accept_role("arn:aws:iam::000000000000:role/Other", "its own");
    let other = Settings {
        role_arn: "arn:aws:iam::000000000000:role/Other".to_owned(),
        external_id: "its own".to_owned(),
        ..good
    };
    assert!(Simulated::new(other)?.group(&group("eks-core")).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn no_token_of_the_cluster_is_one_of_the_account() -> Result<()> {
    let world = World::shop().await?;
    let call = async |path: &str, body: Value| {
        world.cluster.call(reqwest::Method::POST, &format!("/simulator/v1/cloud/{path}"), Some(body)).await
    };
    assert_eq!(call("group", json!({ "name": "eks-core" })).await?.0, 401, "the administrator is no session");
    let (status, granted) = call("assume-role", json!({ "role_arn": "x", "external_id": "y" })).await?;
    assert_eq!((status, &granted["error"]), (403, &json!("denied")));
    Ok(())
}
