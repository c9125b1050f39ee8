//! The certificates of the simulated cluster, which has an authority of its own.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use reqwest::Method;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use sim::{Options, Seed, Sim};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

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

/// The whole answer to what is sent, until the server closes the connection.
async fn answer_to(sim: &Sim, sent: &str) -> Result<String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(sim.ca_pem().as_bytes())?)?;
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(sim.addr()).await?;
    let connector = TlsConnector::from(std::sync::Arc::new(config));
    let mut stream = connector.connect(ServerName::try_from("localhost")?, stream).await?;
    stream.write_all(sent.as_bytes()).await?;
    let mut answer = Vec::new();
    // Who is cut need not be told.
    let _ = stream.read_to_end(&mut answer).await;
    Ok(String::from_utf8(answer)?)
}

#[tokio::test]
async fn who_does_not_send_to_the_end_is_cut() -> Result<()> {
    let options = Options { read_timeout: Duration::from_millis(500), ..api_server(Seed::Empty) };
    let sim = Sim::start(options).await?;
    assert_eq!(trusting(&sim.ca_pem())?.get(format!("{}/version", sim.url())).send().await?.status(), 200);
    let within = Duration::from_secs(20);

    let mut silent = TcpStream::connect(sim.addr()).await?;
    assert_eq!(timeout(within, silent.read(&mut [0])).await??, 0, "no handshake");
    timeout(within, answer_to(&sim, "GET /version HTTP/1.1\r\nhost:")).await??;
    let head = format!(
        "POST /api/v1/namespaces HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {}\r\n\
         content-length: 9\r\n\r\n{{",
        sim.admin_token()
    );
    let answer = timeout(within, answer_to(&sim, &head)).await??;
    assert!(
        answer.starts_with("HTTP/1.1 504 ") && answer.contains("within the allotted timeout"),
        "{answer}"
    );
    Ok(())
}
