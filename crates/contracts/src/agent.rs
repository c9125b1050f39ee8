//! The agent's protocol: JSON text frames over a WebSocket, and binary frames for the parts of a large answer.
//!
//! The agent opens the WebSocket, says [`Hello`] first and is told [`Welcome`] or [`Refused`]. Then the server sends
//! [`Request`] and [`Cancel`], the agent [`Response`] and [`Heartbeat`], and either may say [`GoingAway`]. An answer whose
//! result is larger than [`INLINE_RESULT_BYTES`] comes as [`Part`]s instead, a [window](Request::window) of them at a time:
//! the server says [`More`] as fast as whoever asked takes them.

use std::{borrow::Cow, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use thiserror::Error;
use uuid::Uuid;

use crate::{ErrorCode, Timestamp, TraceParent, json_place, query::Command, query::Params};

mod part;

pub use part::{InvalidPart, Part};

/// The protocol of this version.
pub const PROTOCOL: u32 = 1;
/// No frame is larger, in either direction.
pub const MAX_FRAME_BYTES: usize = 1024 * 1024;
/// Results up to this size are sent inside the response; larger ones compressed and in parts.
pub const INLINE_RESULT_BYTES: usize = 64 * 1024;
/// A part holds at most so many bytes of the compressed result. A small answer waits behind a window of them at most.
pub const PART_BYTES: usize = 64 * 1024;
/// No result is larger, before compression and after.
pub const MAX_RESULT_BYTES: usize = 64 * 1024 * 1024;

/// The agent's first frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename = "hello")]
pub struct Hello {
    /// [`PROTOCOL`] of the agent.
    pub protocol: u32,
    /// Who it is; must be what its headers said.
    pub agent_id: String,
    /// The agent's own version.
    pub agent_version: String,
    /// The version of its cluster; absent while the API server does not answer.
    #[serde(default)]
    pub kubernetes_version: Option<String>,
    /// What the cluster is called where the agent runs, if it knows.
    #[serde(default)]
    pub cluster_name: Option<String>,
    /// The names of the commands that it understands.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// Whether its cluster says that it is a simulated one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
    /// Which process it is: two that are connected with one id are two copies of an agent. Absent: one of version 1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Uuid>,
    /// The [epoch](Welcome::epoch) of the last session of this process; absent before its first. When another process has had a
    /// session since then, and still has, this one is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_epoch: Option<u64>,
    /// The process still has an open session, from which this one takes over: what was asked there is still answered there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub moving: bool,
}

/// The session is open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename = "welcome")]
pub struct Welcome {
    /// The session's id, for logs on both sides.
    pub session_id: String,
    /// How often the agent is to send a heartbeat.
    pub heartbeat_seconds: u32,
    /// How many sessions the agent has had with this one. The newer one counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// What the operator of the agent should know, such as that it is too old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
}

/// The session is not opened, or ends; the WebSocket is closed after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename = "refused")]
pub struct Refused {
    /// Why, for a program.
    pub code: RefusalCode,
    /// Why, for a person.
    pub detail: String,
    /// Whether it makes sense to try again later with the same key.
    pub retry: bool,
}

/// Why a session is refused or ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// A frame that is not JSON, of an unknown type, or out of turn.
    ProtocolError,
    /// A frame or an answer larger than is accepted.
    TooLarge,
    /// The agent speaks a protocol that is not spoken here.
    UnsupportedProtocol,
    /// `hello` named another agent than the headers.
    AgentMismatch,
    /// No `hello` within the time for it, or no sign of life afterwards.
    Timeout,
    /// Another session of the same agent was opened; the newer wins.
    Replaced,
    /// A newer session of the agent was begun, and perhaps never opened; the agent may come back.
    Superseded,
    /// The agent's key was revoked or has expired, or its cluster was deleted.
    Revoked,
    /// Too many sessions here.
    Overloaded,
    /// The agent sends more frames that nobody asked for than are accepted.
    RateLimited,
    /// A reason of a newer version.
    #[serde(untagged)]
    Other(String),
}

