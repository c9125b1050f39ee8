//! Requests on durable queues, answered on the asking process's own queue or, for older clients, on a named one.

use contracts::queues::{self, Route, Service};
use serde_json::{Value, json};

use super::{Section, channel_messages, channel_reference, durable_queue, message_references, parts};

/// The channel of the asking processes' own queues, which have no name that is known beforehand.
const REPLIES: &str = "replies";

/// Who asks whom what, and where.
struct Exchange {
    route: Route,
    asker: &'static str,
    answerer: &'static str,
    about: &'static str,
    request: &'static str,
    result: &'static str,
}

fn exchanges() -> Vec<Exchange> {
    let auth = Service::ALL.into_iter().map(|service| Exchange {
        route: service.auth_route(),
        asker: service.as_str(),
        answerer: "user-auth",
        about: "Is this API key valid, and whose is it?",
        request: "auth-request",
        result: "auth-result",
    });
    let onboarding = |route, about, request, result| Exchange {
        route,
        asker: "cluster",
        answerer: "onboarding",
        about,
        request,
        result,
    };
    auth.chain([
        onboarding(queues::QUERIES, "A query for a cluster's agent.", "query-request", "query-result"),
        onboarding(
            queues::CONNECTED_AGENTS,
            "Which agents of a user are connected?",
            "connected-agents-request",
            "connected-agents-result",
        ),
    ])
    .collect()
}

pub(super) fn section() -> Section {
    let exchanges = exchanges();
    let mut section = Section::default();
    for exchange in &exchanges {
        exchange.describe(&mut section);
    }
    let mut results: Vec<&str> = exchanges.iter().map(|exchange| exchange.result).collect();
    results.dedup();
    results.push(parts::PART);
    section.channels.insert(REPLIES.to_owned(), replies(&results));
    section
}

fn replies(results: &[&str]) -> Value {
    json!({
        "address": null,
        "description": "The asking process's own queue, named by the request's `reply_to`. It is gone with its process.",
        "servers": [{"$ref": "#/servers/rabbitmq"}],
        "messages": channel_messages(results),
        "bindings": {"amqp": {
            "is": "queue",
            "queue": {"durable": false, "exclusive": true, "autoDelete": true},
            "bindingVersion": "0.3.0",
        }},
    })
}

impl Exchange {
    fn describe(&self, section: &mut Section) {
        let Self { asker, answerer, about, request, result, .. } = self;
        let Route { requests, results } = self.route;
        let waiting = format!(
            "{about} Asked by {asker}, answered by any replica of {answerer}. A request expires when its caller stops waiting."
        );
        let answered =
            format!("The answers of {answerer} to requests without `reply_to`, as older clients send them.");
        section.channels.insert(requests.to_owned(), durable_queue(requests, &waiting, &[request]));
        section.channels.insert(results.to_owned(), durable_queue(results, &answered, &[result]));

        let in_parts = (*requests == *queues::QUERIES.requests).then_some(parts::PART);
        let replies: Vec<&str> = std::iter::once(*result).chain(in_parts).collect();
        let with_reply = |action: &str, summary: String| {
            json!({
                "action": action,
                "summary": summary,
                "channel": channel_reference(requests),
                "messages": message_references(requests, &[request]),
                "reply": {
                    "address": {
                        "location": "$message.header#/reply_to",
                        "description": "AMQP's property `reply_to`; the reply repeats `correlation_id`.",
                    },
                    "channel": channel_reference(REPLIES),
                    "messages": message_references(REPLIES, &replies),
                },
            })
        };
        let to_named_queue = json!({
            "action": "send",
            "summary": format!("{answerer} answers a request that has no `reply_to`"),
            "channel": channel_reference(results),
            "messages": message_references(results, &[result]),
        });
        section.operations.extend([
            (format!("send_{requests}"), with_reply("send", format!("{asker} asks {answerer}"))),
            (format!("receive_{requests}"), with_reply("receive", format!("{answerer} answers {asker}"))),
            (format!("send_{results}"), to_named_queue),
        ]);
    }
}
