//! What is told of a cluster: its state and its heartbeats.

use std::time::Duration;

use anyhow::Result;
use contracts::{Timestamp, agent::Hello};
use serde_json::{Value, json};
use testkit::eventually;

use crate::{
    agent::{Agent, hello},
    world::{CLUSTERS, Made, User, World, start},
};

/// Waits until the cluster's nodes are that many; answers the cluster.
async fn with_nodes(world: &World, cluster: &Made, nodes: u64) -> Result<Value> {
    eventually("the heartbeat", async || {
        let answer = world.get(User::Ada, &cluster.path("")).await.ok()?;
        (answer.body["nodes"] == nodes).then_some(answer.body)
    })
    .await
}

store::test_on_both! {
    async fn heartbeats_are_told_wherever_a_cluster_is(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let nowhere = json!({"provider": null, "region": null});
        let nothing = json!({"connected": false, "agent_version": null, "last_heartbeat": null,
            "nodes_discovered": null, "pods_discovered": null, "connected_at": null, "kubernetes_version": null, "detected": nowhere,
            "reason": {"code": "awaited", "detail": "the agent has a key and has not connected yet"}});
        let verify = cluster.path("/verify-connection");
        assert_eq!(world.post(User::Ada, &verify, Value::Null).await?.json(200)?, &nothing);

        // By the database's clock, of which this one may be milliseconds off.
        let slack = Duration::from_millis(500);
        let before = Timestamp::now().minus(slack);
        let mut agent = Agent::open(&world, &cluster).await?;
        agent.beat(3, 40).await?;
        let seen = with_nodes(&world, &cluster, 3).await?;
        // Not the agent's own time, which is 1970.
        let beaten: Timestamp = serde_json::from_value(seen["last_heartbeat"].clone())?;
        assert!(before <= beaten && beaten <= Timestamp::now().plus(slack), "{seen}");
        let connected: Timestamp = serde_json::from_value(seen["connected_at"].clone())?;
        assert!(before <= connected && connected <= beaten, "{seen}");
        let told = json!({"cluster_id": cluster.cluster_id, "cluster_name": "a", "provider": "eks",
            "features": [], "agent_id": cluster.agent_id, "state": "connected", "connected": true,
            "state_since": seen["state_since"], "created_at": seen["created_at"],
            "agent_version": "1.2.3", "kubernetes_version": "v1.36.1", "connected_at": seen["connected_at"],
            "last_heartbeat": seen["last_heartbeat"], "nodes": 3, "pods": 40, "detected": nowhere,
            "cpu_cost_per_hour": null, "memory_cost_per_hour": null, "cost": null, "next_steps": seen["next_steps"]});
        assert_eq!(seen, told);
        let steps: Vec<_> = seen["next_steps"].as_array().into_iter().flatten()
            .map(|step| (step["step"].clone(), step["done"].clone())).collect();
        assert_eq!(json!(steps), json!([["run_script", true], ["enter_costs", false], ["connect_aws_role", false]]));
        let list = world.get(User::Ada, CLUSTERS).await?;
        assert_eq!(list.json(200)?, &json!({"clusters": [told], "total_count": 1}));
        let verified = json!({"connected": true, "agent_version": "1.2.3", "last_heartbeat": seen["last_heartbeat"],
                              "nodes_discovered": 3, "pods_discovered": 40, "connected_at": seen["connected_at"],
                              "kubernetes_version": "v1.36.1",
                              "detected": nowhere});
        assert_eq!(world.post(User::Ada, &verify, Value::Null).await?.json(200)?, &verified);

        agent.beat(4, 41).await?;
        with_nodes(&world, &cluster, 4).await?;
        Ok(())
    }

    async fn what_was_said_of_a_cluster_can_be_changed(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let path = cluster.path("");
        let change = |user, body| world.call(user, reqwest::Method::PATCH, &path, body);
        change(User::Bob, json!({"provider": "gke"})).await?.problem(404, "not_found")?;
        change(User::Ada, json!({"name": "b"})).await?.refuses_field("name")?;
        let changed = change(User::Ada, json!({"provider": "gke"})).await?;
        assert_eq!((&changed.json(200)?["provider"], &changed.body["features"]), (&json!("gke"), &json!([])));
        let changed = change(User::Ada, json!({"features": ["usage", "logs"]})).await?;
        assert_eq!((&changed.json(200)?["provider"], &changed.body["features"]), (&json!("gke"), &json!(["logs", "usage"])));
        Ok(())
    }

    async fn a_cluster_is_pending_connected_or_revoked(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        assert_eq!(world.state(User::Ada, &cluster).await?, "pending");
        let agent = Agent::open(&world, &cluster).await?;
        assert_eq!(world.state(User::Ada, &cluster).await?, "connected");
        drop(agent);
        world.until_absent(&cluster).await?;
        // An agent that comes back soon has not been away.
        world.state_becomes(&cluster, "connected").await?;
        let agent = Agent::open(&world, &cluster).await?;

        let keys = world.get(User::Ada, &cluster.path("/agent-keys")).await?;
        let key = keys.text(200, "/agent_keys/0/id")?;
        world.delete(User::Ada, &cluster.path(&format!("/agent-keys/{key}"))).await?.json(204)?;
        // At once: not when the session has ended.
        assert_eq!(world.state(User::Ada, &cluster).await?, "revoked");
        agent.lost().await?;
        assert_eq!(world.state(User::Ada, &cluster).await?, "revoked");
        Ok(())
    }

    /// One agent's nonsense must not keep the heartbeats of the others from being written.
    async fn what_an_agent_says_of_itself_is_cleaned_and_cut(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let (cluster, other) = (world.cluster(User::Ada, "a").await?, world.cluster(User::Ada, "b").await?);
        let mut agent = Agent::connect(&world, &cluster).await?;
        let version = format!("1\u{0}\u{1b}[31m{}", "ü".repeat(300));
        let kubernetes_version = Some("\u{0}".to_owned());
        agent.send(&Hello { agent_version: version, kubernetes_version, ..hello(&cluster.agent_id) }).await?;
        agent.receive().await?;
        agent.beat(u64::MAX, 1).await?;
        agent.beat(1, u64::MAX).await?;
        let mut decent = Agent::open(&world, &other).await?;
        decent.beat(7, 1).await?;
        with_nodes(&world, &other, 7).await?;
        let seen = with_nodes(&world, &cluster, 1).await?;
        assert_eq!(seen["agent_version"], format!("1[31m{}", "ü".repeat(95)));
        assert_eq!(seen["kubernetes_version"], "");
        Ok(())
    }
}