/// A question to the agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename = "request")]
pub struct Request {
    /// Repeated in the answer.
    pub request_id: Uuid,
    /// What is asked.
    pub command: Command,
    /// What narrows it.
    #[serde(default)]
    pub params: Params,
    /// After so many milliseconds nobody waits for the answer.
    pub deadline_ms: u64,
    /// So many parts of the answer may be sent before the server says [`More`]; absent: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u32>,
    /// The trace that the question belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<TraceParent>,
}

/// Further parts of an answer may be sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename = "more")]
pub struct More {
    /// The request's id.
    pub request_id: Uuid,
    /// So many, beyond those that were allowed before.
    pub parts: u32,
}

/// Nobody waits for this answer any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename = "cancel")]
pub struct Cancel {
    /// The request's id.
    pub request_id: Uuid,
}

/// The agent's answer: either `result` or `error`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename = "response")]
pub struct Response {
    /// The request's id.
    pub request_id: Uuid,
    /// What was asked for; its shape is the command's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Box<RawValue>>,
    /// Why there is no result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ResponseError>,
}

/// Why the agent has no result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResponseError {
    /// For a program.
    pub code: ErrorCode,
    /// For a person; where the cluster's API server refused, its own message.
    pub detail: String,
}

/// The agent lives, and so many nodes and pods does its cluster have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename = "heartbeat")]
pub struct Heartbeat {
    /// Nodes; absent while the API server does not answer.
    #[serde(default)]
    pub nodes: Option<u64>,
    /// Pods; absent while the API server does not answer.
    #[serde(default)]
    pub pods: Option<u64>,
    /// Who runs the cluster, as its nodes tell: `eks`, `aks`, `gke`, `openshift` or `kops`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The cloud's region in which most nodes are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Thousandths of a processor that all nodes have together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_millis: Option<u64>,
    /// Bytes of memory that all nodes have together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// When, by the agent's clock.
    pub at: Timestamp,
}

/// The sender is about to close, in peace. An agent to which this is said may open its next session first, and keep this one until
/// the server closes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename = "going_away")]
pub struct GoingAway {
    /// When to connect again, in milliseconds from now.
    #[serde(default)]
    pub reconnect_after_ms: u64,
}

impl GoingAway {
    /// Asks to connect again after this time.
    pub fn after(time: Duration) -> Self {
        Self { reconnect_after_ms: u64::try_from(time.as_millis()).unwrap_or(u64::MAX) }
    }
}

/// What an agent may send as text.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[expect(missing_docs, reason = "each variant is the frame of its name")]
pub enum AgentFrame {
    Hello(Hello),
    Response(Response),
    Heartbeat(Heartbeat),
    GoingAway(GoingAway),
}

/// What the server may send.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[expect(missing_docs, reason = "each variant is the frame of its name")]
pub enum ServerFrame {
    Welcome(Welcome),
    Refused(Refused),
    Request(Request),
    More(More),
    Cancel(Cancel),
    GoingAway(GoingAway),
}

/// The text is not a frame that is understood here.
#[derive(Debug, Error)]
pub enum InvalidFrame {
    /// Not JSON, or not of the shape that its type has.
    #[error("not a frame: {0}")]
    Malformed(String),
    /// A type that this side does not receive.
    #[error("unknown frame type {0:?}")]
    UnknownType(String),
}

impl From<serde_json::Error> for InvalidFrame {
    fn from(error: serde_json::Error) -> Self {
        Self::Malformed(json_place(&error))
    }
}

impl AgentFrame {
    /// Reads a text frame that an agent sent.
    ///
    /// # Errors
    /// [`InvalidFrame`] when it is not JSON, of a type that agents do not send, or lacks what the type has.
    pub fn parse(text: &str) -> Result<Self, InvalidFrame> {
        Ok(match frame_type(text)?.as_ref() {
            "hello" => Self::Hello(body(text)?),
            "response" => Self::Response(body(text)?),
            "heartbeat" => Self::Heartbeat(body(text)?),
            "going_away" => Self::GoingAway(body(text)?),
            other => return Err(unknown(other)),
        })
    }
}

