//! Whatever hangs, a request is answered when its time is up, and says so.

use std::time::Duration;

use anyhow::Result;
use system_tests::{Client, Options, System};
use testkit::Process;

const PATIENCE: Duration = Duration::from_secs(1);
/// How much later than that an answer may come.
const MARGIN: Duration = Duration::from_millis(100);
/// Other tests run beside this one and may delay one of these: it is enough that one is in time.
const TRIES: usize = 3;

async fn system() -> Result<System> {
    System::start(Options { websocket_timeout: 1, simulated: true, ..Options::default() }).await
}

/// A query of this key is answered in time, with one of these statuses.
async fn in_time(system: &System, client: &Client, what: &str, statuses: &[u16]) -> Result<()> {
    let path = format!("/api/v3.0/cluster/{what}?agent_id={}", system.agent_id);
    let mut latest = Vec::new();
    for _ in 0..TRIES {
        let answer = client.get(&system.cluster_url(&path)).await?;
        assert!(statuses.contains(&answer.status), "{answer:?}");
        latest.push(answer.took);
    }
    let soonest = latest.iter().min().copied().unwrap_or_default();
    assert!(soonest <= PATIENCE + MARGIN, "answered only after {latest:?}");
    Ok(())
}

#[tokio::test]
async fn a_cluster_that_hangs() -> Result<()> {
    let system = system().await?;
    system.sim().set_latency(Duration::from_secs(60));
    in_time(&system, &system.admin, "pods", &[504]).await?;
    system.at_rest(Duration::from_secs(2)).await
}

#[tokio::test]
async fn processes_that_hang() -> Result<()> {
    let system = system().await?;
    let agent = system.agent.as_ref().expect("it was started");
    for process in [agent, &system.onboarding] {
        process.freeze().await?;
        in_time(&system, &system.admin, "pods", &[504]).await?;
        process.thaw().await?;
        system.agent_connected().await?;
    }
    system.at_rest(Duration::from_secs(5)).await
}

/// A key that nobody remembers has to be asked about.
#[tokio::test]
async fn user_auth_that_hangs() -> Result<()> {
    let system = system().await?;
    let request = serde_json::json!({"name": "new", "scopes": ["read"]});
    let made = system.admin.post(&system.user_auth_url("/api/v1/api-keys"), &request).await?;
    let client = Client::new(made.body["key"].as_str().unwrap_or_default().to_owned())?;
    let user_auth: &Process = &system.user_auth;
    user_auth.freeze().await?;
    in_time(&system, &client, "pods", &[503, 504]).await?;
    user_auth.thaw().await
}

#[tokio::test]
async fn connections_to_the_broker_that_swallow_everything() -> Result<()> {
    let system = system().await?;
    for broker in [&system.broker.onboarding, &system.broker.cluster] {
        broker.swallow();
        in_time(&system, &system.admin, "namespaces", &[503, 504]).await?;
        broker.reset();
        broker.resume();
        system.agent_connected().await?;
    }
    Ok(())
}
