//! Secrets stay secret, whatever is logged.

use anyhow::Result;
use system_tests::{Options, System};

#[tokio::test]
async fn no_key_is_ever_logged_even_at_trace() -> Result<()> {
    let system = System::start(Options { rust_log: Some("trace".into()), ..Options::default() }).await?;
    assert_eq!(system.namespaces().await?.status, 200);
    // A request that no queue takes is returned, with its body.
    system.broker.user_auth.cut();
    let refused = system.admin.get(&system.onboarding_url("/api/v1/clusters")).await?;
    assert!(refused.status < 600);
    let output = system.all_output();
    assert!(output.contains("DEBUG"), "the processes log all that they can");
    for secret in system.secrets() {
        let at = output.find(secret);
        assert_eq!(at.map(|at| &output[at.saturating_sub(300)..at]), None, "a key is in the log after this");
    }
    Ok(())
}
