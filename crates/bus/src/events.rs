//! Events: published with the broker's confirmation, watched by each replica for itself.

use std::borrow::Borrow;

use contracts::{
    events::Event,
    queues::{direct, parts},
};

use crate::{
    Bus,
    broker::{Binding, Consumer, Guarantee, Incoming, QueueSpec, Target},
    error::PublishError,
    message::Message,
};

const WATCH_BUFFER: u16 = 256;

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
