//! The way to the relay: TLS, private authorities and proxies.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Context, Result};
use contracts::query::{Command, Params};
use rcgen::CertifiedKey;
use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::{process::agent, relay::PATIENCE, world::World};

/// A relay that is reached through a proxy only.
const HOST: &str = "relay.example";

/// Ends TLS in front of a relay, as an ingress does.
struct Ingress {
    url: String,
    /// Handshakes, and whether they succeeded.
    handshakes: mpsc::Receiver<bool>,
    _tasks: JoinSet<()>,
}

impl Ingress {
    /// Writes the certificate that a client must trust to `certificate`.
    async fn start(relay_url: &str, certificate: &Path) -> Result<Self> {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned(), HOST.to_owned()])?;
        fs::write(certificate, cert.pem())?;
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://localhost:{}", listener.local_addr()?.port());
        let relay = relay_url.trim_start_matches("http://").to_owned();
        let (sender, handshakes) = mpsc::channel(16);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let accepted = acceptor.accept(stream).await;
                let _ = sender.send(accepted.is_ok()).await;
                if let (Ok(mut from), Ok(mut to)) = (accepted, TcpStream::connect(&relay).await) {
                    tokio::spawn(async move { copy_bidirectional(&mut from, &mut to).await });
                }
            }
        });
        Ok(Self { url, handshakes, _tasks: tasks })
    }
}

/// An HTTP proxy that wants a password.
struct TestProxy {
    url: String,
    /// The heads of what it was asked.
    asked: mpsc::Receiver<String>,
    _tasks: JoinSet<()>,
}

impl TestProxy {
    /// Leads whoever asks for [`HOST`] to this port of the machine.
    async fn start(port: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://ada:pass%20word@{}", listener.local_addr()?);
        let (sender, asked) = mpsc::channel(16);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") && head.len() < 4096 {
                    let Ok(byte) = stream.read_u8().await else { break };
                    head.push(byte);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let is_meant = head.starts_with(&format!("CONNECT {HOST}:443 HTTP/1.1\r\n"));
                let _ = sender.send(head).await;
                let answer =
                    if is_meant { "HTTP/1.1 200 OK\r\n\r\n" } else { "HTTP/1.1 403 Forbidden\r\n\r\n" };
                let answered = stream.write_all(answer.as_bytes()).await;
                if let (true, Ok(()), Ok(mut to)) =
                    (is_meant, answered, TcpStream::connect(("127.0.0.1", port)).await)
                {
                    tokio::spawn(async move { copy_bidirectional(&mut stream, &mut to).await });
                }
            }
        });
        Ok(Self { url, asked, _tasks: tasks })
    }
}

#[tokio::test]
async fn a_relay_of_a_private_authority_is_reached_through_a_proxy() -> Result<()> {
    let mut world = World::anywhere().await?;
    let files = TempDir::new()?;
    let trusted = files.path().join("trusted.pem");
    let ingress = Ingress::start(&world.relay.url, &trusted).await?;
    let port = ingress.url.rsplit_once(':').context("a port")?.1.parse()?;
    let mut proxy = TestProxy::start(port).await?;
    let mut command = agent(&world, &format!("https://{HOST}"));
    command
        .env("API_CA_FILE", &trusted)
        .env("HTTPS_PROXY", &proxy.url)
        .env("NO_PROXY", "127.0.0.1,10.0.0.0/8");
    let _agent = command.spawn()?;
    let mut connection = world.relay.accept().await?;
    connection.hello().await?;
    connection.welcome(1).await?;
    let head = tokio::time::timeout(PATIENCE, proxy.asked.recv()).await?.context("the proxy has ended")?;
    // ada:pass word
    assert!(
        head.to_lowercase().contains("proxy-authorization: basic ") && head.contains("YWRhOnBhc3Mgd29yZA=="),
        "{head}"
    );
    // The API server is reached without it, though kube heeds HTTPS_PROXY too.
    let namespaces = connection.get(Command::GetNamespaces, Params::default()).await?;
    assert!(namespaces["total_count"].as_u64().is_some_and(|count| count > 0), "{namespaces}");
    assert!(proxy.asked.try_recv().is_err(), "nothing else went through the proxy");
    Ok(())
}

#[tokio::test]
async fn an_authority_that_cannot_be_read_is_named() -> Result<()> {
    let world = World::anywhere().await?;
    let files = TempDir::new()?;
    let broken = files.path().join("broken.pem");
    fs::write(&broken, "no certificate")?;
    let output = agent(&world, "https://relay.example").env("API_CA_FILE", &broken).output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("API_CA_FILE") && said.contains("broken.pem"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn a_relay_with_a_trusted_certificate_is_spoken_to_and_another_is_not() -> Result<()> {
    let mut world = World::anywhere().await?;
    let files = TempDir::new()?;
    let (trusted, other) = (files.path().join("trusted.pem"), files.path().join("other.pem"));
    let ingress = Ingress::start(&world.relay.url, &trusted).await?;
    let mut impostor = Ingress::start(&world.relay.url, &other).await?;

    let _agent = agent(&world, &ingress.url).env("SSL_CERT_FILE", &trusted).spawn()?;
    let mut connection = world.relay.accept().await?;
    connection.hello().await?;

    let _agent = agent(&world, &impostor.url).env("SSL_CERT_FILE", &trusted).spawn()?;
    let handshake = tokio::time::timeout(PATIENCE, impostor.handshakes.recv()).await?;
    assert!(!handshake.context("the ingress ended")?, "an impostor was trusted");
    Ok(())
}
