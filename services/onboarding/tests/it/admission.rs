//! Agents that are refused before the upgrade.

use anyhow::{Context, Result};
use contracts::{Timestamp, Token, TokenKind};
use reqwest::{Method, StatusCode, header::HeaderMap};
use secrecy::ExposeSecret;
use serde_json::Value;

use crate::{
    agent::{Agent, CONNECT},
    world::{Answer, Made, User, World, send, start},
};

/// The headers of a proper handshake.
fn handshake(agent_id: &str, key: &str) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert("connection", "keep-alive, Upgrade".parse()?);
    headers.insert("upgrade", "WebSocket".parse()?);
    headers.insert("sec-websocket-version", "13".parse()?);
    headers.insert("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==".parse()?);
    headers.insert("x-api-key", key.parse()?);
    headers.insert("x-agent-id", agent_id.parse()?);
    Ok(headers)
}

async fn shake(world: &World, headers: HeaderMap) -> Result<Answer> {
    send(world.request(Method::GET, CONNECT).headers(headers)).await
}

async fn knock(world: &World, agent_id: &str, key: &str) -> Result<Answer> {
    shake(world, handshake(agent_id, key)?).await
}

/// The only key's id, and whether it was used.
async fn key_of(world: &World, cluster: &Made) -> Result<(String, bool)> {
    let keys = world.get(User::Ada, &cluster.path("/agent-keys")).await?;
    Ok((
        keys.text(200, "/agent_keys/0/id")?,
        keys.json(200)?["agent_keys"][0]["first_used_at"] != Value::Null,
    ))
}

store::test_on_both! {
    async fn a_key_that_opens_nothing_is_refused(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let (cluster, other) = (world.cluster(User::Ada, "a").await?, world.cluster(User::Ada, "b").await?);
        let unknown = Token::generate(TokenKind::AgentKey, &mut rand::rng());
        let mistyped = cluster.key.replace(char::is_numeric, "x") + "0";
        for (key, says) in [
            ("", "is ka_ followed by"),
            ("ka_short", "is ka_ followed by"),
            (mistyped.as_str(), "is ka_ followed by"),
            (world.api_key(User::Ada), "is ka_ followed by"),
            (unknown.secret().expose_secret(), "no agent has this key"),
            (other.key.as_str(), "belongs to another agent id"),
        ] {
            let detail = knock(&world, &cluster.agent_id, key).await?.problem(401, "unauthenticated")?;
            assert!(detail.contains(says), "{detail}");
            assert!(key.is_empty() || !detail.contains(key), "{detail}");
        }
        knock(&world, "nobody", &cluster.key).await?.problem(401, "unauthenticated")?;

        let mut without_key = handshake(&cluster.agent_id, &cluster.key)?;
        without_key.remove("x-api-key");
        shake(&world, without_key).await?.problem(401, "unauthenticated")?;
        let mut without_id = handshake(&cluster.agent_id, &cluster.key)?;
        without_id.remove("x-agent-id");
        shake(&world, without_id).await?.problem(400, "bad_request")?;

        assert!(!key_of(&world, &cluster).await?.1, "a refused agent used the key");
        Agent::open(&world, &cluster).await?;
        Ok(())
    }

    async fn a_revoked_key_is_refused(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let (key_id, _) = key_of(&world, &cluster).await?;
        world.delete(User::Ada, &cluster.path(&format!("/agent-keys/{key_id}"))).await?.json(204)?;
        let detail = knock(&world, &cluster.agent_id, &cluster.key).await?.problem(401, "unauthenticated")?;
        assert!(detail.contains("revoked"), "{detail}");
        Ok(())
    }

    async fn a_key_ends_when_it_is_not_used_in_time_and_not_after_that(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let (used, unused) = (world.cluster(User::Ada, "a").await?, world.cluster(User::Ada, "b").await?);
        drop(Agent::open(&world, &used).await?);
        for cluster in [&used, &unused] {
            let (key_id, _) = key_of(&world, cluster).await?;
            let now = Timestamp::now().as_millis();
            let expire = format!("UPDATE agent_keys SET unused_until = {now} WHERE id = $1");
            world.sql(&expire, &key_id).await?;
        }
        let detail = knock(&world, &unused.agent_id, &unused.key).await?.problem(401, "unauthenticated")?;
        assert!(detail.contains("expired"), "{detail}");
        assert_eq!(world.state(User::Ada, &unused).await?, "pending");
        Agent::open(&world, &used).await?;
        Ok(())
    }

    async fn what_is_no_handshake_is_refused_and_uses_no_key(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        for (header, value) in [
            ("connection", None),
            ("connection", Some("keep-alive")),
            ("upgrade", None),
            ("upgrade", Some("h2c")),
            ("sec-websocket-key", None),
            ("sec-websocket-version", None),
            ("sec-websocket-version", Some("8")),
        ] {
            let mut headers = handshake(&cluster.agent_id, &cluster.key)?;
            headers.remove(header);
            if let Some(value) = value {
                headers.insert(header, value.parse()?);
            }
            let response = world.request(Method::GET, CONNECT).headers(headers).send().await?;
            assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{header}: {value:?}");
            assert_eq!(response.headers()["sec-websocket-version"], "13");
            assert_eq!(response.json::<Value>().await?["code"], "bad_request");
        }
        assert!(!key_of(&world, &cluster).await?.1, "no agent used the key");
        let posted = world.request(Method::POST, CONNECT).headers(handshake(&cluster.agent_id, &cluster.key)?);
        send(posted).await?.problem(405, "method_not_allowed")?;
        Ok(())
    }

    async fn the_id_of_earlier_agents_header_is_accepted(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let mut headers = handshake(&cluster.agent_id, &cluster.key)?;
        headers.remove("x-agent-id");
        headers.insert("agent_id", cluster.agent_id.parse()?);
        let response = world.request(Method::GET, CONNECT).headers(headers).send().await?;
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        // The answer to the key of RFC 6455, section 1.3.
        let accept = response.headers().get("sec-websocket-accept").context("an answer to the key")?;
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        Ok(())
    }
}
