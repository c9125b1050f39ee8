//! Replies, to reply queues and, for callers of the earlier system, to the results queue.

use std::time::Duration;

use contracts::{ErrorCode, queues::Route};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    Bus,
    broker::{Guarantee, Message, Target},
};

/// On a reply that has no body of the expected type: the error's code.
pub(crate) const ERROR_HEADER: &str = "kubesage-error";

/// Answers on the results queue, for callers without a reply queue, are worth reading for so long.
const RESULTS_EXPIRY: Duration = Duration::from_secs(60);

/// No reply is larger: RabbitMQ closes the channel for a message over its `max_message_size`, which is 16 MiB since 4.0.
const MAX_REPLY_BYTES: usize = 16 * 1024 * 1024 - 1024;

impl Bus {
    /// Sends the answer, if it is not too large for the broker.
    pub(crate) async fn reply(&self, route: Route, request: &Message, deadline: Instant, body: Vec<u8>) {
        if body.len() > MAX_REPLY_BYTES {
            return self.reply_error(route, request, deadline, &ErrorCode::TooLarge).await;
        }
        let reply = Message { body: body.into(), ..Message::default() };
        self.send_reply(route, request, deadline, reply).await;
    }

    /// Tells the caller that there is no answer: in a header, and for clients that know only bodies in the body.
    pub(crate) async fn reply_error(
        &self,
        route: Route,
        request: &Message,
        deadline: Instant,
        code: &ErrorCode,
    ) {
        let body = json!({"request_id": request_id(request), "error": "the request cannot be answered", "code": code});
        let reply = Message {
            body: body.to_string().into(),
            headers: [(ERROR_HEADER.to_owned(), code.to_string())].into(),
            ..Message::default()
        };
        self.send_reply(route, request, deadline, reply).await;
    }

    async fn send_reply(&self, route: Route, request: &Message, deadline: Instant, reply: Message) {
        let (queue, expiration) = match &request.reply_to {
            Some(queue) => (queue.clone(), None),
            None => (self.names.queue(route.results), Some(RESULTS_EXPIRY)),
        };
        let reply = Message { correlation_id: request.correlation_id.clone(), expiration, ..reply };
        // After a broken connection, consuming may be back before publishing is.
        if !self.broker.insist(Target::Queue(queue), reply, Guarantee::None, deadline).await {
            tracing::warn!(
                queue = route.requests,
                "a reply was lost: the broker was away until its deadline"
            );
        }
    }
}

/// The id that a request has even if it is otherwise not understood.
fn request_id(request: &Message) -> Value {
    let body: Option<Value> = serde_json::from_slice(&request.body).ok();
    body.and_then(|mut body| body.get_mut("request_id").map(Value::take)).unwrap_or_default()
}