impl ServerFrame {
    /// Reads a text frame that the server sent.
    ///
    /// # Errors
    /// [`InvalidFrame`] when it is not JSON, of a type that the server does not send, or lacks what the type has.
    pub fn parse(text: &str) -> Result<Self, InvalidFrame> {
        Ok(match frame_type(text)?.as_ref() {
            "welcome" => Self::Welcome(body(text)?),
            "refused" => Self::Refused(body(text)?),
            "request" => Self::Request(body(text)?),
            "more" => Self::More(body(text)?),
            "cancel" => Self::Cancel(body(text)?),
            "going_away" => Self::GoingAway(body(text)?),
            other => return Err(unknown(other)),
        })
    }
}

/// Reads only the type. The rest is read by [`body`], because a result that is to be passed on untouched
/// ([`RawValue`]) cannot be read through a tagged enum, which buffers.
fn frame_type(text: &str) -> Result<Cow<'_, str>, InvalidFrame> {
    #[derive(Deserialize)]
    struct Tag<'a> {
        #[serde(rename = "type", borrow)]
        frame_type: Cow<'a, str>,
    }
    // Where the type comes first, as this library writes it, the rest needs no reading for it.
    let first = text.strip_prefix(r#"{"type":""#).and_then(|rest| rest.split_once('"'));
    match first {
        Some((frame_type, _)) if !frame_type.contains('\\') => Ok(frame_type.into()),
        _ => Ok(serde_json::from_str::<Tag<'_>>(text)?.frame_type),
    }
}

fn body<T: DeserializeOwned>(text: &str) -> Result<T, InvalidFrame> {
    Ok(serde_json::from_str(text)?)
}

/// The type is quoted in an error and a log, so it is cut.
fn unknown(frame_type: &str) -> InvalidFrame {
    InvalidFrame::UnknownType(frame_type.chars().take(40).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_look_as_the_protocol_says() {
        let hello = AgentFrame::parse(
            r#"{"type":"hello","protocol":1,"agent_id":"a","agent_version":"1.0.0","capabilities":["get-pods"],"new":1}"#,
        );
        assert!(matches!(hello, Ok(AgentFrame::Hello(hello)) if hello.kubernetes_version.is_none()));
        let welcome = ServerFrame::Welcome(Welcome {
            session_id: "s".into(),
            heartbeat_seconds: 30,
            epoch: None,
            notice: None,
        });
        let text = serde_json::to_string(&welcome).unwrap();
        assert_eq!(text, r#"{"type":"welcome","session_id":"s","heartbeat_seconds":30}"#);
        assert!(matches!(ServerFrame::parse(&text), Ok(ServerFrame::Welcome(_))));
    }

    #[test]
    fn a_result_is_passed_on_as_it_came() {
        let text = r#"{"type":"response","request_id":"01890000-0000-7000-8000-000000000000","result":{"b": 1.0, "a":[ ]}}"#;
        let Ok(AgentFrame::Response(response)) = AgentFrame::parse(text) else { panic!("not a response") };
        assert_eq!(response.result.unwrap().get(), r#"{"b": 1.0, "a":[ ]}"#);
    }

    #[test]
    fn an_unknown_type_and_a_missing_one_are_told_apart() {
        assert!(matches!(AgentFrame::parse(r#"{"type":"welcome"}"#), Err(InvalidFrame::UnknownType(_))));
        assert!(matches!(AgentFrame::parse(r#"{"kind":"hello"}"#), Err(InvalidFrame::Malformed(_))));
        assert!(matches!(AgentFrame::parse("hello"), Err(InvalidFrame::Malformed(_))));
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in "\\PC{0,200}") {
            let _ = AgentFrame::parse(&text);
            let _ = ServerFrame::parse(&text);
        }
    }
}
