//! Sessions beside one another: who replaces whom, how many, and one whose agent does not read.

use std::time::Duration;

use anyhow::Result;
use contracts::{
    ErrorCode,
    agent::RefusalCode,
    query::{Params, QueryRequest},
};
use store::testing::TestDatabase;
use testkit::eventually;
use tokio::time::timeout;

use crate::{
    agent::Agent,
    world::{Made, PATIENCE, Setup, User, World, query_for, refused, start},
};

/// The session answers.
async fn answers(world: &World, cluster: &Made, agent: &mut Agent) -> Result<()> {
    let query = query_for(User::Ada, &cluster.agent_id);
    let (answer, ponged) = tokio::join!(world.ask(&query), agent.pong());
    ponged?;
    assert!(answer?.result.is_some());
    Ok(())
}

store::test_on_both! {
    async fn the_newer_session_wins_and_outlives_the_older(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let mut agent = Agent::open(&world, &cluster).await?;
        for _ in 0..5 {
            let asking = world.asking(query_for(User::Ada, &cluster.agent_id), PATIENCE);
            agent.request().await?;
            let newer = Agent::open(&world, &cluster).await?;
            let older = std::mem::replace(&mut agent, newer);
            refused(&asking.await??, &ErrorCode::AgentNotConnected)?;
            answers(&world, &cluster, &mut agent).await?;
            assert!(!older.refused(&RefusalCode::Replaced, 1008).await?);
            // The older is gone for good, and has not taken the newer with it.
            assert_eq!(world.connected_agents(User::Ada).await?, [cluster.agent_id.as_str()]);
            answers(&world, &cluster, &mut agent).await?;
        }
        Ok(())
    }

    async fn there_are_so_many_sessions_and_no_more(database: TestDatabase) -> Result<()> {
        let mut setup = Setup::on(&database);
        setup.agents.max_sessions = 1;
        let world = setup.start().await?;
        let (first, second) = (world.cluster(User::Ada, "a").await?, world.cluster(User::Ada, "b").await?);
        let older = Agent::open(&world, &first).await?;
        let refused = Agent::connect(&world, &second).await?.refused(&RefusalCode::Overloaded, 1013).await?;
        assert!(refused, "it may try again");
        // In place of its own earlier session there is room.
        let newer = Agent::open(&world, &first).await?;
        assert!(!older.refused(&RefusalCode::Replaced, 1008).await?);
        drop(newer);
        eventually("room", async || Agent::open(&world, &second).await.ok()).await?;
        Ok(())
    }

    async fn an_agent_that_does_not_read_is_given_up(database: TestDatabase) -> Result<()> {
        let mut setup = Setup::on(&database);
        setup.timing.write_within = Duration::from_millis(300);
        let world = setup.start().await?;
        let (cluster, other) = (world.cluster(User::Ada, "a").await?, world.cluster(User::Ada, "b").await?);
        let mut bystander = Agent::open(&world, &other).await?;
        let mut agent = Agent::connect_with(world.address, &cluster.agent_id, &cluster.key, Some(4096)).await?;
        agent.greet(&cluster.agent_id).await?;
        // More than the system's buffers take.
        let params = Params { label_selector: Some("x".repeat(900_000)), ..Params::default() };
        let query = QueryRequest { params, ..query_for(User::Ada, &cluster.agent_id) };
        let asked: Vec<_> = (0..7).map(|_| world.asking(query.clone(), PATIENCE)).collect();
        answers(&world, &other, &mut bystander).await?;
        for asking in asked {
            // Not after the time for a query: long before.
            refused(&timeout(PATIENCE / 2, asking).await???, &ErrorCode::AgentNotConnected)?;
        }
        world.state_becomes(&cluster, "disconnected").await?;
        answers(&world, &other, &mut bystander).await?;
        agent.lost().await
    }
}

/// A full queue of an agent that does not read delays neither a revocation nor a newer session.
#[tokio::test]
async fn an_agent_that_does_not_read_delays_nobody() -> Result<()> {
    let database = TestDatabase::sqlite();
    let mut setup = Setup::on(&database);
    // So that waiting for it would be noticed.
    setup.timing.write_within = 3 * PATIENCE;
    let world = setup.start().await?;
    let cluster = world.cluster(User::Ada, "a").await?;
    let mut agent = Agent::connect_with(world.address, &cluster.agent_id, &cluster.key, Some(4096)).await?;
    agent.greet(&cluster.agent_id).await?;
    let params = Params { label_selector: Some("x".repeat(900_000)), ..Params::default() };
    let large = QueryRequest { params, ..query_for(User::Ada, &cluster.agent_id) };
    let mut asked: Vec<_> = (0..7).map(|_| world.asking(large.clone(), PATIENCE)).collect();
    let query = query_for(User::Ada, &cluster.agent_id);
    asked.extend((0..300).map(|_| world.asking(query.clone(), PATIENCE)));
    // One that is refused shows that the queue is full.
    let full = eventually("a full queue", async || {
        let answer = world.asking(query.clone(), Duration::from_millis(100)).await.ok()?.ok()?;
        (answer.code == Some(ErrorCode::RateLimited)).then_some(())
    });
    full.await?;

    let mut newer = Agent::open(&world, &cluster).await?;
    answers(&world, &cluster, &mut newer).await?;
    world.delete(User::Ada, &cluster.path("")).await?.json(204)?;
    newer.refused(&RefusalCode::Revoked, 1008).await?;
    for asking in asked {
        asking.abort();
    }
    Ok(())
}
