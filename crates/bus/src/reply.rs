//! Replies, to reply queues and, for callers of the earlier system, to the results queue.

use std::time::Duration;

use bytes::Bytes;
use contracts::{
    ErrorCode,
    queues::{Route, direct, parts},
};
use futures_util::{StreamExt, stream::BoxStream};
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    Bus, Encoding, Presence,
    broker::{Guarantee, Target},
    control::Controls,
    error::PublishError,
    message::{Headers, MAX_BODY_BYTES, Message},
};

/// On a reply that has no body of the expected type: the error's code.
pub(crate) const ERROR_HEADER: &str = "kubesage-error";

/// Answers on the results queue, for callers without a reply queue, are worth reading for so long.
const RESULTS_EXPIRY: Duration = Duration::from_secs(60);

/// What a handler answers.
pub enum Reply<A> {
    /// In one message, as JSON.
    Whole(A),
    /// For an asker that [takes it](crate::Context::takes_parts): all but the result, and the result.
    InParts {
        /// All but the result.
        head: A,
        /// The result.
        result: Outgoing,
    },
    /// Another replica is to answer.
    PassOn {
        /// Its [address](crate::Presence::address).
        to: String,
        /// The answer if that is gone, as JSON.
        otherwise: A,
    },
}

/// A result on its way out.
pub struct Outgoing {
    /// How it is to be read.
    pub encoding: Encoding,
    /// Its bytes, each piece with whether it is the last. An error ends them, and is told to the asker.
    pub parts: Parts,
}

/// The pieces of a result.
pub enum Parts {
    /// One piece that is there already.
    One(Bytes),
    /// Pieces that come one after the other. They are asked for as fast as the asker takes them.
    Stream(BoxStream<'static, Result<Part, ErrorCode>>),
}

/// A piece of a result.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its bytes.
    pub data: Bytes,
    /// Whether the result is complete with it.
    pub last: bool,
}

/// A request whose reply is due.
#[derive(Clone, Copy)]
pub(crate) struct Due<'a> {
    pub(crate) route: Route,
    pub(crate) request: &'a Message,
    pub(crate) deadline: Instant,
}

impl Bus {
    /// Sends the answer, if it is not too large for the broker.
    pub(crate) async fn reply(&self, due: Due<'_>, body: Vec<u8>) {
        if body.len() > MAX_BODY_BYTES {
            return self.reply_error(due, &ErrorCode::TooLarge).await;
        }
        self.send_reply(due, Message { body: body.into(), ..Message::default() }).await;
    }

    /// Tells the caller that there is no answer: in a header, and for clients that know only bodies in the body.
    pub(crate) async fn reply_error(&self, due: Due<'_>, code: &ErrorCode) {
        let body = json!({"request_id": request_id(due.request), "error": "the request cannot be answered", "code": code});
        let reply = Message {
            body: body.to_string().into(),
            headers: [(ERROR_HEADER, code.to_string())].into(),
            ..Message::default()
        };
        self.send_reply(due, reply).await;
    }

    /// Sends the answer part by part, each when the asker takes it.
    pub(crate) async fn reply_in_parts(
        &self,
        due: Due<'_>,
        head: String,
        result: Outgoing,
        presence: &Presence,
        controls: &Controls,
    ) {
        let Outgoing { encoding, parts } = result;
        match parts {
            Parts::One(data) => {
                let part = Part { data, last: true };
                let mut reply = numbered(part, 0, encoding);
                reply.headers.set(parts::HEAD, head);
                self.send_reply(due, reply).await;
            }
            Parts::Stream(mut parts) => {
                let mut head = Some(head);
                let answer = Uuid::new_v4().simple().to_string();
                for number in 0.. {
                    let Ok(permit) = controls.window.acquire().await else { return };
                    permit.forget();
                    let part = match parts.next().await {
                        Some(Ok(part)) => part,
                        Some(Err(code)) => return self.reply_error(due, &code).await,
                        None => return self.reply_error(due, &ErrorCode::Internal).await,
                    };
                    let last = part.last;
                    let mut reply = numbered(part, number, encoding);
                    reply.headers.set(parts::ANSWER, answer.clone());
                    if let Some(head) = head.take() {
                        reply.headers.set(parts::HEAD, head);
                        reply.reply_to = if last { None } else { presence.reachable().await };
                    }
                    self.send_reply(due, reply).await;
                    if last {
                        return;
                    }
                }
            }
        }
    }

    /// Hands a request over to another replica, and tells its asker.
    pub(crate) async fn pass_on(&self, due: Due<'_>, to: String) -> Result<(), PublishError> {
        let Due { request, deadline, .. } = due;
        let patience = deadline.saturating_duration_since(Instant::now());
        let message = Message { expiration: Some(patience), ..request.clone() };
        self.broker.publish(Target::Queue(to.clone()), message, Guarantee::Routed).await?;
        if let Some(asker) =
            request.reply_to.clone().filter(|_| request.headers.get(direct::FOLLOWS).is_some())
        {
            let told = Message {
                correlation_id: request.correlation_id.clone(),
                reply_to: Some(to),
                headers: [(parts::CONTROL, direct::PASSED_ON.to_owned())].into(),
                ..Message::default()
            };
            // One who does not hear it learns at its deadline that the other replica was lost.
            let _ = self.broker.publish(Target::Queue(asker), told, Guarantee::Accepted).await;
        }
        Ok(())
    }

    async fn send_reply(&self, due: Due<'_>, reply: Message) {
        let Due { route, request, deadline } = due;
        let (queue, expiration) = match &request.reply_to {
            Some(queue) => (queue.clone(), None),
            None => (self.names.queue(route.results), Some(RESULTS_EXPIRY)),
        };
        let reply = Message { correlation_id: request.correlation_id.clone(), expiration, ..reply };
        // After a broken connection, consuming may be back before publishing is.
        if !self.broker.insist(Target::Queue(queue), reply, Guarantee::Accepted, deadline).await {
            tracing::warn!(
                queue = route.requests,
                "a reply was lost: the broker was away until its deadline"
            );
        }
    }
}

fn numbered(part: Part, number: u32, encoding: Encoding) -> Message {
    let mut headers = Headers::from([(parts::NUMBER, number.to_string())]);
    if part.last {
        headers.set(parts::LAST, "1");
    }
    if let Some(encoding) = encoding.header() {
        headers.set(parts::ENCODING, encoding);
    }
    Message { body: part.data, headers, ..Message::default() }
}

/// The id that a request has even if it is otherwise not understood.
fn request_id(request: &Message) -> Value {
    let body: Option<Value> = serde_json::from_slice(&request.body).ok();
    body.and_then(|mut body| body.get_mut("request_id").map(Value::take)).unwrap_or_default()
}
