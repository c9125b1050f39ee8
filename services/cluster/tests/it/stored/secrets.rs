//! What is secret of a cluster is nowhere but in its envelope.

use std::{
    fs,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use bus::{Bus, BusOptions, Notice};
use reqwest::Method;
use serde_json::json;
use store::testing::TestDatabase;
use testkit::TestBus;
use tokio::time::timeout;
use tracing_subscriber::fmt::MakeWriter;

use super::{fields, nowhere, simulated};
use crate::world::{Setup, secrets_key};

const TOKEN: &str = "planted-token-4711";

/// What is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Everything in the folder of a database, with its journal.
fn on_disk(database: &TestDatabase) -> Result<Vec<u8>> {
    use secrecy::ExposeSecret;
    let folder = database.url().expose_secret().trim_start_matches("sqlite:").to_owned();
    let mut bytes = Vec::new();
    for entry in fs::read_dir(folder)? {
        bytes.extend(fs::read(entry?.path())?);
    }
    Ok(bytes)
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// What is the same of a text in Base64, whatever stands before it and after it.
fn in_base64(text: &str) -> [String; 3] {
    [0, 1, 2].map(|before| {
        let encoded = BASE64_STANDARD_NO_PAD.encode(format!("{}{text}", "-".repeat(before)));
        // The first characters hold bits of what is before it, the last ones of what is after it.
        encoded[4..encoded.len() - 2].to_owned()
    })
}

#[tokio::test]
async fn planted_secrets_are_found_nowhere() -> Result<()> {
    let log = Log::default();
    // Of the whole process: what other tests log does not matter.
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber)?;
    let cluster = simulated().await?;
    let (database, bus) = (TestDatabase::sqlite(), TestBus::memory());
    let listening = Bus::connect(&bus.url, BusOptions::default())?;
    let mut events = listening.watch_events(&["#"]);
    ensure!(events.next().await == Some(Notice::Gap));
    let setup = Setup { database: Some(database.url().clone()), ..Setup::on(&bus) };
    let service = setup.service().await?;

    let certified = rcgen::generate_simple_self_signed(["test".to_owned()])?;
    let key = certified.signing_key.serialize_pem();
    let key_line = key.lines().nth(1).context("a key")?.to_owned();
    let mut given = fields("c", cluster.kubeconfig())?;
    given["token"] = TOKEN.into();
    given["tls_cert"] = certified.cert.pem().into();
    given["tls_key"] = key.clone().into();
    let certificate_line = certified.cert.pem().lines().nth(1).context("a certificate")?.to_owned();
    let id = service.onboard(&service.carol, &given).await?;

    // Everything that can be done with it, and what fails.
    let mut answers = Vec::new();
    let mut bad = given.clone();
    bad["server_url"] = format!("https://{TOKEN}@127.0.0.1").into();
    bad["tls_cert"] = "x".into();
    answers.push(service.post(&service.carol, "/onboard-cluster", &bad).await?.text().await?);
    let yaml = format!("users: [{{name: u, user: {{token: {TOKEN}, tokenFile: [}}}}]");
    let import = service.call(&service.carol, Method::POST, "/onboard-cluster/kubeconfig");
    answers.push(import.header("content-type", "text/yaml").body(yaml).send().await?.text().await?);
    for (method, path) in [
        (Method::GET, "/clusters".to_owned()),
        (Method::GET, format!("/get-namespaces/{id}")),
        (Method::POST, format!("/select-cluster-and-get-namespaces/{id}")),
        (Method::GET, "/api/v1/audit".to_owned()),
    ] {
        answers.push(service.call(&service.carol, method, &path).send().await?.text().await?);
    }
    let command = json!({"command": "get pods -v=9"});
    let path = format!("/execute-kubectl-direct/{id}");
    answers.push(service.post(&service.carol, &path, &command).await?.text().await?);
    let command = json!({"command": "get pods"});
    answers.push(service.post(&service.carol, &path, &command).await?.text().await?);
    let shown = service.get_json(&service.carol, "/cluster/c/credentials").await?;
    ensure!(shown["token"] == TOKEN && shown["tls_key"] == key, "the credentials are shown here alone");
    let removed = service.call(&service.carol, Method::DELETE, &format!("/remove-cluster/{id}"));

    let before = on_disk(&database)?;
    answers.push(removed.send().await?.text().await?);
    let mut told = String::new();
    loop {
        let notice = timeout(std::time::Duration::from_secs(10), events.next()).await?;
        told.push_str(&format!("{notice:?}"));
        if told.contains("ClusterDeleted") {
            break;
        }
    }
    let logged = log.text();
    ensure!(logged.contains("/onboard-cluster"), "the log is that of the service");
    ensure!(holds(&before, "127.0.0.1"), "the database is that of the service");
    // As they are, and as a kubeconfig has them: in Base64, where they begin at any of three places.
    let encoded: Vec<String> = [TOKEN, &key_line].iter().flat_map(|secret| in_base64(secret)).collect();
    for secret in [TOKEN, &key_line].into_iter().chain(encoded.iter().map(String::as_str)) {
        ensure!(!holds(&before, secret), "the database holds a secret");
        ensure!(!logged.contains(secret), "the log holds a secret");
        ensure!(!told.contains(secret), "an event holds a secret");
        for answer in &answers {
            ensure!(!answer.contains(secret), "an answer holds a secret: {answer}");
        }
    }
    ensure!(!holds(&before, &certificate_line), "the database holds the certificate");
    Ok(())
}

#[tokio::test]
async fn a_wrong_key_is_known_at_the_start_and_a_new_one_takes_over() -> Result<()> {
    let (cluster, database) = (simulated().await?, TestDatabase::sqlite());
    let with = |key: String| Setup {
        database: Some(database.url().clone()),
        secrets_key: key.into(),
        ..Setup::on(&TestBus::memory())
    };
    let (old, new) = (secrets_key(1), secrets_key(2));
    let service = with(format!("old:{old}")).service().await?;
    service.onboard(&service.carol, &fields("c", cluster.kubeconfig())?).await?;
    service.onboard(&service.carol, &nowhere("n")).await?;
    drop(service);

    for (wrong, says) in [(format!("new:{new}"), "old"), (format!("old:{new}"), "cannot be opened")] {
        let error = with(wrong).service().await.err().context("it started with a wrong key")?;
        let text = format!("{error:#}");
        ensure!(text.contains("SECRETS_KEY") && text.contains(says), "{text}");
    }
    // While both are there, what the old one has sealed is sealed with the new one.
    let service = with(format!("new:{new},old:{old}")).service().await?;
    let is_sealed_anew = async || {
        let alone = with(format!("new:{new}"));
        alone.service().await.ok().map(drop)
    };
    testkit::eventually("all to be sealed anew", is_sealed_anew).await?;
    drop(service);
    let service = with(format!("new:{new}")).service().await?;
    let list = service.get_json(&service.dave, "/clusters").await?;
    ensure!(list["clusters"] == json!([]), "another user still sees nothing: {list}");
    Ok(())
}
