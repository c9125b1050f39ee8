//! The same process on RabbitMQ and PostgreSQL, and on a cluster that a kubeconfig names.

use anyhow::Result;
use secrecy::ExposeSecret;
use store::testing::TestDatabase;
use tempfile::TempDir;
use testkit::TestBus;

use crate::started::Started;

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
    let sim = sim::Sim::start(sim::Options { seed: sim::Seed::Empty, ..sim::Options::default() }).await?;
    let kubeconfig = directory.path().join("kubeconfig");
    std::fs::write(&kubeconfig, sim.kubeconfig(sim.admin_token()))?;
    let path = kubeconfig.display().to_string();
    let more = ["--kubeconfig", &path, "--context", "kubesage-sim"];
    let kubesage = Started::new(&directory.path().join("data"), &more).await?;
    let answer = kubesage.namespaces().await?;
    let names: Vec<_> =
        answer["namespaces"].as_array().into_iter().flatten().map(|n| n["name"].clone()).collect();
    assert!(names.contains(&"default".into()) && !names.contains(&"checkout".into()), "{names:?}");
    assert!(kubesage.process.output().contains("kubesage-sim"), "{}", kubesage.process.output());
    assert!(!directory.path().join("data/demo.kubeconfig").exists(), "there is no demo");
    kubesage.stop().await
}
