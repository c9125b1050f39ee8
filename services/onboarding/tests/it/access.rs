//! Who may do what, and who may see what.

use anyhow::{Context, Result};
use contracts::ErrorCode;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    agent::Agent,
    world::{CLUSTERS, GENERATE, User, query_for, refused, start},
};

/// Every endpoint of a cluster, and whether a key must be allowed to operate for it.
fn endpoints() -> [(Method, &'static str, bool); 6] {
    [
        (Method::GET, "", false),
        (Method::POST, "/verify-connection", false),
        (Method::GET, "/agent-keys", false),
        (Method::POST, "/agent-keys", true),
        (Method::DELETE, "/agent-keys/5a3c4f0e-0000-4000-8000-000000000000", true),
        (Method::DELETE, "", true),
    ]
}

store::test_on_both! {
    async fn a_cluster_of_another_user_is_not_there(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let agent = Agent::open(&world, &cluster).await?;
        for (method, below, _) in endpoints() {
            let answer = world.call(User::Bob, method.clone(), &cluster.path(below), Value::Null).await?;
            answer.problem(404, "not_found").with_context(|| format!("{method} {below}"))?;
        }
        let keys = world.get(User::Ada, &cluster.path("/agent-keys")).await?;
        let key = keys.text(200, "/agent_keys/0/id")?;
        let path = cluster.path(&format!("/agent-keys/{key}"));
        world.delete(User::Bob, &path).await?.problem(404, "not_found")?;
        let bobs = world.cluster(User::Bob, "b").await?;
        world.delete(User::Bob, &bobs.path(&format!("/agent-keys/{key}"))).await?.problem(404, "not_found")?;
        assert_eq!(world.get(User::Bob, CLUSTERS).await?.json(200)?["total_count"], 1);

        let answer = world.ask(&query_for(User::Bob, &cluster.agent_id)).await?;
        refused(&answer, &ErrorCode::NotFound)?;
        assert_eq!(world.connected_agents(User::Bob).await?, [""; 0]);
        assert_eq!(world.state(User::Ada, &cluster).await?, "connected");
        drop(agent);
        Ok(())
    }

    async fn a_key_that_may_only_read_changes_nothing(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        for (method, below, operates) in endpoints() {
            let answer = world.call(User::AdaReading, method.clone(), &cluster.path(below), Value::Null).await?;
            let checked =
                if operates { answer.problem(403, "forbidden").map(drop) } else { answer.json(200).map(drop) };
            checked.with_context(|| format!("{method} {below}"))?;
        }
        let body = json!({"provider": "eks", "cluster_name": "b"});
        world.post(User::AdaReading, GENERATE, body).await?.problem(403, "forbidden")?;
        assert_eq!(world.get(User::AdaReading, CLUSTERS).await?.json(200)?["total_count"], 1);
        Ok(())
    }

    async fn what_cannot_be_an_id_is_not_found(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        for id in ["%00", "nothing", "5a3c4f0e-0000-4000-8000-000000000000", "%F0%9F%92%A5"] {
            for (method, below, _) in endpoints() {
                let path = format!("{CLUSTERS}/{id}{below}");
                let answer = world.call(User::Ada, method, &path, Value::Null).await?;
                answer.problem(404, "not_found").with_context(|| path)?;
            }
            let path = cluster.path(&format!("/agent-keys/{id}"));
            world.delete(User::Ada, &path).await?.problem(404, "not_found").with_context(|| path)?;
        }
        let answer = world.ask(&query_for(User::Ada, "a\u{0}")).await?;
        refused(&answer, &ErrorCode::NotFound)?;
        Ok(())
    }

    async fn only_the_callers_connected_agents_are_told(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let [first, second, third] = [
            world.cluster(User::Ada, "a").await?,
            world.cluster(User::Ada, "b").await?,
            world.cluster(User::Bob, "c").await?,
        ];
        world.cluster(User::Ada, "never connected").await?;
        let _agents = (Agent::open(&world, &first).await?, Agent::open(&world, &second).await?);
        let _of_bob = Agent::open(&world, &third).await?;
        let mut of_ada = [first.agent_id, second.agent_id];
        of_ada.sort();
        assert_eq!(world.connected_agents(User::Ada).await?, of_ada);
        assert_eq!(world.connected_agents(User::Bob).await?, [third.agent_id]);
        Ok(())
    }
}
