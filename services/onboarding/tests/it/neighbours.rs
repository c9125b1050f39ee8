//! Agents that misbehave, and others beside them that do not notice.

use std::time::Duration;

use anyhow::Result;
use contracts::{
    ErrorCode,
    agent::{MAX_RESULT_BYTES, RefusalCode},
};
use tokio::time::sleep;
use uuid::Uuid;

use crate::{
    agent::Agent,
    world::{Made, PATIENCE, Setup, User, World, read, refused},
};

/// A well-behaved agent beside the other one.
struct Street {
    world: World,
    bad: (Made, Agent),
    good: (Made, Agent),
}

impl Street {
    async fn new(setup: Setup) -> Result<Self> {
        let world = setup.start().await?;
        let bad = world.cluster(User::Ada, "bad").await?;
        let good = world.cluster(User::Ada, "good").await?;
        let bad = (bad.clone(), Agent::open(&world, &bad).await?);
        let good = (good.clone(), Agent::open(&world, &good).await?);
        Ok(Self { world, bad, good })
    }

    /// The good one is answered for, and still is when the other has gone.
    async fn is_well(&mut self) -> Result<()> {
        let (made, agent) = &mut self.good;
        agent.answers(&self.world, &made.query()).await
    }
}

store::test_on_both! {
    async fn a_flood_of_heartbeats_ends_the_session(database: TestDatabase) -> Result<()> {
        let mut street = Street::new(Setup::on(&database)).await?;
        for beat in 0..10_000 {
            // It may be closed before all are sent.
            if street.bad.1.beat(beat, beat).await.is_err() {
                break;
            }
        }
        street.is_well().await?;
        assert!(street.bad.1.refused(&RefusalCode::RateLimited, 1008).await?, "it may come back");
        let (made, agent) = &mut street.good;
        agent.answers(&street.world, &made.query()).await
    }

    async fn answers_that_nobody_asked_for_end_the_session(database: TestDatabase) -> Result<()> {
        let mut street = Street::new(Setup::on(&database)).await?;
        for number in 0..10_000_u128 {
            let (id, last) = (Uuid::from_u128(number), number % 2 == 0);
            if street.bad.1.send_part(id, last, b"unasked").await.is_err() {
                break;
            }
        }
        street.is_well().await?;
        assert!(street.bad.1.refused(&RefusalCode::RateLimited, 1008).await?, "it may come back");
        Ok(())
    }

    async fn answers_that_come_too_late_do_not(database: TestDatabase) -> Result<()> {
        let mut street = Street::new(Setup::on(&database)).await?;
        let (made, agent) = &mut street.bad;
        for _ in 0..300 {
            let asking = street.world.asking_in_parts(&made.query());
            let request = agent.request().await?;
            asking.abort();
            agent.cancelled().await?;
            agent.answer(&request, "[1]").await?;
        }
        agent.answers(&street.world, &made.query()).await
    }

    async fn an_answer_at_a_byte_at_a_time_is_given_up(database: TestDatabase) -> Result<()> {
        let mut setup = Setup::on(&database);
        setup.agents.heartbeat_seconds = 1;
        let mut street = Street::new(setup).await?;
        let asking = street.world.asking(street.bad.0.query(), PATIENCE);
        let _request = street.bad.1.request().await?;
        // The head of a masked text frame of 60,000 bytes, and then a byte now and then.
        street.bad.1.send_bytes(&[0x81, 0xfe, 0xea, 0x60, 0, 0, 0, 0]).await?;
        let trickle = async {
            while street.bad.1.send_bytes(b" ").await.is_ok() && !asking.is_finished() {
                sleep(Duration::from_millis(100)).await;
                let (made, agent) = &mut street.good;
                agent.beat(1, 1).await?;
                agent.answers(&street.world, &made.query()).await?;
            }
            anyhow::Ok(())
        };
        trickle.await?;
        refused(&asking.await??, &ErrorCode::AgentNotConnected)?;
        assert!(street.bad.1.refused(&RefusalCode::Timeout, 1008).await?, "it may come back");
        Ok(())
    }

    async fn an_answer_of_a_gibibyte_is_cut(database: TestDatabase) -> Result<()> {
        let mut street = Street::new(Setup::on(&database)).await?;
        let query = street.bad.0.query();
        let agent = &mut street.bad.1;
        let endless = async {
            let request = agent.request().await?;
            agent.begin_parts(&request)?;
            let mut sent: usize = 0;
            // Each part when it is wanted, until the agent is told to stop.
            while agent.part_wanted(request.request_id).await.is_ok() {
                agent.send_part(request.request_id, false, &[0; 1_000_000]).await?;
                sent += 1_000_000;
                anyhow::ensure!(sent < 1 << 30, "a gibibyte was taken");
            }
            anyhow::Ok(sent)
        };
        let reading = async { read(street.world.ask_in_parts(&query, 3 * PATIENCE).await?).await };
        let (read, sent) = tokio::join!(reading, endless);
        let error = read.map(|bytes| bytes.len()).expect_err("it is cut").to_string();
        assert!(error.contains("too_large"), "{error}");
        assert!((MAX_RESULT_BYTES..MAX_RESULT_BYTES + 6_000_000).contains(&sent?));
        // The session lives.
        street.bad.1.answers(&street.world, &query).await?;
        street.is_well().await
    }
}
