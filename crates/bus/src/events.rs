//! Events: published with the broker's confirmation, watched by each replica for itself.

use std::{borrow::Borrow, fmt::Display, time::Duration};

use contracts::{
    events::Event,
    queues::{KeptEvents, direct, parts},
};
use futures_util::FutureExt;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    Bus,
    broker::{Acker, Binding, Consumer, Delivery, Guarantee, Incoming, QueueSpec, Target},
    error::PublishError,
    message::Message,
};

const WATCH_BUFFER: u16 = 256;
/// So many kept events are handled together.
const BATCH: usize = 100;
/// What could not be handled is tried again after so long.
const RETRY: Duration = Duration::from_secs(1);

/// What a watcher of events sees.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// Watching has (re)started: events before this may have been missed, so forget what they would have corrected.
    Gap,
    /// Something has happened.
    Event(Event),
}

/// Events as they happen, for this replica alone. Nothing is kept for a watcher that is away.
pub struct EventWatch {
    consumer: Consumer,
}

impl Bus {
    /// Publishes an event on the topic of its type; returns once the broker has it.
    ///
    /// # Errors
    /// [`PublishError::Unavailable`]; the event may have been published all the same.
    pub async fn publish_event(&self, event: impl Borrow<Event>) -> Result<(), PublishError> {
        let event = event.borrow();
        let body = serde_json::to_vec(event).unwrap_or_default();
        let message = Message {
            body: body.into(),
            headers: [(parts::CONTROL, direct::EVENT.to_owned())].into(),
            persistent: true,
            ..Message::default()
        };
        let target = Target::Topic { exchange: self.names.events(), key: event.routing_key() };
        self.broker.publish(target, message, Guarantee::Accepted).await
    }

    /// Watches the topics that match one of `keys` (AMQP patterns, such as `api_key.*`).
    pub fn watch_events(&self, keys: &[&str]) -> EventWatch {
        let keys = keys.iter().map(|&key| key.to_owned()).collect();
        let bind = vec![Binding { exchange: self.names.events(), keys }];
        // With acknowledgements, so that a watcher who is slow leaves a flood of events on the broker.
        let queue = QueueSpec::Private { bind, acknowledged: true };
        EventWatch { consumer: self.broker.consume(queue, WATCH_BUFFER) }
    }

    /// Hands the events of a queue on which they are kept to `handle`, in their order, up to a hundred at a time; each to one of the
    /// processes that do so. A failure is tried again for ever. They are taken off the queue once they were handled, and come again
    /// when that is not known: `handle` tells repetitions by their `event_id`.
    pub async fn consume_events<H, F, E>(&self, kept: KeptEvents, shutdown: CancellationToken, handle: H)
    where
        H: Fn(Vec<Event>) -> F,
        F: Future<Output = Result<(), E>>,
        E: Display,
    {
        let queue = QueueSpec::Shared(self.names.queue(kept.queue));
        let mut consumer = self.broker.consume(queue, WATCH_BUFFER);
        while let Some(Some(incoming)) = shutdown.run_until_cancelled(consumer.next()).await {
            let Incoming::Delivery(first) = incoming else { continue };
            let mut batch = vec![*first];
            while batch.len() < BATCH
                && let Some(Some(Incoming::Delivery(next))) = consumer.next().now_or_never()
            {
                batch.push(*next);
            }
            let handled = self.handle_kept(kept.queue, batch, &handle);
            if shutdown.run_until_cancelled(handled).await.is_none() {
                return;
            }
        }
    }

    async fn handle_kept<H, F, E>(&self, queue: &'static str, batch: Vec<Delivery>, handle: &H)
    where
        H: Fn(Vec<Event>) -> F,
        F: Future<Output = Result<(), E>>,
        E: Display,
    {
        let (mut events, mut ackers): (Vec<Event>, Vec<Acker>) = (Vec::new(), Vec::new());
        for Delivery { message, acker, .. } in batch {
            match serde_json::from_slice(&message.body) {
                Ok(event) => events.push(event),
                // Where it is not kept, it is not taken off either.
                Err(error) if !self.bury(queue, &message, &format!("no event: {error}")).await => continue,
                Err(_) => {}
            }
            ackers.push(acker);
        }
        while !events.is_empty()
            && let Err(error) = handle(events.clone()).await
        {
            tracing::warn!(queue, %error, "events cannot be handled; trying again");
            sleep(RETRY).await;
        }
        ackers.into_iter().for_each(Acker::ack);
    }

    /// Takes the oldest events beyond `max` off a queue on which they are kept, where nobody consumes from it; how many those were.
    ///
    /// # Errors
    /// [`PublishError::Unavailable`] when the broker cannot be reached.
    pub async fn forget_events(&self, kept: KeptEvents, max: u32) -> Result<u32, PublishError> {
        self.broker.trim(&self.names.queue(kept.queue), max).await
    }
}

impl EventWatch {
    /// The next notice; `None` only when the bus is gone.
    pub async fn next(&mut self) -> Option<Notice> {
        loop {
            match self.consumer.next().await? {
                Incoming::Established { .. } => return Some(Notice::Gap),
                Incoming::Lost | Incoming::Stopped => {}
                Incoming::Delivery(delivery) => {
                    let event = serde_json::from_slice(&delivery.message.body);
                    delivery.acker.ack();
                    match event {
                        Ok(event) => return Some(Notice::Event(event)),
                        Err(error) => tracing::warn!(%error, "an event cannot be understood"),
                    }
                }
            }
        }
    }
}
