//! Messages that could not be handled, kept on a queue of their own for a person to look at.

use bytes::Bytes;

use crate::{
    Bus,
    broker::{Guarantee, Message, Target},
    error::PublishError,
};

/// The oldest are dropped beyond this, so that a flood of rubbish does not fill the broker's disk.
const MAX_KEPT: u32 = 10_000;

const QUEUE_HEADER: &str = "kubesage-queue";
const REASON_HEADER: &str = "kubesage-reason";

/// A message that could not be handled.
#[derive(Clone)]
pub struct DeadLetter {
    /// The queue that it was taken from, without the prefix.
    pub queue: String,
    /// Why it could not be handled.
    pub reason: String,
    /// The message as it was. It may hold a secret.
    pub body: Bytes,
}

impl Bus {
    /// Takes the oldest dead letter off its queue, if there is one.
    ///
    /// # Errors
    /// [`PublishError::Unavailable`] when the broker cannot be reached or has no such queue yet.
    pub async fn take_dead_letter(&self) -> Result<Option<DeadLetter>, PublishError> {
        let taken = self.broker.take(&self.names.dead_letters()).await?;
        Ok(taken.map(|mut message| DeadLetter {
            queue: message.headers.remove(QUEUE_HEADER).unwrap_or_default(),
            reason: message.headers.remove(REASON_HEADER).unwrap_or_default(),
            body: message.body,
        }))
    }

    /// Keeps a message that could not be handled, and counts it.
    pub(crate) async fn bury(&self, queue: &'static str, message: &Message, reason: &str) {
        metrics::counter!("bus_dead_letters_total", "queue" => queue).increment(1);
        tracing::error!(queue, reason, "message moved to the dead letters");
        let name = self.names.dead_letters();
        let letter = Message {
            headers: [
                (QUEUE_HEADER.to_owned(), queue.to_owned()),
                (REASON_HEADER.to_owned(), reason.to_owned()),
            ]
            .into(),
            body: message.body.clone(),
            persistent: true,
            ..Message::default()
        };
        let buried = async {
            self.broker.declare(&name, Some(MAX_KEPT)).await?;
            self.broker.publish(Target::Queue(name), letter, Guarantee::Routed).await
        };
        if let Err(error) = buried.await {
            tracing::error!(queue, %error, "a dead letter could not be kept");
        }
    }
}
