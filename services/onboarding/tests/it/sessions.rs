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
    agent::{Agent, hello},
    world::{Made, PATIENCE, Setup, User, World, refused, start},
};

/// What the system keeps for an agent that does not read; of the bytes that are sent to it, it keeps up to 4 MiB besides.
const SMALL_BUFFER: Option<u32> = Some(4096);

/// Seven of them are more than the system keeps.
fn large_query(cluster: &Made) -> QueryRequest {
    let params = Params { label_selector: Some("x".repeat(900_000)), ..Params::default() };
    QueryRequest { params, ..cluster.query() }
}

store::test_on_both! {
    async fn the_newer_session_wins_and_outlives_the_older(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let mut agent = Agent::open(&world, &cluster).await?;
        for _ in 0..5 {
            let asking = world.asking(cluster.query(), PATIENCE);
            agent.request().await?;
            let newer = Agent::open(&world, &cluster).await?;
            let older = std::mem::replace(&mut agent, newer);
            // What the older was asked, the newer is asked again.
            let again = agent.request().await?;
            agent.answer(&again, "\"newer\"").await?;
            assert_eq!(asking.await??.result.map(|result| result.get().to_owned()).as_deref(), Some("\"newer\""));
            agent.answers(&world, &cluster.query()).await?;
            assert!(!older.refused(&RefusalCode::Replaced, 1008).await?);
            // The older is gone for good, and has not taken the newer with it.
            assert_eq!(world.connected_agents(User::Ada).await?, [cluster.agent_id.as_str()]);
            agent.answers(&world, &cluster.query()).await?;
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
        assert_eq!(world.metrics.value(r#"refused_total{bound="max_sessions"}"#)?, 1.0);
        // In place of its own earlier session there is room.
        let newer = Agent::open(&world, &first).await?;
        assert!(!older.refused(&RefusalCode::Replaced, 1008).await?);
        drop(newer);
        eventually("room", async || Agent::open(&world, &second).await.ok()).await?;
        Ok(())
    }

    async fn those_who_never_say_hello_are_bounded_too(database: TestDatabase) -> Result<()> {
        let mut setup = Setup::on(&database);
        setup.agents.max_sessions = 1;
        let world = setup.start().await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let mut silent = Vec::new();
        let refused = loop {
            match Agent::connect(&world, &cluster).await {
                Ok(agent) => silent.push(agent),
                Err(refused) => break refused,
            }
        };
        assert_eq!(silent.len(), 101, "{refused:#}");
        assert!(format!("{refused:#}").contains("503"), "{refused:#}");
        silent.clear();
        eventually("a place", async || Agent::open(&world, &cluster).await.ok()).await?;
        Ok(())
    }

    async fn those_who_say_hello_together_are_no_more_either(database: TestDatabase) -> Result<()> {
        let mut setup = Setup::on(&database);
        setup.agents.max_sessions = 1;
        let world = setup.start().await?;
        let (first, second) = (world.cluster(User::Ada, "a").await?, world.cluster(User::Ada, "b").await?);
        // Both are connected before either says hello.
        let (mut one, mut other) = (Agent::connect(&world, &first).await?, Agent::connect(&world, &second).await?);
        one.greet(&first.agent_id).await?;
        // It may have been refused before it said so.
        let _ = other.send(&hello(&second.agent_id)).await;
        assert!(other.refused(&RefusalCode::Overloaded, 1013).await?);
        one.answers(&world, &first.query()).await
    }

    async fn an_agent_that_does_not_read_is_given_up(database: TestDatabase) -> Result<()> {
        let mut setup = Setup::on(&database);
        setup.timing.write_within = Duration::from_millis(300);
        let world = setup.start().await?;
        let (cluster, other) = (world.cluster(User::Ada, "a").await?, world.cluster(User::Ada, "b").await?);
        let mut bystander = Agent::open(&world, &other).await?;
        let mut agent = Agent::connect_with(world.address, &cluster.agent_id, &cluster.key, SMALL_BUFFER).await?;
        agent.greet(&cluster.agent_id).await?;
        let asked: Vec<_> = (0..7).map(|_| world.asking(large_query(&cluster), PATIENCE)).collect();
        bystander.answers(&world, &other.query()).await?;
        for asking in asked {
            // Not after the time for a query: long before.
            refused(&timeout(PATIENCE / 2, asking).await???, &ErrorCode::AgentNotConnected)?;
        }
        world.until_absent(&cluster).await?;
        bystander.answers(&world, &other.query()).await?;
        agent.lost().await
    }
}

/// An agent that does not read, and so many questions for it that no more are taken.
struct Stuck {
    world: World,
    cluster: Made,
    _agent: Agent,
    _database: TestDatabase,
}

impl Stuck {
    async fn new() -> Result<Self> {
        let database = TestDatabase::sqlite();
        let mut setup = Setup::on(&database);
        // So that waiting for it would be noticed.
        setup.timing.write_within = 3 * PATIENCE;
        let world = setup.start().await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let connecting = Agent::connect_with(world.address, &cluster.agent_id, &cluster.key, SMALL_BUFFER);
        let mut agent = connecting.await?;
        agent.greet(&cluster.agent_id).await?;
        for _ in 0..7 {
            world.asking(large_query(&cluster), PATIENCE);
        }
        let query = cluster.query();
        for _ in 0..300 {
            world.asking(query.clone(), PATIENCE);
        }
        let full = eventually("a full queue", async || {
            let answer = world.asking(query.clone(), Duration::from_millis(100)).await.ok()?.ok()?;
            (answer.code == Some(ErrorCode::RateLimited)).then_some(())
        });
        full.await?;
        Ok(Self { world, cluster, _agent: agent, _database: database })
    }
}

#[tokio::test]
async fn a_stuck_session_does_not_delay_a_newer_one() -> Result<()> {
    let Stuck { world, cluster, .. } = &Stuck::new().await?;
    let mut newer = Agent::open(world, cluster).await?;
    newer.answers(world, &cluster.query()).await
}

#[tokio::test]
async fn a_stuck_session_does_not_delay_its_revocation() -> Result<()> {
    let Stuck { world, cluster, .. } = &Stuck::new().await?;
    world.delete(User::Ada, &cluster.path("")).await?.json(204)?;
    // At once: not when its last frame has been given up.
    assert_eq!(world.connected_agents(User::Ada).await?, [""; 0]);
    refused(&world.ask(&cluster.query()).await?, &ErrorCode::NotFound)?;
    Ok(())
}
