//! No log has a key or a password in it, whatever `RUST_LOG` says.
//!
//! In a process of its own, because the log is the whole process's: the connection to the broker logs on threads of its
//! own.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Result, ensure};
use bus::{Bus, BusOptions, PublishError, RequestError, RequestOptions};
use contracts::{
    ErrorCode, Timestamp, Token, TokenKind,
    auth::{AuthRequest, AuthResult},
    queues::Service,
};
use secrecy::ExposeSecret;
use testkit::{Proxy, TestBus, amqp_address, eventually};
use tokio::time::timeout;
use tracing_subscriber::util::SubscriberInitExt;
use web::{
    auth::{RemoteVerifier, Verifier},
    config::{AuthArgs, LogArgs, LogFormat},
    telemetry::subscriber,
};

/// A log that can be read.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Fails when the log has the secret, as text or as a list of bytes.
    fn lack(&self, secret: &str) -> Result<()> {
        let text = self.text();
        let bytes: Vec<String> = secret.bytes().map(|byte| byte.to_string()).collect();
        for form in [secret.to_owned(), bytes.join(", ")] {
            let line = text.lines().find(|line| line.contains(&form));
            ensure!(line.is_none(), "a secret was logged: {line:?}");
        }
        Ok(())
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn neither_keys_nor_passwords_are_logged_at_any_level() -> Result<()> {
    let lines = Lines::default();
    let writer = lines.clone();
    let args = LogArgs { log_format: LogFormat::Pretty, debug: true };
    subscriber(&args, "trace", move || writer.clone())?.try_init()?;
    tracing::debug!("the log is on");

    // A message that no queue takes comes back with all that is in it.
    let test = TestBus::rabbitmq();
    let bus = Bus::connect(&test.url, BusOptions { prefix: test.prefix, ..BusOptions::default() })?;
    timeout(Duration::from_secs(10), bus.ready()).await?;
    let key = Token::generate(TokenKind::ApiKey, &mut rand::rng());
    let request = AuthRequest {
        request_id: "r".into(),
        api_key: key.secret().clone().into(),
        service: "cluster".into(),
        timestamp: Timestamp::now(),
    };
    let route = Service::Cluster.auth_route();
    let options = RequestOptions::within(Duration::from_secs(10));
    let answer: Result<AuthResult, _> = bus.request(route, &request, options).await;
    ensure!(matches!(answer, Err(RequestError::Publish(PublishError::Unroutable { .. }))), "{answer:?}");

    // The same by the one who asks about keys, and over HTTP, where nobody answers.
    let closed = Proxy::start(amqp_address()?).await?;
    closed.cut();
    let token = Token::generate(TokenKind::ServiceToken, &mut rand::rng());
    let args = AuthArgs {
        user_service_url: Some(format!("http://{}", closed.address()).parse()?),
        service_token: Some(token.secret().clone()),
        ..AuthArgs::default()
    };
    let answer = RemoteVerifier::start(&bus, Service::Cluster, &args)?.verify(key.clone()).await;
    assert_eq!(answer.code, Some(ErrorCode::BrokerUnavailable));

    // A broker that refuses the password.
    let password = "planted-hunter2";
    let url = format!("amqp://guest:{password}@{}/%2f", amqp_address()?);
    let refused =
        Bus::connect(&url.into(), BusOptions { client_name: "refused".into(), ..BusOptions::default() })?;
    eventually("the refusal", async || {
        let text = lines.text();
        let told = text.lines().any(|line| line.contains("cannot connect") && line.contains("refused"));
        told.then_some(())
    })
    .await?;
    assert!(!refused.is_ready());

    let text = lines.text();
    for alive in ["the log is on", "lapin::", "neither over the bus nor over HTTP"] {
        ensure!(text.contains(alive), "{alive:?} is not in\n{text}");
    }
    for secret in [key.secret(), token.secret()] {
        lines.lack(secret.expose_secret())?;
    }
    lines.lack(password)
}
