//! Whatever an agent sends, the process goes on and other sessions are not disturbed.

use anyhow::{Context, Result};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use serde_json::{Value, json};
use store::testing::TestDatabase;
use tokio::runtime::Runtime;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    agent::Agent,
    world::{Made, User, World, start},
};

/// Something that an agent may send.
#[derive(Clone, Debug)]
enum Sent {
    Message(Message),
    /// Past the WebSocket.
    Bytes(Vec<u8>),
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        Just(json!("2026-11-20T00:00:00Z")),
        any::<u128>().prop_map(|id| json!(uuid::Uuid::from_u128(id))),
    ];
    leaf.prop_recursive(3, 10, 4, |inner| vec(inner, 0..4).prop_map(Value::from))
}

/// A frame of a type that there is or nearly is, with the fields that they have.
fn any_frame() -> impl Strategy<Value = String> {
    let types = prop::sample::select(vec!["hello", "response", "heartbeat", "going_away", "welcome", ""]);
    let fields = prop::sample::select(vec![
        "protocol",
        "agent_id",
        "agent_version",
        "capabilities",
        "request_id",
        "result",
        "error",
        "nodes",
        "pods",
        "at",
        "reconnect_after_ms",
    ]);
    (types, vec((fields, any_value()), 0..6)).prop_map(|(frame_type, fields)| {
        let mut frame = json!({"type": frame_type});
        for (field, value) in fields {
            frame[field] = value;
        }
        frame.to_string()
    })
}

fn sent() -> impl Strategy<Value = Sent> {
    let message = prop_oneof![
        3 => any_frame().prop_map(Message::text),
        1 => "\\PC{0,100}".prop_map(Message::text),
        1 => vec(any::<u8>(), 0..100).prop_map(Message::binary),
        // Parts of answers that nobody asked for.
        2 => (any::<[u8; 16]>(), 0_u8..3, vec(any::<u8>(), 0..50))
            .prop_map(|(id, flags, data)| Message::binary([&id[..], &[flags], &data].concat())),
        1 => vec(any::<u8>(), 0..100).prop_map(|bytes| Message::Ping(bytes.into())),
        1 => vec(any::<u8>(), 0..100).prop_map(|bytes| Message::Pong(bytes.into())),
        1 => Just(Message::Close(None)),
    ];
    prop_oneof![9 => message.prop_map(Sent::Message), 1 => vec(any::<u8>(), 1..50).prop_map(Sent::Bytes)]
}

struct Scene {
    world: World,
    rogue: Made,
    decent: Made,
    bystander: Agent,
    _database: TestDatabase,
}

impl Scene {
    async fn set() -> Result<Self> {
        let database = TestDatabase::sqlite();
        let world = start(&database).await?;
        let rogue = world.cluster(User::Ada, "rogue").await?;
        let decent = world.cluster(User::Ada, "decent").await?;
        let bystander = Agent::open(&world, &decent).await?;
        Ok(Self { world, rogue, decent, bystander, _database: database })
    }

    async fn play(&mut self, greets: bool, frames: Vec<Sent>) -> Result<()> {
        let mut agent = Agent::connect(&self.world, &self.rogue).await?;
        if greets {
            agent.greet(&self.rogue.agent_id).await?;
        }
        for sent in frames {
            let sending = match sent {
                Sent::Message(message) => agent.send_raw(message).await,
                Sent::Bytes(bytes) => agent.send_bytes(&bytes).await,
            };
            if sending.is_err() {
                break;
            }
        }
        drop(agent);
        let answered = self.bystander.answers(&self.world, &self.decent.query()).await;
        answered.context("the bystander's session")?;
        anyhow::ensure!(!self.world.shutdown.token().is_cancelled(), "the process stops");
        Ok(())
    }
}

#[test]
fn no_sequence_of_frames_disturbs_others() -> Result<()> {
    let runtime = Runtime::new()?;
    let scene = std::cell::RefCell::new(runtime.block_on(Scene::set())?);
    let mut runner = TestRunner::new(Config { cases: 200, ..Config::default() });
    runner.run(&(any::<bool>(), vec(sent(), 0..12)), |(greets, frames)| {
        let played = runtime.block_on(scene.borrow_mut().play(greets, frames));
        played.map_err(|error| TestCaseError::fail(format!("{error:#}")))
    })?;
    // And the rogue is welcome when it behaves.
    let scene = scene.into_inner();
    runtime.block_on(Agent::open(&scene.world, &scene.rogue))?;
    Ok(())
}
