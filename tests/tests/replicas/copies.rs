//! The real agent: one that is there twice, and one whose connection is dead and does not show it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use system_tests::Fleet;
use testkit::{Cluster, Identity, Process, Proxy, eventually_within};

/// Either side has noticed by then that nothing is heard of the other.
const NOTICED: Duration = Duration::from_secs(45);

fn start_agent(cluster: &Cluster, endpoint: &str, agent: &Identity) -> Result<Process> {
    let variables = vec![
        ("HOST", "127.0.0.1".to_owned()),
        ("PORT", "0".to_owned()),
        ("API_ENDPOINT", endpoint.to_owned()),
        ("AGENT_ID", agent.agent_id.clone()),
        ("CLUSTER_ID", "some".to_owned()),
        ("API_KEY", agent.key.clone()),
        ("LOG_FORMAT", "json".to_owned()),
    ];
    Process::start(
        "agent",
        ["--kubeconfig".to_owned(), cluster.kubeconfig().display().to_string()],
        variables,
    )
}

async fn answers(fleet: &Fleet, agent: &Identity) -> Result<()> {
    eventually_within(Duration::from_secs(30), "the agent to answer", async || {
        fleet.ask(0, &agent.agent_id).await.ok().filter(|answer| answer.status == 200)
    })
    .await
    .map(drop)
}

#[tokio::test]
async fn of_two_machines_with_one_agent_id_one_stays_and_both_say_so() -> Result<()> {
    let mut fleet = Fleet::start(2, &[]).await?;
    let agents = fleet.make_agents(1).await?;
    let cluster = Cluster::simulated(sim::Options::default()).await?;
    let [first, second] = [0, 1].map(|number| format!("http://{}", fleet.onboarding[number].address));
    let original = start_agent(&cluster, &first, &agents[0])?;
    answers(&fleet, &agents[0]).await?;
    let copy = start_agent(&cluster, &second, &agents[0])?;
    original.logged("another agent with this id is connected").await?;
    copy.logged("another process with this agent's id had a session").await?;
    answers(&fleet, &agents[0]).await
}

#[tokio::test]
#[ignore = "slow: an agent's silence is noticed after 45 s"]
async fn a_connection_that_is_dead_and_does_not_show_it_is_noticed_by_both_sides() -> Result<()> {
    let mut fleet = Fleet::start(2, &[]).await?;
    let agents = fleet.make_agents(1).await?;
    let cluster = Cluster::simulated(sim::Options::default()).await?;
    let proxy = Proxy::start(fleet.onboarding[0].address.to_string()).await?;
    let agent = start_agent(&cluster, &format!("http://{}", proxy.address()), &agents[0])?;
    answers(&fleet, &agents[0]).await?;
    proxy.swallow();
    let agent_notices = eventually_within(NOTICED, "the agent to notice", async || {
        agent.log().contains("fell silent").then_some(())
    });
    let server_notices = eventually_within(NOTICED, "the replica to notice", async || {
        let sessions = fleet.onboarding[0].metric(&fleet.admin, "agent_sessions").await.ok()?;
        (sessions < 1.0).then_some(())
    });
    let (agent_noticed, server_noticed) = tokio::join!(agent_notices, server_notices);
    agent_noticed.with_context(|| agent.log())?;
    server_noticed?;
    let answer = fleet.ask(0, &agents[0].agent_id).await?;
    ensure!((answer.status, answer.code()) == (503, "agent_not_connected"), "{answer:?}");
    proxy.resume();
    answers(&fleet, &agents[0]).await
}
