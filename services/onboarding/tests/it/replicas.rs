//! Several replicas: any of them finds an agent, and each agent has one session among them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bus::{Bus, EventWatch, Notice, RequestOptions};
use contracts::{
    ErrorCode,
    agent::{Hello, RefusalCode, ServerFrame},
    events::{Event, EventType},
    query::QueryResult,
    queues,
};
use store::testing::TestDatabase;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::{
    agent::{Agent, hello},
    world::{Made, PATIENCE, Setup, User, World, refused, start},
};

/// Two replicas and a cluster.
struct Pair {
    first: World,
    second: World,
    cluster: Made,
}

impl Pair {
    async fn start(database: &TestDatabase) -> Result<Self> {
        Self::of(Setup::on(database)).await
    }

    async fn of(setup: Setup) -> Result<Self> {
        let first = setup.start().await?;
        let second = first.replica().await?;
        let cluster = first.cluster(User::Ada, "a").await?;
        Ok(Self { first, second, cluster })
    }

    /// Asks one replica alone.
    async fn ask_at(&self, owner: &str) -> Result<QueryResult> {
        let options = RequestOptions { at: Some(owner), ..RequestOptions::within(PATIENCE) };
        Ok(self.first.bus.request(queues::QUERIES, &self.cluster.query(), options).await?)
    }

    /// The owner that an answer tells of, where the agent answers.
    async fn owner(&self, agent: &mut Agent) -> Result<(String, u64)> {
        let query = self.cluster.query();
        let (answer, ponged) = tokio::join!(self.first.ask(&query), agent.pong());
        ponged?;
        let answer = answer?;
        answer.owner.clone().zip(answer.epoch).with_context(|| format!("{answer:?}"))
    }
}

/// What is told of agents, and that a cluster was deleted.
struct Told {
    watch: EventWatch,
    _bus: Bus,
}

impl Told {
    async fn listen(world: &World) -> Result<Self> {
        let bus = world.another_bus().await?;
        let mut watch = bus.watch_events(&["agent.*", "cluster.deleted"]);
        ensure!(timeout(PATIENCE, watch.next()).await? == Some(Notice::Gap));
        Ok(Self { watch, _bus: bus })
    }

    async fn next(&mut self) -> Result<Event> {
        match timeout(PATIENCE, self.watch.next()).await? {
            Some(Notice::Event(event)) => Ok(event),
            other => anyhow::bail!("{other:?} instead of an event"),
        }
    }
}

