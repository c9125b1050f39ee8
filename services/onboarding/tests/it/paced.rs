//! Answers that are taken while they come, at the pace of whoever asked.

use std::time::Duration;

use anyhow::{Context, Result};
use contracts::{
    ErrorCode,
    agent::{PART_BYTES, RefusalCode, Request},
};
use tokio::time::timeout;

use crate::{
    agent::Agent,
    world::{PATIENCE, read, refused, start},
};

/// More than may be on its way without having been taken.
const PARTS: usize = 12;
const SOON: Duration = Duration::from_secs(1);

fn bytes() -> Vec<u8> {
    (0..PARTS * PART_BYTES).map(|index| u8::try_from(index % 251).unwrap_or_default()).collect()
}

store::test_on_both! {
    async fn an_answer_arrives_whole_and_in_order(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(crate::world::User::Ada, "a").await?;
        let mut agent = Agent::open(&world, &cluster).await?;
        let asking = world.asking_in_parts(&cluster.query());
        let request = agent.request().await?;
        agent.answer_in_parts(&request, &bytes()).await?;
        assert!(asking.await?? == bytes());
        // And one that comes in one piece, as it is.
        let asking = world.asking_in_parts(&cluster.query());
        let request = agent.request().await?;
        agent.answer(&request, "[ 1 ]").await?;
        assert_eq!(asking.await??, b"[ 1 ]");
        assert!(world.metrics.value("agent_answer_bytes_queued")? < 1.0, "nothing is kept");
        Ok(())
    }

    async fn it_begins_before_its_end_is_there_and_no_faster_than_it_is_taken(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(crate::world::User::Ada, "a").await?;
        let mut agent = Agent::open(&world, &cluster).await?;
        let (query, bytes) = (cluster.query(), bytes());
        let asking = world.ask_in_parts(&query, PATIENCE);
        let beginning = async {
            let request = agent.request().await?;
            agent.send_part(request.request_id, false, &bytes[..PART_BYTES]).await?;
            anyhow::Ok(request)
        };
        let (answer, request) = tokio::join!(asking, beginning);
        let (answer, request) = (answer?, request?);
        // Nothing has been taken, and so one part in the hand of the bus is all that is asked for beyond the first ones.
        let window = request.window.context("a window")?;
        for _ in 1..window {
            agent.send_part(request.request_id, false, &bytes[..PART_BYTES]).await?;
        }
        agent.answers(&world, &query).await?;
        let allowed = usize::try_from(window)? + agent.wanted(&request);
        assert!(allowed < PARTS, "{allowed} parts are wanted of an answer that nobody reads");
        // Taken by nobody, it holds up nobody.
        agent.answers(&world, &query).await?;
        let rest = Request { window: Some(0), ..request };
        let from = usize::try_from(window)? * PART_BYTES;
        let (sent, taken) = tokio::join!(agent.answer_in_parts(&rest, &bytes[from..]), read(answer));
        sent?;
        assert_eq!(taken?.len(), bytes.len());
        Ok(())
    }

    async fn who_goes_away_has_the_agent_told(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(crate::world::User::Ada, "a").await?;
        let mut agent = Agent::open(&world, &cluster).await?;
        // Before the answer has begun.
        let asking = world.asking_in_parts(&cluster.query());
        let request = agent.request().await?;
        asking.abort();
        assert_eq!(timeout(SOON, agent.cancelled()).await??, request.request_id);
        // In the midst of it.
        let query = cluster.query();
        let beginning = async {
            let request = agent.request().await?;
            agent.send_part(request.request_id, false, b"begun").await?;
            anyhow::Ok(request)
        };
        let (answer, request) = tokio::join!(world.ask_in_parts(&query, PATIENCE), beginning);
        drop(answer?);
        assert_eq!(timeout(SOON, agent.cancelled()).await??, request?.request_id);
        assert!(world.metrics.value("agent_questions_in_flight")? < 1.0);
        agent.answers(&world, &query).await
    }

    async fn an_answer_that_stops_half_way_ends_at_the_deadline(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(crate::world::User::Ada, "a").await?;
        let mut agent = Agent::open(&world, &cluster).await?;
        let query = cluster.query();
        let beginning = async {
            let request = agent.request().await?;
            agent.send_part(request.request_id, false, b"begun").await
        };
        let (answer, begun) = tokio::join!(world.ask_in_parts(&query, Duration::from_millis(500)), beginning);
        begun?;
        assert!(timeout(PATIENCE, read(answer?)).await?.is_err(), "it is not whole");
        agent.cancelled().await?;
        agent.answers(&world, &query).await
    }

    async fn the_end_of_the_session_ends_an_answer(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(crate::world::User::Ada, "a").await?;
        let mut agent = Agent::open(&world, &cluster).await?;
        let query = cluster.query();
        let beginning = async {
            let request = agent.request().await?;
            agent.send_part(request.request_id, false, b"begun").await
        };
        let (answer, begun) = tokio::join!(world.ask_in_parts(&query, PATIENCE), beginning);
        begun?;
        drop(agent);
        assert!(timeout(PATIENCE / 2, read(answer?)).await?.is_err(), "it is not whole");
        Ok(())
    }

    async fn more_than_is_wanted_ends_the_session(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(crate::world::User::Ada, "a").await?;
        let mut agent = Agent::open(&world, &cluster).await?;
        let query = cluster.query();
        let flooding = async {
            let request = agent.request().await?;
            for _ in 0..2 * PARTS {
                // It may be closed before all are sent.
                if agent.send_part(request.request_id, false, &[0; PART_BYTES]).await.is_err() {
                    break;
                }
            }
            anyhow::Ok(())
        };
        let (answer, flooded) = tokio::join!(world.ask_in_parts(&query, PATIENCE), flooding);
        flooded?;
        // Only then it is read: one that is read as fast as it comes is never too much.
        agent.refused(&RefusalCode::ProtocolError, 1002).await?;
        let answer = answer?;
        match answer.body {
            Some(_) => assert!(read(answer).await.is_err()),
            None => drop(refused(&answer.head, &ErrorCode::AgentError)?),
        }
        Ok(())
    }
}
