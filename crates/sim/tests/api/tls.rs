//! The certificates of the simulated cluster, which has an authority of its own.

use anyhow::Result;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use reqwest::Method;
use sim::{Options, Seed, Sim};
use tokio::net::TcpStream;

use crate::common::{api_server, trusting};

#[tokio::test]
async fn only_who_trusts_the_authority_connects() -> Result<()> {
    let sim = Sim::start(api_server(Seed::Empty)).await?;
    let other = Sim::start(api_server(Seed::Empty)).await?;
    let asked = trusting(&other.ca_pem())?.get(sim.url()).send().await;
    assert!(asked.is_err_and(|error| error.is_connect()));
    let port = sim.addr().port();
    let asked = trusting(&sim.ca_pem())?.get(format!("https://localhost:{port}/version")).send().await?;
    assert_eq!(asked.status(), 200);
    Ok(())
}

#[tokio::test]
async fn who_never_speaks_holds_up_nobody() -> Result<()> {
    let sim = Sim::start(api_server(Seed::Empty)).await?;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(sim.addr()).await?);
    }
    let asked = trusting(&sim.ca_pem())?.get(format!("{}/version", sim.url())).send().await?;
    assert_eq!(asked.status(), 200);
    sim.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_certificate_names_its_user_and_group() -> Result<()> {
    let sim = Sim::start(api_server(Seed::Empty)).await?;
    for (user, group, status) in
        [("jane", None, Some(403)), ("root", Some("system:masters"), None), ("joe", Some("sales"), Some(403))]
    {
        let certificate = sim.client_certificate(user, group)?;
        let kubeconfig = Kubeconfig::from_yaml(&sim.kubeconfig_with_certificate(&certificate))?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config)?;
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
