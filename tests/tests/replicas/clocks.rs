//! Machines whose clocks differ by minutes, and what all replicas together tell of an agent.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use contracts::events::EventType;
use system_tests::Fleet;
use testkit::{Identity, eventually_within};

use crate::told::Told;

const AGENTS: usize = 12;
const PATIENCE: Duration = Duration::from_secs(60);

/// Variables by which a process sees another time than the machine's; its monotonic clock stays as it is.
fn another_time(offset: &str) -> Result<Vec<(&'static str, String)>> {
    // The path that tests are given ends with the tools that are got for them.
    let told = Command::new("python-libfaketime")
        .output()
        .context("this test needs libfaketime, which `cargo xtask test` gets (pip install libfaketime)")?;
    let text = String::from_utf8(told.stdout)?;
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("export {name}=")));
        line.map(|value| value.trim_matches('"').to_owned()).with_context(|| format!("no {name} in {text}"))
    };
    Ok(vec![
        ("LD_LIBRARY_PATH", value("LD_LIBRARY_PATH")?),
        ("LD_PRELOAD", value("LD_PRELOAD")?),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("FAKETIME", offset.to_owned()),
    ])
}

#[tokio::test]
async fn clocks_that_differ_by_minutes_change_nothing_and_each_change_is_told_once() -> Result<()> {
    let settings =
        [("HEARTBEAT_SECONDS", "1"), ("STALE_AFTER_SECONDS", "8"), ("DISCONNECTED_AFTER_SECONDS", "12")];
    let mut fleet = Fleet::start(1, &settings).await?;
    fleet.join(&another_time("+10m")?).await?;
    fleet.join(&another_time("-10m")?).await?;
    for (number, minutes) in [(1, 10), (2, -10)] {
        let log = fleet.onboarding[number].process.log();
        ensure!(offset_minutes(&log)? == minutes, "it does not see another time: {log}");
    }
    let (told, _listening) = Told::listen(&fleet).await?;
    let agents = fleet.make_agents(AGENTS).await?;
    let crowd = fleet.connect(&agents).await?;
    told.of_each(AGENTS, EventType::ClusterConnected, 1).await?;
    heartbeats(&fleet, &agents[0]).await?;
    ensure!(told.count(&EventType::ClusterStale) == 0, "who sends heartbeats is not silent");
    for agent in &agents {
        let answer = fleet.ask(1, &agent.agent_id).await?;
        ensure!(answer.status == 200, "{answer:?}");
    }
    drop(crowd);
    told.of_each(AGENTS, EventType::ClusterStale, 1).await?;
    told.of_each(AGENTS, EventType::ClusterDisconnected, 1).await?;
    let _crowd = fleet.connect(&agents).await?;
    told.of_each(AGENTS, EventType::ClusterConnected, 2).await?;
    // By now whoever were to tell of it once more would have.
    heartbeats(&fleet, &agents[0]).await?;
    told.of_each(AGENTS, EventType::ClusterConnected, 2).await?;
    told.of_each(AGENTS, EventType::ClusterStale, 1).await?;
    told.of_each(AGENTS, EventType::ClusterDisconnected, 1).await?;
    ensure!(told.count(&EventType::AgentDuplicated) == 0, "nobody is there twice");
    Ok(())
}

/// Waits for ten heartbeats of an agent: by then each replica has looked ten times whether somebody is silent.
async fn heartbeats(fleet: &Fleet, agent: &Identity) -> Result<()> {
    let url = fleet.cluster_of(&agent.agent_id, 0);
    let heartbeat =
        async || fleet.admin.get(&url).await.ok()?.body["last_heartbeat"].as_str().map(str::to_owned);
    let mut last = heartbeat().await;
    for _ in 0..10 {
        last = eventually_within(PATIENCE, "a heartbeat", async || {
            let next = heartbeat().await;
            (next.is_some() && next != last).then_some(next)
        })
        .await?;
    }
    Ok(())
}

/// By how many minutes the first line of a log is off.
fn offset_minutes(log: &str) -> Result<i64> {
    let (_, rest) = log.split_once("\"timestamp\":\"").context("no timestamp")?;
    let time: contracts::Timestamp =
        serde_json::from_str(&format!("\"{}\"", rest.split('"').next().unwrap_or_default()))?;
    let off = time.millis_since(contracts::Timestamp::now());
    // It was logged some seconds ago.
    Ok((off + 20_000).div_euclid(60_000))
}
