//! TLS to the relay.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Context, Result};
use rcgen::CertifiedKey;
use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::{process::agent, relay::PATIENCE, world::World};

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
            rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
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
