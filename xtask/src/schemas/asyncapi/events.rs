//! What has happened, on a topic exchange.

use anyhow::Context;
use contracts::{catalog, events::EventType, queues::EVENTS_EXCHANGE};
use serde_json::{Value, json};

use super::{Section, channel_messages, channel_reference, message_references};

const EVENT: &str = "event";

pub(super) fn section() -> anyhow::Result<Section> {
    let channel = json!({
        "address": "{routing_key}",
        "description": "What has happened, for whoever binds a queue to it. Delivered at least once: `event_id` tells repetitions.",
        "servers": [{"$ref": "#/servers/rabbitmq"}],
        "messages": channel_messages(&[EVENT]),
        "parameters": {"routing_key": {
            "description": "`{entity}.{what}`: the last underscore of the event's type is a dot here.",
            "examples": routing_keys()?,
        }},
        "bindings": {"amqp": {
            "is": "routingKey",
            "exchange": {"name": EVENTS_EXCHANGE, "type": "topic", "durable": true, "autoDelete": false},
            "bindingVersion": "0.3.0",
        }},
    });
    let operation = |action: &str, summary: &str| {
        json!({
            "action": action,
            "summary": summary,
            "channel": channel_reference(EVENTS_EXCHANGE),
            "messages": message_references(EVENTS_EXCHANGE, &[EVENT]),
        })
    };
    let mut publish = operation("send", "A service tells what has happened in it");
    publish["bindings"] = json!({"amqp": {"deliveryMode": 2, "bindingVersion": "0.3.0"}});
    let watch = operation("receive", "A replica watches the topics that concern it");
    Ok(Section {
        channels: [(EVENTS_EXCHANGE.to_owned(), channel)].into_iter().collect(),
        operations: [("send_event".to_owned(), publish), ("receive_event".to_owned(), watch)]
            .into_iter()
            .collect(),
    })
}

/// The routing keys of the event types of this version, which their schema lists.
fn routing_keys() -> anyhow::Result<Vec<String>> {
    let messages = catalog::messages();
    let event = messages.iter().find(|message| message.name == EVENT);
    let types = event
        .and_then(|event| event.schema.pointer("/$defs/EventType/anyOf"))
        .and_then(Value::as_array)
        .context("the schema of events lists no types")?;
    types
        .iter()
        .filter_map(|variant| variant.get("const"))
        .map(|name| Ok(serde_json::from_value::<EventType>(name.clone())?.routing_key()))
        .collect()
}
