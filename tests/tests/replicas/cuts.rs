//! A replica that is cut off: from the broker, from the database, or from its agents.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use system_tests::{Fleet, Replica};
use testkit::{Crowd, Identity, eventually_within};

const SOON: Duration = Duration::from_secs(20);
const AGENTS: usize = 40;

/// Two replicas of which the first is to be cut off, and their agents.
struct Scene {
    fleet: Fleet,
    crowd: Crowd,
    /// Agents of the first, and of the second.
    agents: [Vec<Identity>; 2],
}

impl Scene {
    async fn set(variables: &[(&'static str, &str)]) -> Result<Self> {
        let mut fleet = Fleet::start(2, variables).await?;
        let agents = fleet.make_agents(AGENTS).await?;
        let crowd = fleet.connect(&agents).await?;
        let held = fleet.held_by(&fleet.onboarding[0]).await?;
        let agents: (Vec<_>, Vec<_>) = agents.into_iter().partition(|agent| held.contains(&agent.agent_id));
        ensure!(!agents.0.is_empty() && !agents.1.is_empty(), "both have agents");
        Ok(Self { fleet, crowd, agents: agents.into() })
    }

    fn first(&self) -> &Replica {
        &self.fleet.onboarding[0]
    }

    async fn answers(&self, agents: &[Identity]) -> Result<()> {
        for agent in agents {
            let answer = self.fleet.ask(0, &agent.agent_id).await?;
            ensure!(answer.status == 200, "{answer:?}");
        }
        Ok(())
    }

    /// Waits until the first is ready, or not.
    async fn first_is_ready(&self, is_ready: bool) -> Result<()> {
        eventually_within(SOON, "readiness to change", async || {
            (self.first().is_ready(&self.fleet.admin).await.ok()? == is_ready).then_some(())
        })
        .await
    }
}

#[tokio::test]
async fn a_replica_that_is_cut_off_from_the_broker_is_known_to_be_and_hears_of_revocations_before_it_serves()
-> Result<()> {
    let scene = Scene::set(&[]).await?;
    let [of_first, of_second] = &scene.agents;
    let revoked = of_first.first().context("an agent")?;
    scene.answers(of_first).await?;
    scene.first().broker.cut();
    scene.first_is_ready(false).await?;
    scene.answers(of_second).await?;
    for agent in of_first.iter().take(5) {
        let answer = scene.fleet.ask(0, &agent.agent_id).await?;
        ensure!((answer.status, answer.code()) == (503, "agent_not_connected"), "{answer:?}");
        ensure!(answer.took < Duration::from_secs(2), "{:?}", answer.took);
    }
    // Its key is revoked by way of the other, whose word the first cannot hear.
    let keys = scene
        .fleet
        .cluster_of(&revoked.agent_id)
        .replace(&scene.first().address.to_string(), &scene.fleet.onboarding[1].address.to_string())
        + "/agent-keys";
    let key = scene.fleet.admin.get(&keys).await?;
    let id = key.body["agent_keys"][0]["id"].as_str().with_context(|| format!("{key:?}"))?.to_owned();
    let deleted = scene.fleet.admin.delete(&format!("{keys}/{id}")).await?;
    ensure!(deleted.status == 204, "{deleted:?}");

    let before = scene.crowd.lost();
    scene.first().broker.resume();
    // Whenever the others are answered, the one that was revoked is not.
    eventually_within(SOON, "the first to serve again", async || {
        let other = scene.fleet.ask(0, &of_first.last()?.agent_id).await.ok()?;
        let of_revoked = scene.fleet.ask(0, &revoked.agent_id).await.ok()?;
        assert_ne!(of_revoked.status, 200, "an agent whose key was revoked");
        (other.status == 200).then_some(())
    })
    .await?;
    scene.first_is_ready(true).await?;
    scene.answers(&of_first[1..]).await?;
    eventually_within(SOON, "the revoked one to be sent away", async || {
        (scene.crowd.lost() > before).then_some(())
    })
    .await?;
    ensure!(scene.crowd.lost() == before + 1, "the others kept their sessions");
    Ok(())
}

#[tokio::test]
async fn a_replica_that_is_cut_off_from_the_database_answers_for_its_agents_and_says_what_it_cannot()
-> Result<()> {
    let scene = Scene::set(&[]).await?;
    let [of_first, of_second] = &scene.agents;
    // So that it is known who holds their sessions: the first cannot look that up.
    scene.answers(of_first).await?;
    scene.answers(of_second).await?;
    scene.first().database.cut();
    scene.first_is_ready(false).await?;
    scene.answers(of_first).await?;
    scene.answers(of_second).await?;
    let url = scene.fleet.cluster_of(&of_first[0].agent_id);
    let answer = scene.fleet.admin.get(&url).await?;
    ensure!((answer.status, answer.code()) == (503, "unavailable"), "{answer:?}");
    scene.first().database.resume();
    scene.first_is_ready(true).await?;
    ensure!(scene.fleet.admin.get(&url).await?.status == 200, "it is back without a restart");
    ensure!(scene.crowd.lost() == 0, "no session was lost");
    scene.answers(of_first).await
}
