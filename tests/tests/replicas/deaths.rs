//! Replicas that die, and agents that are dropped.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use contracts::events::EventType;
use system_tests::{Asked, Fleet};
use testkit::{Crowd, Identity, eventually_within};

use crate::told::Told;

/// Far longer than it takes, which `cargo xtask bench replicas` measures.
const BACK: Duration = Duration::from_secs(120);
const AGENTS: usize = 300;
/// By this answer it is told whose it is.
const NEWER: &str = r#"{"namespaces":[{"name":"newer","status":"Active","created_at":null,"labels":{},"annotations":{}}],"total_count":1}"#;

/// The agents whose sessions are held by the replica with the most, and its place in the fleet.
async fn holder(fleet: &Fleet, agents: &[Identity]) -> Result<(usize, HashSet<String>)> {
    let mut at = 0;
    let mut most = 0.0;
    for (number, replica) in fleet.onboarding.iter().enumerate() {
        let sessions = replica.metric(&fleet.admin, "agent_sessions").await?;
        if sessions > most {
            (at, most) = (number, sessions);
        }
    }
    let held = fleet.held_by(&fleet.onboarding[at]).await?;
    let known: HashSet<&str> = agents.iter().map(|agent| agent.agent_id.as_str()).collect();
    ensure!(!held.is_empty() && held.iter().all(|agent| known.contains(agent.as_str())), "{held:?}");
    Ok((at, held))
}

fn failed<'a>(asked: &'a [Asked], of: impl Fn(&Asked) -> bool + 'a) -> Vec<&'a Asked> {
    asked.iter().filter(|asked| asked.failure.is_some() && of(asked)).collect()
}

/// Kills the replica with the most of these agents under load.
async fn kill_one(replicas: usize, count: usize, callers: usize) -> Result<()> {
    let mut fleet = Fleet::start(replicas, &[]).await?;
    let agents = fleet.make_agents(count).await?;
    let crowd = fleet.connect(&agents).await?;
    let (at, held) = holder(&fleet, &agents).await?;
    let load = fleet.load(&agents, callers);
    load.goes_on(1000).await?;
    let (events, _listening) = Told::listen(&fleet).await?;

    let mut killed = fleet.onboarding.remove(at);
    let died = Instant::now();
    killed.process.kill().await?;
    fleet.balance();
    crowd.until_fewer(count, BACK).await?;
    crowd.until_connected(count, BACK).await?;
    let back = died.elapsed();
    load.goes_on(1000).await?;
    let asked = load.stop();

    let of_others = failed(&asked, |asked| !held.contains(&asked.agent_id));
    ensure!(of_others.is_empty(), "{} of agents of other replicas: {:?}", of_others.len(), of_others.first());
    for asked in failed(&asked, |asked| held.contains(&asked.agent_id)) {
        let failure = asked.failure.as_deref().unwrap_or_default();
        ensure!(failure == "503 agent_not_connected", "{asked:?}");
        ensure!(asked.took < Duration::from_secs(3), "not at once: {asked:?}");
        ensure!(asked.began < died + back + Duration::from_secs(1), "an agent that is back: {asked:?}");
    }
    // Nothing is left of it.
    let store = fleet.store().await?;
    eventually_within(Duration::from_secs(5), "the dead replica to be taken out", async || {
        let left: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM replicas").fetch_one(store.pool()).await.ok()?;
        (left == i64::try_from(replicas - 1).ok()?).then_some(())
    })
    .await?;
    let orphans: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM agent_sessions WHERE replica NOT IN (SELECT address FROM replicas)",
    )
    .fetch_one(store.pool())
    .await?;
    ensure!(orphans == 0, "{orphans} sessions of a replica that is gone");
    let connected = fleet.connected_agents().await?;
    ensure!(connected.iter().all(|agents| agents.len() == count), "all replicas tell of all");
    ensure!(crowd.replaced() == 0, "nobody was taken for a copy of itself");
    ensure!(events.count(&EventType::AgentDuplicated) == 0, "and none was told of as one");
    Ok(())
}

#[tokio::test]
async fn the_agents_of_a_killed_replica_come_back_and_those_of_others_notice_nothing() -> Result<()> {
    kill_one(3, AGENTS, 16).await
}

#[tokio::test]
#[ignore = "slow: thousands of clusters are made"]
async fn two_thousand_agents_of_a_killed_replica_come_back_and_those_of_others_notice_nothing() -> Result<()>
{
    kill_one(2, 4000, 2).await
}

async fn drop_all(count: usize) -> Result<()> {
    let mut fleet = Fleet::start(2, &[]).await?;
    let agents = fleet.make_agents(count).await?;
    let crowd = fleet.connect(&agents).await?;
    fleet.balancer.cut();
    crowd.until_fewer(count / 2, BACK).await?;
    crowd.until_connected(count, BACK).await?;
    for agent in agents.iter().take(20) {
        let answer = fleet.ask(0, &agent.agent_id).await?;
        ensure!(answer.status == 200, "{answer:?}");
    }
    ensure!(crowd.replaced() == 0, "nobody was taken for a copy of itself");
    Ok(())
}

#[tokio::test]
async fn agents_that_are_dropped_together_come_back() -> Result<()> {
    drop_all(AGENTS).await
}

#[tokio::test]
#[ignore = "slow: thousands of clusters are made"]
async fn five_thousand_agents_that_are_dropped_together_come_back() -> Result<()> {
    drop_all(5000).await
}

#[tokio::test]
async fn a_replica_that_was_frozen_does_not_answer_for_agents_that_have_moved() -> Result<()> {
    let mut fleet = Fleet::start(2, &[]).await?;
    let agents = fleet.make_agents(20).await?;
    let crowd = fleet.connect(&agents).await?;
    let (at, held) = holder(&fleet, &agents).await?;
    fleet.onboarding[at].process.freeze().await?;
    // Their agents are started once more, elsewhere, and connect to the other replica.
    let other = fleet.onboarding[1 - at].address;
    fleet.balancer.balance(vec![other]);
    let moved: Vec<Identity> =
        agents.iter().filter(|agent| held.contains(&agent.agent_id)).cloned().collect();
    let newer = Crowd::answering(fleet.balancer.address(), moved.clone(), NEWER);
    newer.until_connected(moved.len(), BACK).await?;
    fleet.onboarding[at].process.thaw().await?;
    for round in 0..25 {
        for agent in &moved {
            let answer = fleet.ask(round, &agent.agent_id).await?;
            ensure!(answer.status == 200 && answer.body["namespaces"][0]["name"] == "newer", "{answer:?}");
        }
    }
    // It tells its agents that they were replaced, and nothing turns that round.
    eventually_within(BACK, "the older to be told", async || {
        (crowd.replaced() == moved.len() as u64).then_some(())
    })
    .await?;
    ensure!(newer.connected() == moved.len() && newer.replaced() == 0, "the newer stay");
    Ok(())
}
