//! Sessions that end in peace, by the agent or with the process.

use std::time::Duration;

use anyhow::{Result, bail};
use contracts::{ErrorCode, agent::ServerFrame};
use testkit::eventually;
use tokio_tungstenite::tungstenite::Message;
use web::Outcome;

use crate::{
    agent::{Agent, Received},
    world::{PATIENCE, Setup, User, refused, start},
};

/// Reads the process's goodbye; answers when it says to come back.
async fn told_to_leave(agent: &mut Agent) -> Result<Duration> {
    match agent.frame().await? {
        ServerFrame::GoingAway(going) => Ok(Duration::from_millis(going.reconnect_after_ms)),
        other => bail!("{other:?} instead of going_away"),
    }
}

store::test_on_both! {
    async fn an_agent_that_goes_away_answers_first(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let mut agent = Agent::open(&world, &cluster).await?;
        let query = cluster.query();
        let asking = world.asking(query.clone(), PATIENCE);
        let request = agent.request().await?;
        agent.go_away().await?;
        world.until_absent(&cluster).await?;
        refused(&world.ask(&query).await?, &ErrorCode::AgentNotConnected)?;
        agent.answer(&request, "\"last\"").await?;
        assert_eq!(asking.await??.result.map(|result| result.get().to_owned()).as_deref(), Some("\"last\""));
        agent.closed(1000).await
    }

    async fn an_agent_that_goes_away_does_not_stay_for_ever(database: TestDatabase) -> Result<()> {
        let mut setup = Setup::on(&database);
        setup.timing.drain_within = Duration::from_millis(200);
        let world = setup.start().await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let mut agent = Agent::open(&world, &cluster).await?;
        let asking = world.asking(cluster.query(), PATIENCE);
        agent.request().await?;
        agent.go_away().await?;
        refused(&asking.await??, &ErrorCode::AgentNotConnected)?;
        agent.closed(1000).await
    }

    async fn a_close_is_answered(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        for greets in [true, false] {
            let mut agent = Agent::connect(&world, &cluster).await?;
            if greets {
                agent.greet(&cluster.agent_id).await?;
            }
            agent.send_raw(Message::Close(None)).await?;
            match agent.receive().await? {
                Received::Closed(_) => {}
                Received::Frame(frame) => bail!("{frame:?} instead of a close"),
            }
            agent.lost().await?;
        }
        world.until_absent(&cluster).await
    }

    async fn a_process_that_stops_sends_its_agents_away(database: TestDatabase) -> Result<()> {
        let setup = Setup::on(&database);
        let longest = setup.timing.reconnect_within;
        let world = setup.start().await?;
        let [first, second, third] = [
            world.cluster(User::Ada, "a").await?,
            world.cluster(User::Ada, "b").await?,
            world.cluster(User::Ada, "c").await?,
        ];
        let (mut idle, mut busy) = (Agent::open(&world, &first).await?, Agent::open(&world, &second).await?);
        let mut silent = Agent::connect(&world, &third).await?;
        let asking = world.asking(second.query(), PATIENCE);
        let request = busy.request().await?;
        idle.beat(5, 50).await?;
        eventually("the heartbeat", async || {
            let answer = world.get(User::Ada, &first.path("")).await.ok()?;
            (answer.body["nodes"] == 5).then_some(())
        })
        .await?;

        let stopped = world.stop();
        for agent in [&mut idle, &mut busy, &mut silent] {
            assert!(told_to_leave(agent).await? <= longest);
        }
        idle.closed(1001).await?;
        silent.closed(1001).await?;
        // What was asked before is still answered.
        busy.answer(&request, "\"last\"").await?;
        assert_eq!(asking.await??.result.map(|result| result.get().to_owned()).as_deref(), Some("\"last\""));
        busy.closed(1001).await?;
        assert_eq!(stopped.await?, Outcome::Clean);
        Ok(())
    }

    async fn a_process_that_stops_waits_for_no_agent_that_hangs(database: TestDatabase) -> Result<()> {
        let mut setup = Setup::on(&database);
        setup.timing.drain_within = Duration::from_millis(200);
        setup.timing.close_within = Duration::from_millis(200);
        let world = setup.start().await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let mut agent = Agent::open(&world, &cluster).await?;
        let asking = world.asking(cluster.query(), PATIENCE);
        agent.request().await?;
        assert_eq!(world.stop().await?, Outcome::Clean);
        refused(&asking.await??, &ErrorCode::AgentNotConnected)?;
        Ok(())
    }
}
