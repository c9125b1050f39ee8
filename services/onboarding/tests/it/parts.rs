//! Answers that come gzipped and in parts.

use std::{io::Write, time::Duration};

use anyhow::{Context, Result};
use contracts::{
    ErrorCode,
    agent::{MAX_RESULT_BYTES, PART_BYTES, Request},
    query::QueryResult,
};
use flate2::{Compress, Compression, FlushCompress, write::GzEncoder};
use rand::{RngExt, SeedableRng, distr::Alphanumeric, rngs::StdRng};
use store::testing::TestDatabase;

use crate::{
    agent::Agent,
    world::{Made, PATIENCE, Setup, User, World, refused, start},
};

/// Without optimization, unpacking what is as large as a result may be takes half a minute.
const UNPACKING: Duration = Duration::from_secs(180);

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

/// What unpacks to more than a result may be, cheaply made: one block again and again. Nobody reads so far as to miss the
/// checksum.
fn bomb() -> Result<Vec<u8>> {
    let unpacked = vec![b' '; 1 << 20];
    let mut block = Vec::with_capacity(1 << 20);
    let mut deflate = Compress::new(Compression::fast(), false);
    deflate.compress_vec(&unpacked, &mut block, FlushCompress::Full)?;
    let mut bomb = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    bomb.extend(block.repeat((MAX_RESULT_BYTES >> 20) + 1));
    anyhow::ensure!(bomb.len() < 1 << 20);
    Ok(bomb)
}

async fn send_parts(agent: &mut Agent, request: &Request, bytes: &[u8]) -> Result<()> {
    let mut parts = bytes.chunks(PART_BYTES).peekable();
    while let Some(data) = parts.next() {
        agent.send_part(request.request_id, parts.peek().is_none(), data).await?;
    }
    Ok(())
}

/// Asks, and has the agent answer with these bytes.
async fn answered(world: &World, cluster: &Made, agent: &mut Agent, bytes: &[u8]) -> Result<QueryResult> {
    let asking = world.asking(cluster.query(), UNPACKING);
    let request = agent.request().await?;
    send_parts(agent, &request, bytes).await?;
    Ok(asking.await??)
}

store::test_on_both! {
    async fn a_large_answer_lets_a_small_one_pass(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let mut agent = Agent::open(&world, &cluster).await?;
        let text: String =
            StdRng::seed_from_u64(7).sample_iter(Alphanumeric).take(1_000_000).map(char::from).collect();
        let json = format!("[ \"{text}\" ]");
        let gzip = gzip(json.as_bytes())?;
        let query = cluster.query();
        let large = world.asking(query.clone(), PATIENCE);
        let large_request = agent.request().await?;
        let small = world.asking(query, PATIENCE);
        let small_request = agent.request().await?;

        let (first, rest) = gzip.split_at(PART_BYTES);
        assert!(rest.len() > 2 * PART_BYTES);
        agent.send_part(large_request.request_id, false, first).await?;
        agent.answer(&small_request, "\"small\"").await?;
        assert_eq!(small.await??.result.context("a result")?.get(), "\"small\"");
        assert!(!large.is_finished());
        send_parts(&mut agent, &large_request, rest).await?;
        assert_eq!(large.await??.result.context("a result")?.get(), json);
        Ok(())
    }

    async fn what_is_no_answer_is_an_error_of_the_agent(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let mut agent = Agent::open(&world, &cluster).await?;
        let cut = gzip(b"{\"pods\":[]}")?;
        for bytes in [
            b"rubbish".as_slice(),
            &cut[..cut.len() - 9],
            &gzip(b"no json")?,
            &gzip(b"")?,
            &gzip(b"{\"a\":1} {}")?,
            &gzip(b"\"\xff\"")?,
        ] {
            refused(&answered(&world, &cluster, &mut agent, bytes).await?, &ErrorCode::AgentError)?;
        }
        // The session lives.
        let answer = answered(&world, &cluster, &mut agent, &gzip(b"[1]")?).await?;
        assert_eq!(answer.result.context("a result")?.get(), "[1]");
        Ok(())
    }
}

/// The session does not wait for the unpacking.
#[tokio::test]
async fn a_bomb_is_not_unpacked_to_its_end() -> Result<()> {
    let database = TestDatabase::sqlite();
    let mut setup = Setup::on(&database);
    setup.agents.heartbeat_seconds = 300;
    let world = setup.start().await?;
    let cluster = world.cluster(User::Ada, "a").await?;
    let mut agent = Agent::open(&world, &cluster).await?;
    let query = cluster.query();
    let exploding = world.asking(query.clone(), UNPACKING);
    let request = agent.request().await?;
    send_parts(&mut agent, &request, &bomb()?).await?;
    agent.answers(&world, &query).await?;
    refused(&exploding.await??, &ErrorCode::TooLarge)?;
    Ok(())
}

/// Compressed or not, nothing larger than a result is kept.
#[tokio::test]
async fn parts_without_end_are_cut_off() -> Result<()> {
    let database = TestDatabase::sqlite();
    let world = start(&database).await?;
    let cluster = world.cluster(User::Ada, "a").await?;
    let mut agent = Agent::open(&world, &cluster).await?;
    let asking = world.asking(cluster.query(), PATIENCE);
    let request = agent.request().await?;
    let part = vec![0; 1_000_000];
    for _ in 0..=MAX_RESULT_BYTES / part.len() {
        agent.send_part(request.request_id, false, &part).await?;
    }
    refused(&asking.await??, &ErrorCode::TooLarge)?;
    Ok(())
}
