//! What could not be handled.

use contracts::queues::DEAD_LETTERS;
use serde_json::json;

use super::{Section, channel_reference, durable_queue, message_references};

/// What requests are.
const REQUESTS: [&str; 3] = ["auth-request", "query-request", "connected-agents-request"];

pub(super) fn section() -> Section {
    let about = "Requests that could not be understood or whose handler failed, as they came, for a person to look at. \
                 The headers `kubesage-queue` and `kubesage-reason` say where each waited and why it is here.";
    let bury = json!({
        "action": "send",
        "summary": "A service gives up on a request",
        "channel": channel_reference(DEAD_LETTERS),
        "messages": message_references(DEAD_LETTERS, &REQUESTS),
        "bindings": {"amqp": {"deliveryMode": 2, "bindingVersion": "0.3.0"}},
    });
    Section {
        channels: [(DEAD_LETTERS.to_owned(), durable_queue(DEAD_LETTERS, about, &REQUESTS))]
            .into_iter()
            .collect(),
        operations: [("send_dead_letter".to_owned(), bury)].into_iter().collect(),
    }
}
