//! The keys of an agent: two at most, replaced without a gap, revoked at once.

use std::time::{Duration, Instant};

use anyhow::Result;
use contracts::{Token, TokenKind, agent::RefusalCode, auth::UserData};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::{
    agent::{Agent, hello},
    world::{GENERATE, Made, User, World, start},
};

/// So soon is a session closed.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Makes a key; answers its id and the key.
async fn new_key(world: &World, cluster: &Made) -> Result<(String, String)> {
    let made = world.post(User::Ada, &cluster.path("/agent-keys"), Value::Null).await?;
    Ok((made.text(201, "/id")?, made.text(201, "/key")?))
}

async fn keys(world: &World, cluster: &Made) -> Result<Vec<Value>> {
    let list = world.get(User::Ada, &cluster.path("/agent-keys")).await?;
    let keys = list.json(200)?["agent_keys"].as_array().cloned().unwrap_or_default();
    assert_eq!(list.body["total_count"], keys.len());
    Ok(keys)
}

async fn revoke(world: &World, cluster: &Made, key_id: &str) -> Result<()> {
    world.delete(User::Ada, &cluster.path(&format!("/agent-keys/{key_id}"))).await?.json(204)?;
    Ok(())
}

store::test_on_both! {
    async fn a_key_is_replaced_without_dropping_the_session(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let mut agent = Agent::open(&world, &cluster).await?;
        let first = keys(&world, &cluster).await?;
        assert!(first.len() == 1 && first[0]["first_used_at"] != Value::Null && first[0]["expires_at"].is_null());

        let (second_id, second) = new_key(&world, &cluster).await?;
        let full = world.post(User::Ada, &cluster.path("/agent-keys"), Value::Null).await?;
        full.problem(409, "conflict")?;
        let both = keys(&world, &cluster).await?;
        assert!(both.len() == 2 && both[1]["id"] == second_id.as_str() && both[1]["first_used_at"].is_null());
        assert!(both[1]["expires_at"].is_string());
        let told = json!(both).to_string();
        assert!(!told.contains(&second) && !told.contains(&cluster.key));
        agent.answers(&world, &cluster.query()).await?;

        let mut newer = Agent::connect_with(world.address, &cluster.agent_id, &second, None).await?;
        newer.greet(&cluster.agent_id).await?;
        assert!(!agent.refused(&RefusalCode::Replaced, 1008).await?);
        // The first key did not open this session.
        let first_id = first[0]["id"].as_str().unwrap_or_default();
        revoke(&world, &cluster, first_id).await?;
        newer.answers(&world, &cluster.query()).await?;
        assert!(Agent::connect(&world, &cluster).await.is_err());

        let again = cluster.path(&format!("/agent-keys/{first_id}"));
        world.delete(User::Ada, &again).await?.problem(404, "not_found")?;
        revoke(&world, &cluster, &second_id).await?;
        let revoked = Instant::now();
        assert!(!newer.refused(&RefusalCode::Revoked, 1008).await?, "to try again makes no sense");
        assert!(revoked.elapsed() < AT_ONCE, "{:?}", revoked.elapsed());
        assert_eq!(keys(&world, &cluster).await?, [Value::Null; 0]);
        Ok(())
    }

    async fn of_several_at_once_one_finds_room(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let path = cluster.path("/agent-keys");
        let make = || world.post(User::Ada, &path, Value::Null);
        let (first, second, third, fourth) = tokio::join!(make(), make(), make(), make());
        let mut statuses = Vec::new();
        for answer in [first, second, third, fourth] {
            statuses.push(answer?.status.as_u16());
        }
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409, 409, 409]);
        Ok(())
    }

    /// Between the upgrade and `hello` there is no session that a revocation could close.
    async fn a_key_that_is_revoked_before_hello_opens_no_session(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let mut agent = Agent::connect(&world, &cluster).await?;
        let only = keys(&world, &cluster).await?;
        revoke(&world, &cluster, only[0]["id"].as_str().unwrap_or_default()).await?;
        agent.send(&hello(&cluster.agent_id)).await?;
        assert!(!agent.refused(&RefusalCode::Revoked, 1008).await?);
        assert_eq!(world.connected_agents(User::Ada).await?, [""; 0]);
        Ok(())
    }

    async fn deleting_a_cluster_closes_its_session_and_frees_its_name(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let agent = Agent::open(&world, &cluster).await?;
        let mut early = Agent::connect(&world, &cluster).await?;
        world.delete(User::Ada, &cluster.path("")).await?.json(204)?;
        assert_eq!(world.connected_agents(User::Ada).await?, [""; 0]);
        let deleted = Instant::now();
        assert!(!agent.refused(&RefusalCode::Revoked, 1008).await?);
        assert!(deleted.elapsed() < AT_ONCE, "{:?}", deleted.elapsed());
        early.send(&hello(&cluster.agent_id)).await?;
        assert!(!early.refused(&RefusalCode::Revoked, 1008).await?);
        assert!(Agent::connect(&world, &cluster).await.is_err());
        world.delete(User::Ada, &cluster.path("")).await?.problem(404, "not_found")?;
        // Not even a key that was made while the cluster was being deleted.
        world.sql("UPDATE agent_keys SET revoked_at = NULL WHERE cluster_id = $1", &cluster.cluster_id).await?;
        assert!(Agent::connect(&world, &cluster).await.is_err());
        world.get(User::Ada, &cluster.path("")).await?.problem(404, "not_found")?;
        let answer = world.ask(&cluster.query()).await?;
        crate::world::refused(&answer, &contracts::ErrorCode::NotFound)?;

        let again = world.post(User::Ada, GENERATE, json!({"provider": "other", "cluster_name": "a"})).await?;
        let again = world.with_key(User::Ada, &again).await?;
        assert!(again.cluster_id != cluster.cluster_id && again.agent_id != cluster.agent_id);
        Agent::open(&world, &again).await?;
        Ok(())
    }

    /// The all-in-one process keeps its agent's key between runs.
    async fn a_cluster_is_ensured_with_its_key(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let user = UserData {
            id: User::Ada.id().to_owned(),
            username: User::Ada.name().to_owned(),
            email: String::new(),
            roles: Vec::new(),
            is_active: true,
            scopes: Vec::new(),
        };
        let generate = || Token::generate(TokenKind::AgentKey, &mut rand::rng());
        let (first, second) = (generate(), generate());
        let mut known = world.service.ensure_cluster(&user, "dev", &first).await?;
        for key in [&first, &second, &first] {
            let again = world.service.ensure_cluster(&user, "dev", key).await?;
            assert_eq!((&again.cluster_id, &again.agent_id), (&known.cluster_id, &known.agent_id));
            known = again;
            let connect = |key: &Token| {
                let key = key.secret().expose_secret().to_owned();
                let agent_id = known.agent_id.clone();
                let address = world.address;
                async move { Agent::connect_with(address, &agent_id, &key, None).await }
            };
            let mut agent = connect(key).await?;
            agent.greet(&known.agent_id).await?;
            world.service.connected(&known.agent_id).await;
            let other = if std::ptr::eq(key, &raw const first) { &second } else { &first };
            assert!(connect(other).await.is_err(), "only one key is good");
        }
        Ok(())
    }
}
