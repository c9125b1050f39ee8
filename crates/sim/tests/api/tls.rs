//! The cluster's certificates.

use anyhow::Result;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ListParams};
use reqwest::Method;
use sim::{Options, Seed, Sim};
use tokio::net::TcpStream;

use crate::common::{client_of, cluster, trusting};

#[tokio::test]
async fn only_who_trusts_the_authority_connects() -> Result<()> {
    let cluster = cluster(Seed::Empty).await?;
    let other = Sim::start(Options { seed: Seed::Empty, ..Options::default() }).await?;
    let asked = trusting(&other.ca_pem())?.get(cluster.sim.url()).send().await;
    assert!(asked.is_err_and(|error| error.is_connect()));
    let port = cluster.sim.addr().port();
    let asked =
        trusting(&cluster.sim.ca_pem())?.get(format!("https://localhost:{port}/version")).send().await?;
    assert_eq!(asked.status(), 200);
    Ok(())
}

#[tokio::test]
async fn who_never_speaks_holds_up_nobody() -> Result<()> {
    let cluster = cluster(Seed::Empty).await?;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(cluster.sim.addr()).await?);
    }
    assert_eq!(cluster.get("/version").await?.0, 200);
    cluster.sim.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_certificate_names_its_user_and_group() -> Result<()> {
    let cluster = cluster(Seed::Empty).await?;
    for (user, group, status) in
        [("jane", None, Some(403)), ("root", Some("system:masters"), None), ("joe", Some("sales"), Some(403))]
    {
        let certificate = cluster.sim.client_certificate(user, group)?;
        let client = client_of(&cluster.sim.kubeconfig_with_certificate(&certificate)).await?;
        match (Api::<Namespace>::all(client).list(&ListParams::default()).await, status) {
            (Ok(namespaces), None) => assert_eq!(namespaces.items.len(), 4),
            (Err(kube::Error::Api(refused)), Some(code)) => {
                assert_eq!(refused.code, code);
                assert!(refused.message.contains(&format!("User \"{user}\"")), "{}", refused.message);
            }
            (answer, _) => anyhow::bail!("{user}: {answer:?}"),
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_kubeconfig_outlives_a_restart_with_the_same_token() -> Result<()> {
    let options =
        || Options { seed: Seed::Empty, admin_token: Some("known".to_owned()), ..Options::default() };
    let first = Sim::start(options()).await?;
    let (address, authority) = (first.addr(), first.ca_pem());
    first.stop().await;
    let second = Sim::start(Options { listen: address, ..options() }).await?;
    let asked = trusting(&authority)?.request(Method::GET, format!("{}/api/v1/namespaces", second.url()));
    assert_eq!(asked.bearer_auth("known").send().await?.status(), 200);
    Ok(())
}
