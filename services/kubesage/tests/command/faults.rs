//! What cannot work is said in one line, with exit code 1.

use anyhow::{Context, Result};
use tempfile::TempDir;
use testkit::{Cluster, Process, eventually};
use tokio::net::TcpListener;

use crate::started::Started;

/// The last line of a process that must fail, and only that line is for a person.
async fn failure(arguments: &[&str]) -> Result<String> {
    let mut process = Process::start("kubesage", arguments, [])?;
    let status = process.wait().await?;
    assert_eq!(status.code(), Some(1), "{}", process.log());
    assert_eq!(process.output(), "", "nothing is announced");
    let log = process.log();
    let errors: Vec<&str> = log.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{log}");
    Ok(errors[0].to_owned())
}

#[tokio::test]
async fn a_port_in_use() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port().to_string();
    let directory = TempDir::new()?;
    let data_dir = directory.path().display().to_string();
    let line = failure(&["up", "--port", &port, "--data-dir", &data_dir]).await?;
    assert!(line.contains(&port) && line.contains("in use"), "{line}");
    let out = directory.path().join("k.yaml").display().to_string();
    let line = failure(&["sim", "--port", &port, "--kubeconfig-out", &out]).await?;
    assert!(line.contains(&port), "{line}");
    Ok(())
}

#[tokio::test]
async fn a_directory_that_cannot_be_written() -> Result<()> {
    let directory = TempDir::new()?;
    let file = directory.path().join("file");
    std::fs::write(&file, "")?;
    let data_dir = file.join("data").display().to_string();
    let line = failure(&["up", "--port", "0", "--data-dir", &data_dir]).await?;
    assert!(line.contains("cannot write") && line.contains(&data_dir), "{line}");
    let line = failure(&["sim", "--kubeconfig-out", &data_dir]).await?;
    assert!(line.contains("cannot write the kubeconfig") && line.contains(&data_dir), "{line}");
    Ok(())
}

#[tokio::test]
async fn a_data_directory_that_another_process_uses() -> Result<()> {
    let directory = TempDir::new()?;
    let first = Started::new(directory.path(), &[]).await?;
    let data_dir = directory.path().display().to_string();
    let line = failure(&["up", "--port", "0", "--data-dir", &data_dir]).await?;
    assert!(line.contains("another kubesage uses"), "{line}");
    first.stop().await
}

#[tokio::test]
async fn a_kubeconfig_that_is_not_there() -> Result<()> {
    let directory = TempDir::new()?;
    let data_dir = directory.path().display().to_string();
    let line =
        failure(&["up", "--port", "0", "--data-dir", &data_dir, "--kubeconfig", "/no/such/file"]).await?;
    assert!(line.contains("/no/such/file"), "{line}");
    Ok(())
}

#[tokio::test]
async fn a_url_that_cannot_be_understood() -> Result<()> {
    let directory = TempDir::new()?;
    let data_dir = directory.path().display().to_string();
    let common = ["up", "--port", "0", "--data-dir", &data_dir];
    let line = failure(&[&common[..], &["--bus-url", "kafka://user:hunter2@x"]].concat()).await?;
    assert!(line.contains("BUS_URL") && !line.contains("hunter2"), "{line}");
    let file = directory.path().join("one.db").display().to_string();
    let line = failure(&[&common[..], &["--database-url", &format!("sqlite:{file}")]].concat()).await?;
    assert!(line.contains("DATABASE_URL must name a directory"), "{line}");
    let line = failure(&[&common[..], &["--database-url", "mysql://user:hunter2@x/y"]].concat()).await?;
    assert!(line.contains("DATABASE_URL") && !line.contains("hunter2"), "{line}");
    Ok(())
}

#[tokio::test]
async fn an_agent_that_dies_with_its_cluster_is_told_of() -> Result<()> {
    let directory = TempDir::new()?;
    let mut cluster = Cluster::simulated(sim::Options::default()).await?;
    let path = cluster.kubeconfig().display().to_string();
    let kubesage = Started::new(&directory.path().join("data"), &["--kubeconfig", &path]).await?;
    assert_eq!(kubesage.namespaces().await?["success"], true);
    cluster.stop().await;
    let url = kubesage.url(&format!("/api/v3.0/cluster/pods?agent_id={}", kubesage.env["KUBESAGE_AGENT_ID"]));
    let told = eventually("the unreachable cluster to be told of", async || {
        let error = crate::started::get(&url, &kubesage.env["KUBESAGE_API_KEY"]).await.err()?.to_string();
        error.contains("cluster_unreachable").then_some(error)
    });
    told.await.context(kubesage.process.log())?;
    kubesage.stop().await
}
