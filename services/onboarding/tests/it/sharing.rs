//! Those who ask the same at the same time share an answer.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use contracts::{
    ErrorCode, Timestamp,
    agent::PART_BYTES,
    query::{Command, Params, QueryRequest},
};
use store::testing::TestDatabase;
use testkit::eventually;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    agent::Agent,
    world::{Made, PATIENCE, Setup, User, World, query_for, read, refused},
};

const MANY: u32 = 1000;

/// A result of so many parts that a reader can be far ahead of another.
fn bytes() -> Vec<u8> {
    (0..20 * PART_BYTES).map(|index| u8::try_from(index % 251).unwrap_or_default()).collect()
}

async fn sharing(database: &TestDatabase) -> Result<(World, Made, Agent)> {
    let mut setup = Setup::on(database);
    setup.agents.share_answers = true;
    let world = setup.start().await?;
    let cluster = world.cluster(User::Ada, "a").await?;
    let agent = Agent::open(&world, &cluster).await?;
    Ok((world, cluster, agent))
}

/// Waits until so many askers share the answers of others.
async fn shared(world: &World, askers: u32) -> Result<()> {
    let series = r#"agent_questions_total{shared="true"}"#;
    eventually("all of them to share", async || {
        (world.metrics.value(series).ok()? >= f64::from(askers)).then_some(())
    })
    .await
}

