//! A caller that goes away frees what works for it, down to the agent.

use std::time::Duration;

use anyhow::Result;
use system_tests::{Options, System};
use testkit::eventually;

const SOON: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_caller_that_goes_away_frees_its_request_down_to_the_agent() -> Result<()> {
    let system =
        System::start(Options { simulated: true, websocket_timeout: 60, ..Options::default() }).await?;
    system.sim().set_latency(Duration::from_secs(60));
    let agent = system.agent.as_ref().expect("it was started");
    let callers: Vec<_> =
        (0..10).map(|n| system.asking("pods", &format!("&label_selector=n%3D{n}"))).collect();
    eventually("the agent to work", async || {
        (system.metric(agent, "agent_requests_in_flight").await.ok()? >= 10.0).then_some(())
    })
    .await?;
    for caller in callers {
        caller.abort();
    }
    system.at_rest(SOON).await
}
