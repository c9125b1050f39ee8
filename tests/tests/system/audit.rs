//! What all services tell of is in the audit log, each thing for whom it belongs to.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use system_tests::{Client, Options, System};
use testkit::eventually;

#[tokio::test]
async fn what_other_services_change_is_in_the_audit_log() -> Result<()> {
    let system = System::start(Options::default()).await?;
    let key = json!({"name": "audited", "scopes": ["read"]});
    let made = system.admin.post(&system.user_auth_url("/api/v1/api-keys"), &key).await?;
    ensure!(made.status == 201, "{made:?}");
    let secret = made.body["key"].as_str().context("a key")?.to_owned();

    let wanted = BTreeSet::from(["api_key_created", "cluster_created", "cluster_connected"]);
    let told = eventually("the audit log", async || {
        let page = system.admin.get(&system.cluster_url("/api/v1/audit")).await.ok()?;
        let events = page.body["events"].as_array()?.clone();
        let types: BTreeSet<&str> = events.iter().filter_map(|event| event["event_type"].as_str()).collect();
        wanted.is_subset(&types).then(|| page.body.to_string())
    })
    .await?;
    ensure!(!told.contains(&secret), "the key is in the audit log");
    let of_cluster = format!("/api/v1/audit?cluster={}", system.cluster_id);
    let page = system.admin.get(&system.cluster_url(&of_cluster)).await?;
    let events = page.body["events"].as_array().context("events")?;
    ensure!(events.iter().all(|event| event["data"]["cluster_id"] == system.cluster_id), "{page:?}");
    ensure!(events.len() >= 2, "{page:?}");
    // Whoever has another key of the same user sees the same.
    let again = Client::new(secret)?.get(&system.cluster_url(&of_cluster)).await?;
    ensure!(again.body["events"].as_array().context("events")?.len() >= events.len(), "{again:?}");
    Ok(())
}
