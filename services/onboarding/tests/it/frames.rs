//! Frames that end a session: the agent is told why, and the process goes on.

use std::time::Duration;

use anyhow::{Context, Result};
use contracts::agent::{Hello, MAX_FRAME_BYTES, PROTOCOL, RefusalCode};
use serde_json::json;
use store::testing::TestDatabase;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::{
    agent::{Agent, hello},
    world::{Made, Setup, User, World, start},
};

const PROTOCOL_ERROR: (RefusalCode, u16) = (RefusalCode::ProtocolError, 1002);
const TOO_LARGE: (RefusalCode, u16) = (RefusalCode::TooLarge, 1009);

/// What no agent should send, in a session or in place of `hello`.
fn nonsense() -> Vec<(&'static str, Message, (RefusalCode, u16))> {
    let text = |text: &str| Message::text(text.to_owned());
    vec![
        ("not JSON", text("hello"), PROTOCOL_ERROR),
        ("nothing", text(""), PROTOCOL_ERROR),
        ("no object", text("[]"), PROTOCOL_ERROR),
        ("no type", text("{}"), PROTOCOL_ERROR),
        ("an unknown type", text(r#"{"type":"greeting"}"#), PROTOCOL_ERROR),
        (
            "a frame of ours",
            text(r#"{"type":"welcome","session_id":"s","heartbeat_seconds":1}"#),
            PROTOCOL_ERROR,
        ),
        ("a response without an id", text(r#"{"type":"response","result":1}"#), PROTOCOL_ERROR),
        ("a heartbeat without a time", text(r#"{"type":"heartbeat","nodes":1}"#), PROTOCOL_ERROR),
        (
            "negative nodes",
            text(r#"{"type":"heartbeat","nodes":-1,"at":"2026-01-01T00:00:00Z"}"#),
            PROTOCOL_ERROR,
        ),
        ("deep nesting", text(&"[".repeat(100_000)), PROTOCOL_ERROR),
        ("binary rubbish", Message::binary(Bytes::from_static(b"rubbish")), PROTOCOL_ERROR),
        ("an empty binary frame", Message::binary(Bytes::new()), PROTOCOL_ERROR),
        ("unknown flags", Message::binary(vec![0xff; 40]), PROTOCOL_ERROR),
        ("a long text", Message::text("x".repeat(MAX_FRAME_BYTES + 1)), TOO_LARGE),
        ("a very long text", Message::text("x".repeat(16 * MAX_FRAME_BYTES)), TOO_LARGE),
        ("a long binary frame", Message::binary(vec![0; MAX_FRAME_BYTES + 1]), TOO_LARGE),
    ]
}

/// The process runs and serves this agent.
async fn goes_on(world: &World, cluster: &Made, agent: &mut Agent) -> Result<()> {
    assert!(!world.shutdown.token().is_cancelled());
    agent.answers(world, &cluster.query()).await
}

store::test_on_both! {
    async fn nonsense_ends_the_session_and_says_so(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let (cluster, other) = (world.cluster(User::Ada, "a").await?, world.cluster(User::Ada, "b").await?);
        let mut bystander = Agent::open(&world, &other).await?;
        for (what, message, (code, close)) in nonsense() {
            for after_hello in [true, false] {
                let mut agent = Agent::connect(&world, &cluster).await?;
                if after_hello {
                    agent.greet(&cluster.agent_id).await?;
                }
                let context = || format!("{what}, after hello: {after_hello}");
                agent.send_raw(message.clone()).await.with_context(context)?;
                assert!(agent.refused(&code, close).await.with_context(context)?, "it may try again");
            }
        }
        goes_on(&world, &other, &mut bystander).await
    }

    async fn hello_is_said_first_and_once(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let greeting = hello(&cluster.agent_id);

        let mut agent = Agent::open(&world, &cluster).await?;
        agent.send(&greeting).await?;
        assert!(agent.refused(&RefusalCode::ProtocolError, 1002).await?);
        let mut agent = Agent::connect(&world, &cluster).await?;
        agent.beat(1, 1).await?;
        assert!(agent.refused(&RefusalCode::ProtocolError, 1002).await?);
        let mut agent = Agent::connect(&world, &cluster).await?;
        agent.send_part(uuid::Uuid::nil(), true, b"").await?;
        assert!(agent.refused(&RefusalCode::ProtocolError, 1002).await?);

        // To try again makes no sense for these.
        let mut agent = Agent::connect(&world, &cluster).await?;
        agent.send(&Hello { protocol: PROTOCOL + 1, ..greeting.clone() }).await?;
        assert!(!agent.refused(&RefusalCode::UnsupportedProtocol, 1002).await?);
        let mut agent = Agent::connect(&world, &cluster).await?;
        agent.send(&Hello { agent_id: "another".to_owned(), ..greeting }).await?;
        assert!(!agent.refused(&RefusalCode::AgentMismatch, 1008).await?);
        Ok(())
    }

    /// Proxies send them.
    async fn pings_may_come_before_hello(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let mut agent = Agent::connect(&world, &cluster).await?;
        agent.send_raw(Message::Ping(Bytes::from_static(b"?"))).await?;
        agent.send_raw(Message::Pong(Bytes::new())).await?;
        agent.greet(&cluster.agent_id).await
    }

    async fn an_agent_that_falls_silent_is_told_and_pings_are_signs_of_life(database: TestDatabase) -> Result<()> {
        let mut setup = Setup::on(&database);
        setup.agents.heartbeat_seconds = 1;
        setup.timing.hello_within = Duration::from_millis(200);
        let world = setup.start().await?;
        let (cluster, other) = (world.cluster(User::Ada, "a").await?, world.cluster(User::Ada, "b").await?);
        let agent = Agent::connect(&world, &cluster).await?;
        assert!(agent.refused(&RefusalCode::Timeout, 1008).await?);

        let mut living = Agent::open(&world, &other).await?;
        let silent = Agent::open(&world, &cluster).await?;
        let mut refused = Box::pin(silent.refused(&RefusalCode::Timeout, 1008));
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        loop {
            tokio::select! {
                retry = &mut refused => {
                    assert!(retry?);
                    break;
                }
                _ = ticks.tick() => living.send_raw(Message::Ping(Bytes::new())).await?,
            }
        }
        goes_on(&world, &other, &mut living).await
    }
}

/// Bytes that are not even WebSocket frames.
#[tokio::test]
async fn bytes_that_are_no_frames_end_the_session() -> Result<()> {
    let database = TestDatabase::sqlite();
    let world = start(&database).await?;
    let cluster = world.cluster(User::Ada, "a").await?;
    let unmasked = b"\x81\x02{}";
    let reserved_bits = b"\xf1\x82\0\0\0\0{}";
    let unknown_opcode = b"\x83\x82\0\0\0\0{}";
    let broken_text = b"\x81\x82\0\0\0\0\xff\xff";
    for bytes in [unmasked.as_slice(), reserved_bits, unknown_opcode, broken_text] {
        for after_hello in [true, false] {
            let mut agent = Agent::connect(&world, &cluster).await?;
            if after_hello {
                agent.greet(&cluster.agent_id).await?;
            }
            agent.send_bytes(bytes).await?;
            agent.refused(&RefusalCode::ProtocolError, 1002).await.with_context(|| format!("{bytes:?}"))?;
        }
    }
    Ok(())
}

/// What a newer agent says besides is ignored.
#[tokio::test]
async fn unknown_fields_are_no_nonsense() -> Result<()> {
    let database = TestDatabase::sqlite();
    let world = start(&database).await?;
    let cluster = world.cluster(User::Ada, "a").await?;
    let mut agent = Agent::connect(&world, &cluster).await?;
    let mut greeting = serde_json::to_value(hello(&cluster.agent_id))?;
    greeting["newer"] = json!({"a": [1]});
    agent.send(&greeting).await?;
    agent.receive().await?;
    goes_on(&world, &cluster, &mut agent).await
}
