//! The AsyncAPI document: every channel, who sends what on it and who receives it
//! (<https://www.asyncapi.com/docs/reference/specification/v3.0.0>).
//!
//! It describes the system, not one of its applications: an operation that sends and the one that receives what is sent
//! are both there.

mod agent_sessions;
mod dead_letters;
mod events;
mod parts;
mod replicas;
mod request_reply;

use contracts::catalog::{self, Message};
use serde_json::{Map, Value, json};

use super::schema_file;

/// Results of commands are no messages: they travel inside of some.
const RESULT_PREFIX: &str = "result-";

/// Channels and the operations on them.
#[derive(Default)]
struct Section {
    channels: Map<String, Value>,
    operations: Map<String, Value>,
}

/// The document.
///
/// # Errors
/// When a schema of the catalogue lacks what is read from it.
pub(super) fn document() -> anyhow::Result<Value> {
    let mut all = Section::default();
    for section in [
        request_reply::section(),
        parts::section(),
        events::section()?,
        dead_letters::section(),
        replicas::section(),
        agent_sessions::section(),
    ] {
        all.channels.extend(section.channels);
        all.operations.extend(section.operations);
    }
    Ok(json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Kubesage",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What Kubesage's services say to one another over RabbitMQ, and to the agents over WebSockets.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": servers(),
        "channels": all.channels,
        "operations": all.operations,
        "components": components(),
    }))
}

fn servers() -> Value {
    json!({
        "rabbitmq": {
            "host": "localhost:5672",
            "protocol": "amqp",
            "protocolVersion": "0.9.1",
            "description": "The broker between the services: `BUS_URL`, or `RABBITMQ_HOST` and its siblings.",
            "security": [{"$ref": "#/components/securitySchemes/broker"}],
        },
        "onboarding": {
            "host": "localhost:8009",
            "protocol": "ws",
            "description": "Where agents dial in; `wss` in production.",
            "security": [{"$ref": "#/components/securitySchemes/agent_key"}],
        },
    })
}

fn components() -> Value {
    let (results, messages): (Vec<Message>, Vec<Message>) =
        catalog::messages().into_iter().partition(|message| message.name.starts_with(RESULT_PREFIX));
    let messages = messages.iter().map(|message| (message.name.to_owned(), component(message)));
    let own = [(agent_sessions::PART.to_owned(), agent_sessions::part())];
    let results = results.iter().map(|result| (result.name.to_owned(), file_reference(result.name)));
    json!({
        "messages": messages.chain(own).chain(parts::components()).collect::<Map<_, _>>(),
        "schemas": results.collect::<Map<_, _>>(),
        "securitySchemes": {
            "broker": {"type": "userPassword"},
            "agent_key": {
                "type": "httpApiKey",
                "name": "X-API-Key",
                "in": "header",
                "description": "The agent's key, `ka_…`.",
            },
        },
    })
}

/// A message of the catalogue, described by its schema's own words.
fn component(message: &Message) -> Value {
    let word = |field: &str| message.schema.get(field).and_then(Value::as_str);
    json!({
        "name": message.name,
        "title": word("title").unwrap_or(message.name),
        "summary": word("description").unwrap_or_default(),
        "payload": file_reference(message.name),
    })
}

fn file_reference(message: &str) -> Value {
    json!({"$ref": schema_file(message)})
}

fn channel_reference(channel: &str) -> Value {
    json!({"$ref": format!("#/channels/{channel}")})
}

/// The messages of a channel, as an operation on it names them.
fn message_references(channel: &str, messages: &[&str]) -> Value {
    messages
        .iter()
        .map(|message| json!({"$ref": format!("#/channels/{channel}/messages/{message}")}))
        .collect()
}

/// The messages of a channel, as the channel itself names them.
fn channel_messages(messages: &[&str]) -> Map<String, Value> {
    messages
        .iter()
        .map(|&message| {
            let component = json!({"$ref": format!("#/components/messages/{message}")});
            (message.to_owned(), component)
        })
        .collect()
}

/// A durable queue, shared by whoever consumes it.
fn durable_queue(name: &str, description: &str, messages: &[&str]) -> Value {
    json!({
        "address": name,
        "description": description,
        "servers": [{"$ref": "#/servers/rabbitmq"}],
        "messages": channel_messages(messages),
        "bindings": {"amqp": {
            "is": "queue",
            "queue": {"name": name, "durable": true, "exclusive": false, "autoDelete": false},
            "bindingVersion": "0.3.0",
        }},
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use contracts::queues;

    use super::*;

    /// Every `$ref` below a value.
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => {
                if let Some(Value::String(reference)) = object.get("$ref") {
                    found.insert(reference.clone());
                }
                object.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() -> anyhow::Result<()> {
        let document = document()?;
        let files: BTreeSet<String> =
            catalog::messages().iter().map(|message| schema_file(message.name)).collect();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for reference in found {
            let leads = match reference.strip_prefix('#') {
                Some(pointer) => document.pointer(pointer).is_some(),
                None => files.contains(&reference),
            };
            assert!(leads, "{reference}");
        }
        Ok(())
    }

    #[test]
    fn every_message_of_the_catalogue_travels_on_a_channel_and_every_result_is_a_schema() -> anyhow::Result<()>
    {
        let document = document()?;
        let mut on_channels = BTreeSet::new();
        references(&document["channels"], &mut on_channels);
        for message in catalog::messages() {
            let name = message.name;
            if name.starts_with(RESULT_PREFIX) {
                assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
            } else {
                assert!(on_channels.contains(&format!("#/components/messages/{name}")), "{name}");
            }
        }
        Ok(())
    }

    #[test]
    fn every_channel_is_sent_to_and_every_message_on_it_is_part_of_an_operation() -> anyhow::Result<()> {
        let document = document()?;
        let mut in_operations = BTreeSet::new();
        references(&document["operations"], &mut in_operations);
        for (channel, described) in document["channels"].as_object().expect("channels") {
            assert!(in_operations.contains(&format!("#/channels/{channel}")), "{channel}");
            for message in described["messages"].as_object().expect("messages").keys() {
                let reference = format!("#/channels/{channel}/messages/{message}");
                assert!(in_operations.contains(&reference), "{reference}");
            }
        }
        Ok(())
    }

    #[test]
    fn every_queue_of_the_contracts_is_a_channel() -> anyhow::Result<()> {
        let document = document()?;
        let auth = queues::Service::ALL.map(queues::Service::auth_route).into_iter();
        let routes = auth.chain([queues::QUERIES, queues::CONNECTED_AGENTS]);
        let queues = routes.flat_map(|route| [route.requests, route.results]);
        for name in queues.chain([queues::DEAD_LETTERS]) {
            let channel = &document["channels"][name];
            assert_eq!(channel["bindings"]["amqp"]["queue"]["name"], name);
        }
        let events = &document["channels"][queues::EVENTS_EXCHANGE];
        assert_eq!(events["parameters"]["routing_key"]["examples"][0], "api_key.created");
        Ok(())
    }
}
