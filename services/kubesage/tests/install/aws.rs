//! The role of a cluster, with moto in the place of AWS.

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::json;
use testkit::Moto;

use crate::site::{Site, tests};

tests! {
    a_role_that_moto_gives_to_anybody_is_refused needs ["moto_server"],
}

/// moto models no trust policies: every role of it can be assumed without this external id.
async fn a_role_that_moto_gives_to_anybody_is_refused() -> Result<()> {
    let moto = Moto::start().await?;
    let site = Site::start_with(&[
        ("AWS_ENDPOINT_URL", moto.url()),
        ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ])
    .await?;
    let cluster = site.cluster("eks", "prod", &[]).await?;
    let path = format!("/api/v1/clusters/{}/aws-role", cluster.cluster_id);
    let told = site.get(&path).await?;
    ensure!(told["principal"].as_str().is_some_and(|arn| arn.starts_with("arn:aws:")), "{told}");
    let role = json!({"role_arn": "arn:aws:iam::123456789012:role/Reader"});
    let (status, refused) = site.call(Method::POST, &path, &role).await?;
    ensure!(
        status == 422 && refused.to_string().contains("can be assumed without this external id"),
        "{refused}"
    );
    Ok(())
}
