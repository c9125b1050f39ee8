//! `kubesage` in an empty directory.

use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result};
use tempfile::TempDir;
use testkit::eventually;

use crate::started::{Started, client, get};

#[tokio::test]
async fn the_printed_curl_line_answers_with_the_shops_namespaces() -> Result<()> {
    let directory = TempDir::new()?;
    let kubesage = Started::new(directory.path(), &[]).await?;
    let output = kubesage.process.output();
    let line =
        output.lines().find_map(|line| line.trim().strip_prefix("curl -H '")).context(output.clone())?;
    let (header, rest) = line.split_once("' '").context(line.to_owned())?;
    let (name, value) = header.split_once(": ").context(header.to_owned())?;
    let url = rest.strip_suffix('\'').context(rest.to_owned())?;
    let response = client().get(url).header(name, value).send().await?;
    assert_eq!(response.status(), 200);
    let answer: serde_json::Value = serde_json::from_str(&response.text().await?)?;
    assert_eq!(answer["success"], true);
    assert_eq!(answer["simulated"], true);
    let names: Vec<_> =
        answer["namespaces"].as_array().into_iter().flatten().map(|n| n["name"].clone()).collect();
    assert!(names.contains(&"checkout".into()) && names.contains(&"default".into()), "{names:?}");
    kubesage.stop().await
}

#[tokio::test]
async fn keys_and_ids_are_kept_between_runs_in_files_of_the_owner_alone() -> Result<()> {
    let directory = TempDir::new()?;
    let data_dir = directory.path().join("data");
    let first = Started::new(&data_dir, &[]).await?;
    let before = first.env.clone();
    first.stop().await?;
    for (path, mode) in [("", 0o700), ("dev.env", 0o600), ("demo.kubeconfig", 0o600)] {
        let metadata = std::fs::metadata(data_dir.join(path))?;
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{path}");
    }

    let second = Started::new(&data_dir, &[]).await?;
    for name in ["KUBESAGE_API_KEY", "KUBESAGE_AGENT_ID", "KUBESAGE_AGENT_KEY", "KUBESAGE_CLUSTER_ID"] {
        assert_eq!(second.env[name], before[name], "{name}");
    }
    assert_eq!(second.namespaces().await?["success"], true);
    second.stop().await
}

#[tokio::test]
async fn a_kept_key_that_was_revoked_is_replaced() -> Result<()> {
    let directory = TempDir::new()?;
    let first = Started::new(directory.path(), &[]).await?;
    let key = first.env["KUBESAGE_API_KEY"].clone();
    let keys = get(&first.url("/api/v1/api-keys"), &key).await?;
    let id = keys["api_keys"][0]["id"].as_str().context(keys.to_string())?.to_owned();
    let url = first.url(&format!("/api/v1/api-keys/{id}"));
    let revoked = client().delete(url).header("X-API-Key", &key).send().await?;
    assert!(revoked.status().is_success(), "{}", revoked.status());
    first.stop().await?;

    let second = Started::new(directory.path(), &[]).await?;
    assert_ne!(second.env["KUBESAGE_API_KEY"], key);
    assert_eq!(second.namespaces().await?["success"], true);
    second.stop().await
}

#[tokio::test]
async fn every_service_is_there_on_the_one_port() -> Result<()> {
    let directory = TempDir::new()?;
    let kubesage = Started::new(directory.path(), &[]).await?;
    let key = &kubesage.env["KUBESAGE_API_KEY"];
    assert_eq!(get(&kubesage.url("/readyz"), key).await?["status"], "ok");
    assert_eq!(get(&kubesage.url("/api/v1/users/me"), key).await?["username"], "admin");
    let clusters = get(&kubesage.url("/api/v1/clusters"), key).await?;
    assert_eq!(clusters["clusters"][0]["cluster_name"], "demo");
    assert_eq!(clusters["clusters"][0]["state"], "connected");
    let simulated = eventually("the cluster to be known as simulated", async || {
        let clusters = get(&kubesage.url("/api/v1/clusters"), key).await.ok()?;
        (clusters["clusters"][0]["simulated"] == true).then_some(())
    });
    simulated.await?;
    let document = get(&kubesage.url("/openapi.json"), key).await?;
    for path in
        ["/api/v3.0/cluster/namespaces", "/api/v1/api-keys", "/api/v1/clusters/generate-install-script"]
    {
        assert!(!document["paths"][path].is_null(), "{path} is in the API document");
    }
    let metrics = client().get(kubesage.url("/metrics")).send().await?.text().await?;
    assert!(metrics.contains("agent_sessions 1"), "{metrics}");
    kubesage.stop().await
}
