//! The same process on RabbitMQ and PostgreSQL, and on a cluster that a kubeconfig names.

use anyhow::Result;
use secrecy::ExposeSecret;
use store::testing::TestDatabase;
use tempfile::TempDir;
use testkit::{Cluster, TestBus};

use crate::started::{Started, client};

#[tokio::test]
async fn it_moves_onto_rabbitmq_and_postgresql() -> Result<()> {
    let (bus, database, directory) = (TestBus::rabbitmq(), TestDatabase::postgres().await, TempDir::new()?);
    let more = [
        "--bus-url",
        bus.url.expose_secret(),
        "--queue-prefix",
        &bus.prefix,
        "--database-url",
        database.url().expose_secret(),
    ];
    let kubesage = Started::new(directory.path(), &more).await?;
    assert_eq!(kubesage.namespaces().await?["success"], true);
    let sqlite = std::fs::read_dir(directory.path())?.filter_map(Result::ok);
    let sqlite: Vec<_> = sqlite
        .map(|entry| entry.file_name())
        .filter(|name| name.display().to_string().contains(".db"))
        .collect();
    assert!(sqlite.is_empty(), "nothing is kept in SQLite: {sqlite:?}");
    kubesage.stop().await
}

#[tokio::test]
async fn the_agent_is_put_on_the_cluster_that_is_named() -> Result<()> {
    let directory = TempDir::new()?;
    let options = sim::Options { seed: sim::Seed::Empty, ..sim::Options::default() };
    let cluster = Cluster::simulated_or_real(options).await?;
    let (path, context) = (cluster.kubeconfig().display().to_string(), cluster.context());
    let more = ["--kubeconfig", &path, "--context", context];
    let kubesage = Started::new(&directory.path().join("data"), &more).await?;
    let answer = kubesage.namespaces().await?;
    let mut names = answer["namespaces"].as_array().into_iter().flatten().map(|found| &found["name"]);
    assert!(names.any(|name| name == cluster.namespace()), "{answer}");
    assert!(kubesage.process.output().contains(context), "{}", kubesage.process.output());
    assert!(!directory.path().join("data/demo.kubeconfig").exists(), "there is no demo");
    kubesage.stop().await
}

#[tokio::test]
async fn it_serves_https_with_a_certificate_of_the_users() -> Result<()> {
    let directory = TempDir::new()?;
    let certified = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()])?;
    let [key, certificate] = ["key.pem", "cert.pem"].map(|name| directory.path().join(name));
    std::fs::write(&key, certified.signing_key.serialize_pem())?;
    std::fs::write(&certificate, certified.cert.pem())?;
    let (key, certificate_path) = (key.display().to_string(), certificate.display().to_string());
    let more = ["--use-ssl=true", "--ssl-keyfile", &key, "--ssl-certfile", &certificate_path];
    let kubesage = Started::new(&directory.path().join("data"), &more).await?;
    assert!(kubesage.env["KUBESAGE_URL"].starts_with("https://"), "{:?}", kubesage.env);

    client();
    let root = reqwest::Certificate::from_pem(certified.cert.pem().as_bytes())?;
    let trusting = reqwest::Client::builder().tls_certs_only([root]).build()?;
    let url =
        kubesage.url(&format!("/api/v3.0/cluster/namespaces?agent_id={}", kubesage.env["KUBESAGE_AGENT_ID"]));
    let answer = trusting.get(url).header("X-API-Key", &kubesage.env["KUBESAGE_API_KEY"]).send().await?;
    assert_eq!(answer.status(), 200);
    kubesage.stop().await
}

#[tokio::test]
async fn it_listens_on_an_address_that_is_not_loopback() -> Result<()> {
    let directory = TempDir::new()?;
    // The address of this machine towards another one; nothing is sent.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    socket.connect("192.0.2.1:9")?;
    let address = socket.local_addr()?.ip();
    let kubesage = Started::new(directory.path(), &["--host", &address.to_string()]).await?;
    assert!(kubesage.env["KUBESAGE_URL"].contains(&address.to_string()), "{:?}", kubesage.env);
    assert_eq!(kubesage.namespaces().await?["success"], true);
    kubesage.stop().await
}
