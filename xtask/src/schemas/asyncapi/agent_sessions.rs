//! The agent's WebSocket, seen from onboarding.

use contracts::agent;
use serde_json::{Value, json};

use super::{Section, channel_messages, channel_reference, message_references};

const CHANNEL: &str = "agent_sessions";

/// The binary frame, which the catalogue of JSON messages does not hold.
pub(super) const PART: &str = "agent-part";

const FROM_AGENT: [&str; 5] = ["agent-hello", "agent-response", PART, "agent-heartbeat", "agent-going-away"];
const TO_AGENT: [&str; 6] =
    ["agent-welcome", "agent-refused", "agent-request", "agent-more", "agent-cancel", "agent-going-away"];

pub(super) fn section() -> Section {
    let mut all: Vec<&str> = FROM_AGENT.into_iter().chain(TO_AGENT).collect();
    all.sort_unstable();
    all.dedup();
    let channel = json!({
        "address": "/api/v1/agents/connect",
        "description": format!(
            "An agent's session. The agent says hello and is welcomed or refused; then onboarding asks and the agent \
             answers. Text frames are JSON; no frame is larger than {} bytes.",
            agent::MAX_FRAME_BYTES
        ),
        "servers": [{"$ref": "#/servers/onboarding"}],
        "messages": channel_messages(&all),
        "bindings": {"ws": {
            "method": "GET",
            "headers": {
                "type": "object",
                "required": ["X-API-Key", "X-Agent-Id"],
                "properties": {
                    "X-API-Key": {"type": "string", "description": "The agent's key, `ka_…`."},
                    "X-Agent-Id": {
                        "type": "string",
                        "description": "The agent's id; `agent_id` is taken from earlier agents.",
                    },
                },
            },
            "bindingVersion": "0.1.0",
        }},
    });
    let operation = |action: &str, summary: &str, messages: &[&str]| {
        json!({
            "action": action,
            "summary": summary,
            "channel": channel_reference(CHANNEL),
            "messages": message_references(CHANNEL, messages),
        })
    };
    let with_reply = |mut operation: Value, replies: &[&str]| {
        operation["reply"] = json!({
            "channel": channel_reference(CHANNEL),
            "messages": message_references(CHANNEL, replies),
        });
        operation
    };
    let operations = [
        (
            "receive_hello",
            with_reply(
                operation("receive", "An agent opens its session", &["agent-hello"]),
                &["agent-welcome", "agent-refused"],
            ),
        ),
        (
            "send_agent_request",
            with_reply(
                operation("send", "Onboarding passes a query on", &["agent-request"]),
                &["agent-response", PART],
            ),
        ),
        ("send_agent_frame", operation("send", "Everything that onboarding may say", &TO_AGENT)),
        ("receive_agent_frame", operation("receive", "Everything that an agent may say", &FROM_AGENT)),
    ];
    Section {
        channels: [(CHANNEL.to_owned(), channel)].into_iter().collect(),
        operations: operations.map(|(name, operation)| (name.to_owned(), operation)).into_iter().collect(),
    }
}

/// A part of a large result.
pub(super) fn part() -> Value {
    json!({
        "name": PART,
        "title": "Part",
        "summary": format!(
            "A binary frame: the request's id (16 bytes, a UUID in network order), flags (1 byte; bit 0: this is the last \
             part), then up to {} bytes of the gzipped JSON of a result that is larger than {} bytes.",
            agent::PART_BYTES,
            agent::INLINE_RESULT_BYTES
        ),
        "contentType": "application/octet-stream",
        "payload": {"type": "string", "format": "binary"},
    })
}
