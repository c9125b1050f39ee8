//! Replicas that are replaced one after the other, and one that joins.

use std::time::Duration;

use anyhow::{Result, ensure};
use system_tests::Fleet;
use testkit::{Process, eventually_within};

const AGENTS: usize = 200;

#[tokio::test]
async fn a_rolling_restart_of_all_services_loses_no_request() -> Result<()> {
    let mut fleet = Fleet::start(2, &[]).await?;
    let agents = fleet.make_agents(AGENTS).await?;
    let crowd = fleet.connect(&agents).await?;
    let load = fleet.load(&agents, 8);
    load.goes_on(500).await?;
    for _ in 0..2 {
        fleet.join(&[]).await?;
        let old = fleet.onboarding.remove(0);
        fleet.balance();
        stop(old.process).await?;
        load.goes_on(500).await?;
    }
    for _ in 0..2 {
        fleet.cluster.push(fleet.start_cluster()?);
        let old = fleet.cluster.remove(0);
        fleet.balance_services().await?;
        stop(old).await?;
        load.goes_on(500).await?;
    }
    for _ in 0..2 {
        fleet.user_auth.push(fleet.start_user_auth()?);
        let old = fleet.user_auth.remove(0);
        fleet.balance_services().await?;
        stop(old).await?;
        load.goes_on(500).await?;
    }
    let asked = load.stop();
    let failed: Vec<_> = asked.iter().filter(|asked| asked.failure.is_some()).collect();
    ensure!(failed.is_empty(), "{} of {} failed: {:?}", failed.len(), asked.len(), failed.first());
    ensure!(crowd.connected() == AGENTS, "{} are connected", crowd.connected());
    ensure!(crowd.lost() == 0, "{} sessions were lost", crowd.lost());
    Ok(())
}

async fn stop(mut process: Process) -> Result<()> {
    process.terminate().await?;
    let status = process.wait().await?;
    ensure!(status.success(), "{status}; its log:\n{}", process.log());
    Ok(())
}

#[tokio::test]
#[ignore = "slow: sessions are sent away half a minute after they were opened, a few at a time"]
async fn sessions_spread_to_a_replica_that_joins() -> Result<()> {
    let mut fleet = Fleet::start(2, &[("REBALANCE_SECONDS", "20")]).await?;
    let agents = fleet.make_agents(AGENTS).await?;
    let crowd = fleet.connect(&agents).await?;
    fleet.join(&[]).await?;
    let load = fleet.load(&agents, 4);
    let share = AGENTS as f64 / 3.0;
    eventually_within(Duration::from_secs(150), "sessions to be spread", async || {
        for replica in &fleet.onboarding {
            let sessions = replica.metric(&fleet.admin, "agent_sessions").await.ok()?;
            if (sessions - share).abs() > share / 3.0 {
                return None;
            }
        }
        Some(())
    })
    .await?;
    let asked = load.stop();
    let failed: Vec<_> = asked.iter().filter(|asked| asked.failure.is_some()).collect();
    ensure!(failed.is_empty(), "{} of {} failed: {:?}", failed.len(), asked.len(), failed.first());
    ensure!(crowd.lost() == 0, "{} sessions were lost", crowd.lost());
    Ok(())
}