store::test_on_both! {
    async fn a_query_finds_its_agent_whichever_replica_takes_it(database: TestDatabase) -> Result<()> {
        let pair = Pair::start(&database).await?;
        let mut agent = Agent::open(&pair.second, &pair.cluster).await?;
        let (owner, epoch) = pair.owner(&mut agent).await?;
        let passed_on = |world: &World| {
            let series = r#"bus_served_total{queue="cluster_namespace_requests",outcome="passed_on"}"#;
            world.metrics.value(series)
        };
        for _ in 0..20 {
            assert_eq!(pair.owner(&mut agent).await?, (owner.clone(), epoch));
        }
        let before = passed_on(&pair.first)?;
        assert!(before > 0.0, "some were taken by the other");
        // Once the owner is known there is no hop.
        for _ in 0..20 {
            let (answer, ponged) = tokio::join!(pair.ask_at(&owner), agent.pong());
            ponged?;
            assert!(answer?.result.is_some());
        }
        assert_eq!(passed_on(&pair.first)?, before);
        Ok(())
    }

    async fn that_an_agent_is_not_connected_is_known_at_once(database: TestDatabase) -> Result<()> {
        let pair = Pair::start(&database).await?;
        let agent = Agent::open(&pair.second, &pair.cluster).await?;
        drop(agent);
        pair.second.until_absent(&pair.cluster).await?;
        let mut took = Vec::new();
        for _ in 0..21 {
            let started = Instant::now();
            refused(&pair.first.ask(&pair.cluster.query()).await?, &ErrorCode::AgentNotConnected)?;
            took.push(started.elapsed());
        }
        took.sort_unstable();
        assert!(took[10] < Duration::from_millis(100), "{took:?}");
        Ok(())
    }

    async fn every_replica_tells_of_the_same_agents(database: TestDatabase) -> Result<()> {
        let Pair { first, second, cluster } = Pair::start(&database).await?;
        let other = first.cluster(User::Ada, "b").await?;
        let (one, _two) = (Agent::open(&first, &cluster).await?, Agent::open(&second, &other).await?);
        let mut both = [cluster.agent_id.clone(), other.agent_id.clone()];
        both.sort_unstable();
        for _ in 0..10 {
            assert_eq!(first.connected_agents(User::Ada).await?, both);
        }
        for world in [&first, &second] {
            for cluster in [&cluster, &other] {
                assert_eq!(world.get(User::Ada, &cluster.path("")).await?.json(200)?["connected"], true);
            }
        }
        drop(one);
        for world in [&first, &second] {
            world.until_absent(&cluster).await?;
        }
        assert_eq!(first.connected_agents(User::Ada).await?, [other.agent_id.as_str()]);
        Ok(())
    }

    async fn an_agent_that_moves_loses_no_question(database: TestDatabase) -> Result<()> {
        let pair = Pair::start(&database).await?;
        let instance = Uuid::new_v4();
        let (mut agent, mut welcome) = Agent::open_as(&pair.first, &pair.cluster, instance, None, false).await?;
        for replica in [&pair.second, &pair.first, &pair.first] {
            let asking = pair.first.asking(pair.cluster.query(), PATIENCE);
            let request = agent.request().await?;
            let before = welcome.epoch;
            let (next, welcomed) =
                Agent::open_as(replica, &pair.cluster, instance, welcome.epoch, true).await?;
            let mut earlier = std::mem::replace(&mut agent, next);
            welcome = welcomed;
            assert_eq!(welcome.epoch, before.map(|epoch| epoch + 1));
            assert_eq!(welcome.notice, None);
            // From now on it is asked here, and what it was asked there is answered there.
            for _ in 0..5 {
                agent.answers(&pair.first, &pair.cluster.query()).await?;
            }
            earlier.answer(&request, "\"earlier\"").await?;
            let answer = asking.await??;
            assert_eq!(answer.result.map(|result| result.get().to_owned()).as_deref(), Some("\"earlier\""));
            earlier.closed(1000).await?;
        }
        Ok(())
    }

    async fn of_two_copies_of_an_agent_one_wins_and_both_are_told(database: TestDatabase) -> Result<()> {
        let pair = Pair::start(&database).await?;
        let mut told = Told::listen(&pair.first).await?;
        let (original, copy) = (Uuid::new_v4(), Uuid::new_v4());
        let (older, welcome) = Agent::open_as(&pair.first, &pair.cluster, original, None, false).await?;
        assert_eq!(welcome.notice, None);
        let last_epoch = welcome.epoch;
        let (mut newer, welcome) = Agent::open_as(&pair.second, &pair.cluster, copy, None, false).await?;
        let notice = welcome.notice.context("the newer is told")?;
        assert!(notice.contains("another process"), "{notice}");
        assert!(!older.refused(&RefusalCode::Replaced, 1008).await?);
        newer.answers(&pair.first, &pair.cluster.query()).await?;
        // One that was replaced does not replace in turn.
        for replica in [&pair.first, &pair.second] {
            let mut again = Agent::connect(replica, &pair.cluster).await?;
            let hello =
                Hello { instance: Some(original), last_epoch, ..hello(&pair.cluster.agent_id) };
            again.send(&hello).await?;
            assert!(!again.refused(&RefusalCode::Replaced, 1008).await?);
            newer.answers(&pair.first, &pair.cluster.query()).await?;
        }
        let event = told.next().await?;
        assert_eq!((event.event_type.clone(), event.text("agent_id")),
                   (EventType::AgentDuplicated, Some(pair.cluster.agent_id.as_str())));
        // Once the copy is gone, it may come back; and nothing else was told meanwhile.
        drop(newer);
        pair.first.until_absent(&pair.cluster).await?;
        let (mut back, _) = Agent::open_as(&pair.first, &pair.cluster, original, last_epoch, false).await?;
        back.answers(&pair.second, &pair.cluster.query()).await?;
        pair.first.delete(User::Ada, &pair.cluster.path("")).await?.json(204)?;
        assert_eq!(told.next().await?.event_type, EventType::ClusterDeleted);
        Ok(())
    }

    async fn what_a_replica_that_died_had_not_told_is_told_by_the_next(database: TestDatabase) -> Result<()> {
        let pair = Pair::start(&database).await?;
        let (older, _) = Agent::open_as(&pair.first, &pair.cluster, Uuid::new_v4(), None, false).await?;
        // As a third one leaves it that has claimed the session, and died before it has told the first.
        let claimed = "UPDATE agent_sessions SET epoch = epoch + 1, replica = NULL, is_settled = 0 WHERE agent_id = $1";
        pair.first.sql(claimed, &pair.cluster.agent_id).await?;
        let (mut newer, welcome) =
            Agent::open_as(&pair.second, &pair.cluster, Uuid::new_v4(), None, false).await?;
        assert_eq!(welcome.epoch, Some(3));
        // Before the newer is welcome.
        assert!(!older.refused(&RefusalCode::Replaced, 1008).await?);
        for _ in 0..10 {
            newer.answers(&pair.first, &pair.cluster.query()).await?;
        }
        let settled: i64 = sqlx::query_scalar("SELECT is_settled FROM agent_sessions")
            .fetch_one(pair.first.store.pool())
            .await?;
        assert_eq!(settled, 1);
        Ok(())
    }

    async fn an_agent_that_was_lost_is_no_copy_of_itself(database: TestDatabase) -> Result<()> {
        let pair = Pair::start(&database).await?;
        let mut told = Told::listen(&pair.first).await?;
        let instance = Uuid::new_v4();
        let (_half_open, welcome) = Agent::open_as(&pair.first, &pair.cluster, instance, None, false).await?;
        let (mut back, welcome) =
            Agent::open_as(&pair.second, &pair.cluster, instance, welcome.epoch, false).await?;
        assert_eq!(welcome.notice, None);
        back.answers(&pair.first, &pair.cluster.query()).await?;
        pair.first.delete(User::Ada, &pair.cluster.path("")).await?.json(204)?;
        assert_eq!(told.next().await?.event_type, EventType::ClusterDeleted, "nothing was told before");
        Ok(())
    }

    async fn a_revocation_reaches_every_replica(database: TestDatabase) -> Result<()> {
        let Pair { first, second, cluster: other } = Pair::start(&database).await?;
        let deleted = Agent::open(&second, &other).await?;
        let mut took = Vec::new();
        for name in ["c", "d", "e", "f", "g"] {
            let revoked = first.cluster(User::Ada, name).await?;
            let agent = Agent::open(&second, &revoked).await?;
            let keys = first.get(User::Ada, &revoked.path("/agent-keys")).await?;
            let key = keys.text(200, "/agent_keys/0/id")?;
            let started = Instant::now();
            first.delete(User::Ada, &revoked.path(&format!("/agent-keys/{key}"))).await?.json(204)?;
            assert!(!agent.refused(&RefusalCode::Revoked, 1008).await?);
            took.push(started.elapsed());
            let answer = first.ask(&revoked.query()).await?;
            ensure!(answer.result.is_none(), "{answer:?}");
        }
        took.sort_unstable();
        assert!(took[2] < Duration::from_secs(1), "{took:?}");
        first.delete(User::Ada, &other.path("")).await?.json(204)?;
        assert!(!deleted.refused(&RefusalCode::Revoked, 1008).await?);
        let answer = first.ask(&other.query()).await?;
        ensure!(answer.result.is_none(), "{answer:?}");
        Ok(())
    }

    async fn a_replica_that_stops_hands_its_agents_over(database: TestDatabase) -> Result<()> {
        let Pair { first, second, cluster } = Pair::start(&database).await?;
        let instance = Uuid::new_v4();
        let (mut agent, welcome) = Agent::open_as(&first, &cluster, instance, None, false).await?;
        let stopping = first.stop();
        let ServerFrame::GoingAway(_) = agent.frame().await? else { anyhow::bail!("no going_away") };
        // It is asked there until it has gone over, by whichever replica.
        for _ in 0..5 {
            agent.answers(&second, &cluster.query()).await?;
        }
        let (mut next, _) = Agent::open_as(&second, &cluster, instance, welcome.epoch, true).await?;
        agent.closed(1000).await?;
        next.answers(&second, &cluster.query()).await?;
        timeout(PATIENCE, stopping).await??;
        let replicas: Vec<String> =
            sqlx::query_scalar("SELECT address FROM replicas").fetch_all(second.store.pool()).await?;
        assert_eq!(replicas.len(), 1, "it has left the directory");
        next.answers(&second, &cluster.query()).await
    }

    async fn a_replica_that_is_gone_is_taken_out(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        // As one leaves it that was killed.
        let session = "INSERT INTO agent_sessions (agent_id, epoch, replica, key_id) VALUES ($1, 7, 'gone', 'k')";
        world.sql(session, &cluster.agent_id).await?;
        world.sql("INSERT INTO replicas (address, joined_at) VALUES ($1, 0)", "gone").await?;
        // At once, before it is taken out.
        refused(&world.ask(&cluster.query()).await?, &ErrorCode::AgentNotConnected)?;
        world.until_absent(&cluster).await?;
        assert_eq!(world.connected_agents(User::Ada).await?, [""; 0]);
        let (mut agent, welcome) = Agent::open_as(&world, &cluster, Uuid::new_v4(), None, false).await?;
        assert_eq!((welcome.epoch, welcome.notice), (Some(8), None));
        agent.answers(&world, &cluster.query()).await
    }
}
