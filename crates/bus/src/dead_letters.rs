//! Messages that could not be handled, kept on a queue of their own for a person to look at.

use std::time::Duration;

use bytes::Bytes;
use contracts::without_keys;
use tokio::time::{Instant, timeout};

use crate::{
    Bus,
    broker::{Guarantee, Target},
    error::PublishError,
    message::{MAX_BODY_BYTES, Message},
};

/// The oldest are dropped beyond this, so that a flood of rubbish does not fill the broker's disk.
const MAX_KEPT: u32 = 10_000;

/// How long declaring the queue may take.
const DECLARE_WITHIN: Duration = Duration::from_secs(5);
/// How long the broker may take to take a letter. Longer than it takes to notice that the broker is dead, so that no second
/// letter is sent after one that is still on its way.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);

const QUEUE_HEADER: &str = "kubesage-queue";
const REASON_HEADER: &str = "kubesage-reason";

/// A message that could not be handled.
#[derive(Clone)]
pub struct DeadLetter {
    /// The queue that it was taken from, without the prefix.
    pub queue: String,
    /// Why it could not be handled.
    pub reason: String,
    /// The message as it was, but for its keys.
    pub body: Bytes,
}

impl Bus {
    /// Takes the oldest dead letter off its queue, if there is one.
    ///
    /// # Errors
    /// [`PublishError::Unavailable`] when the broker cannot be reached or has no such queue yet.
    pub async fn take_dead_letter(&self) -> Result<Option<DeadLetter>, PublishError> {
        let taken = self.broker.take(&self.names.dead_letters()).await?;
        Ok(taken.map(|message| DeadLetter {
            queue: message.headers.get(QUEUE_HEADER).unwrap_or_default().to_owned(),
            reason: message.headers.get(REASON_HEADER).unwrap_or_default().to_owned(),
            body: message.body,
        }))
    }

    /// Keeps a message that could not be handled, and counts it. False when the broker does not take it for half a minute.
    pub(crate) async fn bury(&self, queue: &'static str, message: &Message, reason: &str) -> bool {
        let mut body = without_keys(&message.body);
        // What stands for a key may be longer than the key.
        body.truncate(MAX_BODY_BYTES);
        let name = self.names.dead_letters();
        let letter = Message {
            headers: [(QUEUE_HEADER, queue.to_owned()), (REASON_HEADER, reason.to_owned())].into(),
            body: body.into(),
            persistent: true,
            ..Message::default()
        };
        // A queue that cannot be declared may be there from an earlier time; if not, the letter is returned.
        let _ = timeout(DECLARE_WITHIN, self.broker.declare(&name, Some(MAX_KEPT))).await;
        let deadline = Instant::now() + TAKEN_WITHIN;
        if !self.broker.insist(Target::Queue(name), letter, Guarantee::Routed, deadline).await {
            tracing::warn!(queue, "the broker takes no dead letters");
            return false;
        }
        metrics::counter!("bus_dead_letters_total", "queue" => queue).increment(1);
        tracing::error!(queue, reason, "message moved to the dead letters");
        true
    }
}
