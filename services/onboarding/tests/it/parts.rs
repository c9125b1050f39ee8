//! Answers that come gzipped and in parts.

use std::{io::Write, time::Duration};

use anyhow::{Context, Result};
use contracts::{
    ErrorCode,
    agent::{MAX_RESULT_BYTES, PART_BYTES, Request},
    query::{MAX_WHOLE_RESULT_BYTES, QueryResult},
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

/// Asks, and has the agent answer with these bytes.
async fn answered(world: &World, cluster: &Made, agent: &mut Agent, bytes: &[u8]) -> Result<QueryResult> {
    let asking = world.asking(cluster.query(), UNPACKING);
    let request = agent.request().await?;
    agent.answer_in_parts(&request, bytes).await?;
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
        let rest_of_window = Request { window: large_request.window.map(|parts| parts - 1), ..large_request };
        agent.answer_in_parts(&rest_of_window, rest).await?;
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
    setup.agents.stale_after_seconds = 450;
    let world = setup.start().await?;
    let cluster = world.cluster(User::Ada, "a").await?;
    let mut agent = Agent::open(&world, &cluster).await?;
    let query = cluster.query();
    let exploding = world.asking(query.clone(), UNPACKING);
    let request = agent.request().await?;
    agent.answer_in_parts(&request, &bomb()?).await?;
    agent.answers(&world, &query).await?;
    refused(&exploding.await??, &ErrorCode::TooLarge)?;
    Ok(())
}

/// Compressed or not, nothing larger than an answer in one message may be is kept for one.
#[tokio::test]
async fn parts_without_end_are_cut_off() -> Result<()> {
    let database = TestDatabase::sqlite();
    let world = start(&database).await?;
    let cluster = world.cluster(User::Ada, "a").await?;
    let mut agent = Agent::open(&world, &cluster).await?;
    let asking = world.asking(cluster.query(), PATIENCE);
    let request = agent.request().await?;
    // The last part is never sent.
    let sent = agent.answer_in_parts(&request, &vec![0; 2 * MAX_WHOLE_RESULT_BYTES]).await;
    assert!(sent.is_err_and(|error| error.to_string().contains("Cancel")), "the agent is told to stop");
    refused(&asking.await??, &ErrorCode::TooLarge)?;
    Ok(())
}
