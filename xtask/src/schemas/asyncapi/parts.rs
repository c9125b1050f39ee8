//! Answers in parts: what their headers say, and what the asker says while they come.

use contracts::queues::{CONTROL_EXCHANGE, parts};
use serde_json::{Value, json};

use super::{Section, channel_messages, channel_reference, message_references};

/// The components' names of the messages that are headers and no JSON.
pub(super) const PART: &str = "answer-part";
const CONTROL: &str = "control";

pub(super) fn section() -> Section {
    let channel = json!({
        "address": "{requests}",
        "description": "What an asker says of a request while it is worked on. Before its answer has begun it says so here, to \
                        every replica that serves the queue; afterwards to the queue that the first part named as `reply_to`.",
        "servers": [{"$ref": "#/servers/rabbitmq"}],
        "messages": channel_messages(&[CONTROL]),
        "parameters": {"requests": {
            "description": "The queue that the request was put on.",
            "examples": ["cluster_namespace_requests"],
        }},
        "bindings": {"amqp": {
            "is": "routingKey",
            "exchange": {"name": CONTROL_EXCHANGE, "type": "topic", "durable": true, "autoDelete": false},
            "bindingVersion": "0.3.0",
        }},
    });
    let operation = |action: &str, summary: &str| {
        json!({
            "action": action,
            "summary": summary,
            "channel": channel_reference(CONTROL_EXCHANGE),
            "messages": message_references(CONTROL_EXCHANGE, &[CONTROL]),
        })
    };
    let say = operation("send", "An asker wants more of an answer, or none of it any longer");
    let hear = operation("receive", "Whoever answers heeds what the asker says");
    Section {
        channels: [(CONTROL_EXCHANGE.to_owned(), channel)].into_iter().collect(),
        operations: [("send_control".to_owned(), say), ("receive_control".to_owned(), hear)]
            .into_iter()
            .collect(),
    }
}

/// The messages as components.
pub(super) fn components() -> [(String, Value); 2] {
    let text = json!({"type": "string"});
    let part = json!({
        "name": PART,
        "title": "Part",
        "summary": format!(
            "A part of an answer, for a request with the header `{}`. The bodies of all parts in order are the result; the head \
             is the JSON of the answer with `result` null.",
            parts::WINDOW
        ),
        "headers": {"type": "object", "required": [parts::NUMBER], "properties": {
            parts::NUMBER: {"type": "string", "description": "Its number, from 0."},
            parts::HEAD: {"type": "string", "description": "On the first part: the answer's JSON without the result."},
            parts::ANSWER: {"type": "string", "description": "On each of several parts: which answer it belongs to. An answer that is begun anew is another one."},
            parts::LAST: {"type": "string", "description": "On the last part."},
            parts::ENCODING: {"type": "string", "description": "`gzip` where the result is gzipped."},
        }},
        "contentType": "application/octet-stream",
        "payload": text,
    });
    let control = json!({
        "name": CONTROL,
        "title": "Control",
        "summary": "Said of the request with this `correlation_id` and `reply_to`. The body is empty.",
        "headers": {"type": "object", "required": [parts::CONTROL], "properties": {
            parts::CONTROL: {"type": "string", "enum": [parts::MORE, parts::CANCEL]},
        }},
        "payload": text,
    });
    [(PART.to_owned(), part), (CONTROL.to_owned(), control)]
}
