//! Secrets stay secret, whatever is logged.

use anyhow::Result;
use system_tests::{Options, System};
use testkit::eventually;

#[tokio::test]
async fn no_key_is_ever_logged_even_at_trace() -> Result<()> {
    let system = System::start(Options { rust_log: Some("trace".into()), ..Options::default() }).await?;
    assert_eq!(system.namespaces().await?.status, 200);
    // Refused, malformed and answered over HTTP: each is logged in another way.
    let wrong = system_tests::Client::new(format!("{}x", system.admin.api_key))?;
    assert_eq!(wrong.get(&system.cluster_url("/api/v3.0/cluster/agents/connected")).await?.status, 401);
    system.broker.cluster.cut();
    eventually("keys to be verified over HTTP or not at all", async || {
        system.admin.get(&system.cluster_url("/readyz")).await.ok().filter(|answer| answer.status == 503)
    })
    .await?;
    assert_eq!(system.namespaces().await?.status, 503);
    let output = system.all_output();
    assert!(output.contains("DEBUG"), "the processes log all that they can");
    for secret in system.secrets() {
        let at = output.find(secret);
        assert_eq!(at.map(|at| &output[at.saturating_sub(300)..at]), None, "a key is in the log after this");
    }
    Ok(())
}
