//! What becomes of a cluster whose agent falls silent, and what is known of one that is not there.

use anyhow::{Result, bail, ensure};
use bus::{EventWatch, Notice};
use contracts::{
    agent::{Hello, ServerFrame},
    events::{Event, EventType},
};
use serde_json::{Value, json};
use testkit::eventually;
use tokio::time::timeout;

use crate::{
    agent::{Agent, hello},
    world::{GENERATE, Made, PATIENCE, Setup, User, World, start},
};

async fn next(watch: &mut EventWatch) -> Result<Event> {
    match timeout(PATIENCE, watch.next()).await? {
        Some(Notice::Event(event)) => Ok(event),
        other => bail!("{other:?} instead of an event"),
    }
}

/// Waits until the cluster is absent for this reason; answers the detail.
async fn absent(world: &World, cluster: &Made, code: &str) -> Result<String> {
    let verify = cluster.path("/verify-connection");
    let detail = eventually(code, async || {
        let answer = world.post(User::Ada, &verify, Value::Null).await.ok()?;
        let reason = &answer.body["reason"];
        (reason["code"] == code && answer.body["connected"] == false).then(|| reason["detail"].to_string())
    });
    detail.await
}

store::test_on_both! {
    async fn each_change_of_state_is_told_once(database: TestDatabase) -> Result<()> {
        let mut setup = Setup::on(&database);
        setup.agents.heartbeat_seconds = 1;
        setup.agents.stale_after_seconds = 2;
        setup.agents.disconnected_after_seconds = 4;
        let world = setup.start().await?;
        let bus = world.another_bus().await?;
        let mut watch =
            bus.watch_events(&["cluster.connected", "cluster.stale", "cluster.disconnected"]);
        ensure!(timeout(PATIENCE, watch.next()).await? == Some(Notice::Gap));
        let cluster = world.cluster(User::Ada, "a").await?;
        let mut before = "pending";
        for _ in 0..2 {
            let mut agent = Agent::open(&world, &cluster).await?;
            agent.beat(1, 1).await?;
            let expected = [
                (EventType::ClusterConnected, before),
                (EventType::ClusterStale, "connected"),
                (EventType::ClusterDisconnected, "stale"),
            ];
            for (event_type, state_before) in expected {
                let event = next(&mut watch).await?;
                assert_eq!(event.event_type, event_type, "{event:?}");
                assert_eq!(event.user_id, User::Ada.id());
                for (field, value) in [("cluster_id", cluster.cluster_id.as_str()), ("cluster_name", "a"),
                                       ("agent_id", cluster.agent_id.as_str()), ("state_before", state_before)] {
                    assert_eq!(event.text(field), Some(value), "{event:?}");
                }
                if event_type == EventType::ClusterConnected {
                    agent.go_away().await?;
                }
            }
            world.state_becomes(&cluster, "disconnected").await?;
            before = "disconnected";
        }
        // Another user's is not touched, and one that never came is not stale.
        let other = world.cluster(User::Ada, "b").await?;
        assert_eq!(world.state(User::Ada, &other).await?, "pending");
        Ok(())
    }

    async fn it_is_told_why_a_cluster_is_not_connected(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let made = world.post(User::Ada, GENERATE, json!({"provider": "eks", "cluster_name": "a"})).await?;
        let cluster = Made { cluster_id: made.text(200, "/cluster_id")?, agent_id: made.text(200, "/agent_id")?,
                             key: String::new() };
        absent(&world, &cluster, "script_not_run").await?;
        let id = &cluster.cluster_id;
        world.sql("UPDATE install_tokens SET expires_at = 1 WHERE cluster_id = $1", id).await?;
        absent(&world, &cluster, "script_expired").await?;

        let key = world.post(User::Ada, &cluster.path("/agent-keys"), Value::Null).await?.text(201, "/key")?;
        let cluster = Made { key, ..cluster };
        absent(&world, &cluster, "awaited").await?;
        world.sql("UPDATE agent_keys SET unused_until = 1 WHERE cluster_id = $1", &cluster.cluster_id).await?;
        absent(&world, &cluster, "key_expired").await?;
        // The agent comes too late.
        ensure!(Agent::connect(&world, &cluster).await.is_err());
        let detail = absent(&world, &cluster, "refused").await?;
        ensure!(detail.contains("was not used within 24 hours"), "{detail}");

        let key = world.post(User::Ada, &cluster.path("/agent-keys"), Value::Null).await?.text(201, "/key")?;
        let cluster = Made { key, ..cluster };
        let mut agent = Agent::open(&world, &cluster).await?;
        agent.beat(1, 1).await?;
        agent.go_away().await?;
        let detail = absent(&world, &cluster, "gone").await?;
        ensure!(detail.contains("last seen at 2"), "{detail}");
        eventually("why the session ended", async || {
            absent(&world, &cluster, "gone").await.ok()?.contains("the agent closed the session").then_some(())
        })
        .await?;
        world.post(User::Bob, &cluster.path("/verify-connection"), Value::Null).await?.problem(404, "not_found")?;
        Ok(())
    }

    async fn an_agent_that_is_too_old_is_told_so_and_flagged(database: TestDatabase) -> Result<()> {
        let mut setup = Setup::on(&database);
        setup.agents.oldest_agent_version = "2.0.0".parse()?;
        let world = setup.start().await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        for (version, is_old) in [("1.9.0", true), ("2.0.0", false)] {
            let mut agent = Agent::connect(&world, &cluster).await?;
            agent.send(&Hello { agent_version: version.to_owned(), ..hello(&cluster.agent_id) }).await?;
            let ServerFrame::Welcome(welcome) = agent.frame().await? else { bail!("no welcome") };
            assert_eq!(welcome.notice.is_some_and(|notice| notice.contains("upgrade")), is_old);
            let seen = world.get(User::Ada, &cluster.path("")).await?;
            assert_eq!(seen.body["agent_outdated"] == true, is_old, "{:?}", seen.body);
        }
        Ok(())
    }

    async fn what_the_nodes_tell_is_compared_with_what_was_chosen(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let mut agent = Agent::open(&world, &cluster).await?;
        for (provider, mismatch) in [("eks", Value::Null), ("gke", json!("you chose eks, but the nodes are of gke"))] {
            let beat = json!({"type": "heartbeat", "nodes": 1, "pods": 1, "provider": provider,
                              "region": "eu-west-1", "at": "2026-01-01T00:00:00Z"});
            agent.send(&beat).await?;
            let detected = eventually(provider, async || {
                let answer = world.get(User::Ada, &cluster.path("")).await.ok()?;
                (answer.body["detected"]["provider"] == provider).then(|| answer.body["detected"].clone())
            })
            .await?;
            assert_eq!((&detected["region"], &detected["mismatch"]), (&json!("eu-west-1"), &mismatch));
        }
        Ok(())
    }
}
