//! What one replica of onboarding says to another.

use serde_json::json;

use super::{Section, channel_messages, channel_reference, message_references};

const OWN_QUEUE: &str = "replica";
const MOVED: &str = "session-moved";

pub(super) fn section() -> Section {
    let channel = json!({
        "address": "{queue}",
        "description": "The queue of one replica alone, exclusive to its connection. Queries may be sent there as well, by those who know \
                        that it holds the agent's session (`owner` of an earlier answer). What is no query says in the header \
                        `kubesage-control` what it is; a `note` is answered with an empty reply once it is heeded.",
        "servers": [{"$ref": "#/servers/rabbitmq"}],
        "messages": channel_messages(&[MOVED]),
        "parameters": {"queue": {"description": "Its name, new with each connection; it is in the directory of replicas."}},
    });
    let operation = |action: &str, summary: &str| {
        json!({
            "action": action,
            "summary": summary,
            "channel": channel_reference(OWN_QUEUE),
            "messages": message_references(OWN_QUEUE, &[MOVED]),
        })
    };
    let tell = operation("send", "A replica has taken over an agent's session");
    let heed = operation("receive", "A replica does not hold an agent's session any more");
    Section {
        channels: [(OWN_QUEUE.to_owned(), channel)].into_iter().collect(),
        operations: [("send_session_moved".to_owned(), tell), ("receive_session_moved".to_owned(), heed)]
            .into_iter()
            .collect(),
    }
}