store::test_on_both! {
    async fn a_thousand_who_ask_the_same_cost_the_agent_one(database: TestDatabase) -> Result<()> {
        let (world, cluster, mut agent) = sharing(&database).await?;
        let first = world.asking_in_parts(&cluster.query());
        let request = agent.request().await?;
        // None of them would wait longer than the first, however long it takes until all have asked.
        let query = cluster.query();
        let deadline = Timestamp::from_millis(query.timestamp.as_millis() + 10_000);
        let query = QueryRequest { deadline, ..query };
        let mut asking = vec![first];
        asking.extend((1..MANY).map(|_| world.asking_in_parts(&query)));
        shared(&world, MANY - 1).await?;
        agent.answer(&request, "[1]").await?;
        for asking in asking {
            assert_eq!(asking.await??, b"[1]");
        }
        // There was no other question: this is the next one that the agent is asked.
        agent.answers(&world, &cluster.query()).await
    }

    async fn many_who_wait_for_a_silent_agent_hold_up_nobody(database: TestDatabase) -> Result<()> {
        let (world, cluster, mut silent) = sharing(&database).await?;
        let query = cluster.query();
        let deadline = Timestamp::from_millis(query.timestamp.as_millis() + 10_000);
        let query = QueryRequest { deadline, ..query };
        let mut waiting = JoinSet::new();
        let first = world.asking_in_parts(&cluster.query());
        silent.request().await?;
        for _ in 0..3 * MANY {
            let asking = world.asking_in_parts(&query);
            waiting.spawn(AbortOnDropHandle::new(asking));
        }
        shared(&world, 3 * MANY).await?;
        let other = world.cluster(User::Bob, "b").await?;
        let mut agent = Agent::open(&world, &other).await?;
        agent.answers(&world, &query_for(User::Bob, &other.agent_id)).await?;
        first.abort();
        Ok(())
    }

    async fn what_differs_is_not_shared_nor_what_is_to_be_fresh(database: TestDatabase) -> Result<()> {
        let (world, cluster, mut agent) = sharing(&database).await?;
        let query = cluster.query();
        let with = |params: Params| QueryRequest { params, ..query.clone() };
        let fresh = Params { fresh: true, ..Params::default() };
        let queries = [
            query.clone(),
            QueryRequest { command: Command::GetNodes, ..query.clone() },
            with(Params { namespace: Some("a".to_owned()), ..Params::default() }),
            with(fresh.clone()),
            with(fresh),
            // A client of the earlier system, which does not say who asks.
            QueryRequest { user_id: None, ..query.clone() },
            QueryRequest { user_id: None, ..query.clone() },
        ];
        let asking: Vec<_> = queries.iter().map(|query| world.asking_in_parts(query)).collect();
        for _ in &queries {
            let request = agent.request().await?;
            agent.answer(&request, "[1]").await?;
        }
        for asking in asking {
            asking.await??;
        }
        Ok(())
    }

    async fn another_user_shares_nothing(database: TestDatabase) -> Result<()> {
        let (world, cluster, mut agent) = sharing(&database).await?;
        let asking = world.asking_in_parts(&cluster.query());
        let request = agent.request().await?;
        let of_bob = QueryRequest { user_id: Some(User::Bob.id().to_owned()), ..cluster.query() };
        refused(&world.ask(&of_bob).await?, &ErrorCode::NotFound)?;
        agent.answer(&request, "[1]").await?;
        asking.await??;
        Ok(())
    }

    async fn only_the_last_who_goes_away_cancels(database: TestDatabase) -> Result<()> {
        let (world, cluster, mut agent) = sharing(&database).await?;
        let query = cluster.query();
        let (first, second) = (world.asking_in_parts(&query), world.asking_in_parts(&query));
        let request = agent.request().await?;
        shared(&world, 1).await?;
        first.abort();
        agent.answer(&request, "[1]").await?;
        assert_eq!(second.await??, b"[1]");

        let (first, second) = (world.asking_in_parts(&query), world.asking_in_parts(&query));
        let request = agent.request().await?;
        shared(&world, 2).await?;
        first.abort();
        second.abort();
        assert_eq!(agent.cancelled().await?, request.request_id);
        Ok(())
    }

    async fn who_reads_fast_and_goes_away_leaves_the_answer_to_the_slow_one(database: TestDatabase) -> Result<()> {
        let (world, cluster, mut agent) = sharing(&database).await?;
        let bytes = bytes();
        let query = cluster.query();
        // The agent sends all but the last part, as fast as the fast one takes it.
        let (most, last) = bytes.split_at(19 * PART_BYTES);
        let beginning = async {
            let request = agent.request().await?;
            shared(&world, 1).await?;
            agent.begin_parts(&request)?;
            for part in most.chunks(PART_BYTES) {
                agent.part_wanted(request.request_id).await?;
                agent.send_part(request.request_id, false, part).await?;
            }
            anyhow::Ok(request)
        };
        let slow = world.ask_in_parts(&query, PATIENCE);
        let fast = world.asking_in_parts(&query);
        let (slow, sent) = tokio::join!(slow, beginning);
        let request = sent?;
        // The fast one wants it, and is gone when it comes.
        agent.part_wanted(request.request_id).await?;
        fast.abort();
        assert!(fast.await.is_err());
        eventually("it to be known", async || (world.serving.serving() == 1).then_some(())).await?;
        agent.send_part(request.request_id, true, last).await?;
        assert!(read(slow?).await? == bytes);
        agent.answers(&world, &query).await
    }

    async fn who_reads_slowly_holds_up_nobody_and_loses_nothing(database: TestDatabase) -> Result<()> {
        let (world, cluster, mut agent) = sharing(&database).await?;
        let bytes = bytes();
        let query = cluster.query();
        let beginning = async {
            let request = agent.request().await?;
            shared(&world, 1).await?;
            agent.answer_in_parts(&request, &bytes).await
        };
        let slow = world.ask_in_parts(&query, PATIENCE);
        let fast = world.asking_in_parts(&query);
        let (slow, sent) = tokio::join!(slow, beginning);
        sent?;
        assert!(fast.await?? == bytes, "the fast one has it all while the slow one has read nothing");
        assert!(read(slow?).await? == bytes);
        eventually("nothing to be kept", async || {
            (world.metrics.value("agent_answer_bytes_queued").ok()? < 1.0).then_some(())
        })
        .await
    }

    async fn what_is_kept_for_who_reads_slowly_is_bounded(database: TestDatabase) -> Result<()> {
        let mut setup = Setup::on(&database);
        setup.agents.share_answers = true;
        setup.agents.max_queued_mib = 1;
        let world = setup.start().await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let mut agent = Agent::open(&world, &cluster).await?;
        let query = cluster.query();
        let beginning = async {
            let request = agent.request().await?;
            shared(&world, 1).await?;
            agent.begin_parts(&request)?;
            // The answer has no end: it goes on until the agent is told something else.
            let (mut parts, part) = (0, [0; PART_BYTES]);
            let told = loop {
                if let Err(other) = agent.part_wanted(request.request_id).await {
                    break other;
                }
                agent.send_part(request.request_id, false, &part).await?;
                parts += 1;
            };
            ensure!(told.to_string().contains("Cancel"), "{told}");
            anyhow::Ok(parts)
        };
        let slow = world.ask_in_parts(&query, PATIENCE);
        let fast = world.asking_in_parts(&query);
        let (slow, sent) = tokio::join!(slow, beginning);
        // A mebibyte, and what both have taken before they are known to have it.
        assert!((16..32).contains(&sent?));
        for failed in [fast.await?, read(slow?).await] {
            let error = failed.err().context("it fails for both")?;
            assert!(error.to_string().contains("unavailable"), "{error:#}");
        }
        assert_eq!(world.metrics.value(r#"refused_total{bound="max_queued_mib"}"#)?, 1.0);
        eventually("nothing to be kept", async || {
            (world.metrics.value("agent_answer_bytes_queued").ok()? < 1.0).then_some(())
        })
        .await?;
        agent.answers(&world, &query).await
    }

    async fn who_would_wait_much_longer_asks_anew(database: TestDatabase) -> Result<()> {
        let (world, cluster, mut agent) = sharing(&database).await?;
        let query = cluster.query();
        let hasty = world.asking(query.clone(), Duration::from_secs(2));
        let first = agent.request().await?;
        let patient = world.asking_in_parts(&query);
        let second = agent.request().await.context("the patient one asks too")?;
        assert!(second.deadline_ms > 5 * first.deadline_ms);
        agent.answer(&second, "[2]").await?;
        assert_eq!(patient.await??, b"[2]");
        hasty.abort();
        Ok(())
    }
}
