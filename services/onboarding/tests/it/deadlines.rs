//! Askers that stop waiting, and sessions that end while they wait.

use std::time::Duration;

use anyhow::{Context, Result};
use bus::RequestOptions;
use contracts::{
    ErrorCode, Timestamp,
    query::{QueryRequest, QueryResult},
    queues,
};
use tokio::time::{Instant, timeout};

use crate::{
    agent::Agent,
    world::{PATIENCE, User, query_for, refused, start},
};

const SHORT: Duration = Duration::from_millis(500);

/// A query whose asker says that it stops waiting soon.
fn hasty(agent_id: &str) -> Result<QueryRequest> {
    let query = query_for(User::Ada, agent_id);
    let deadline = query.timestamp.as_millis() + i64::try_from(SHORT.as_millis())?;
    Ok(QueryRequest { deadline: Timestamp::from_millis(deadline), ..query })
}

store::test_on_both! {
    async fn the_asker_is_told_of_the_deadline_and_the_agent_to_stop(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let mut agent = Agent::open(&world, &cluster).await?;
        // The asker's own deadline; then that of the message alone, which an answer must reach in time, too.
        for (query, patience) in [
            (hasty(&cluster.agent_id)?, PATIENCE),
            (cluster.query(), Duration::from_secs(2)),
        ] {
            let asked = Instant::now();
            let asking = world.asking(query, patience);
            let request = agent.request().await?;
            assert_eq!(agent.cancelled().await?, request.request_id);
            refused(&asking.await??, &ErrorCode::AgentTimeout)?;
            assert!(asked.elapsed() < PATIENCE / 2);
            // Too late.
            agent.answer(&request, "1").await?;
            agent.answers(&world, &cluster.query()).await?;
        }
        Ok(())
    }

    async fn the_agent_is_told_to_stop_when_the_asker_has_gone_away(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let mut agent = Agent::open(&world, &cluster).await?;
        let asking = world.asking(cluster.query(), Duration::from_secs(1));
        let request = agent.request().await?;
        asking.abort();
        assert_eq!(agent.cancelled().await?, request.request_id);
        agent.answers(&world, &cluster.query()).await
    }

    async fn a_query_without_patience_does_not_reach_the_agent_in_vain(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let mut agent = Agent::open(&world, &cluster).await?;
        let query = cluster.query();
        let long_ago = Timestamp::from_millis(0).context("a time")?;
        let late = QueryRequest { deadline: Some(long_ago), ..query };
        refused(&world.ask(&late).await?, &ErrorCode::AgentTimeout)?;
        agent.answers(&world, &cluster.query()).await
    }

    async fn those_who_wait_are_told_at_once_when_the_session_ends(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        for how in ["the connection breaks", "the agent closes", "the server closes"] {
            let mut agent = Agent::open(&world, &cluster).await?;
            let bus = world.bus.clone();
            let query = cluster.query();
            let asking = tokio::spawn(async move {
                let options = RequestOptions::within(PATIENCE);
                bus.request::<_, QueryResult>(queues::QUERIES, &query, options).await
            });
            agent.request().await?;
            let _agent = match how {
                "the connection breaks" => {
                    drop(agent);
                    None
                }
                "the agent closes" => {
                    agent.send_raw(tokio_tungstenite::tungstenite::Message::Close(None)).await?;
                    Some(agent)
                }
                // And the agent does not look at it.
                _ => {
                    agent.send_raw("no frame".into()).await?;
                    Some(agent)
                }
            };
            let answer = timeout(Duration::from_secs(4), asking).await.context(how)???;
            refused(&answer, &ErrorCode::AgentNotConnected)?;
        }
        Ok(())
    }
}
