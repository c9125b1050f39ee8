//! Telling those who answer that nobody waits any more.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use contracts::queues::{Route, parts};
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use crate::{
    broker::{Broker, Guarantee, Target},
    message::Message,
    names::Names,
    pending::Waiter,
};

/// So many callers may leave at once and have it told; of more, those who answer find out at the deadline.
const QUEUE: usize = 4096;
/// So many cancellations may wait for the broker to confirm them.
const AT_ONCE: usize = 64;
/// A cancellation that is not read by then is not worth reading.
const EXPIRY: Duration = Duration::from_secs(5);

/// Publishes cancellations, for those who cannot wait for it because they are being dropped. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Canceller {
    cancelled: mpsc::Sender<(Target, Message)>,
    control_exchange: Arc<str>,
}

impl Canceller {
    pub(crate) fn start(broker: &Arc<Broker>, names: &Names) -> Self {
        let (cancelled, mut queue) = mpsc::channel::<(Target, Message)>(QUEUE);
        // It does not keep the connection: whoever cancels has a handle on the bus, or it does not matter any more.
        let broker: Weak<Broker> = Arc::downgrade(broker);
        let publish = move |(target, message)| {
            let broker = broker.upgrade();
            async move {
                // While the broker is away, whoever answers finds out at the deadline.
                if let Some(broker) = broker {
                    let _ = broker.publish(target, message, Guarantee::Accepted).await;
                }
            }
        };
        let queue = stream::poll_fn(move |context| queue.poll_recv(context));
        tokio::spawn(queue.for_each_concurrent(AT_ONCE, publish));
        Self { cancelled, control_exchange: names.control().into() }
    }
}

/// A request that was published. Dropped before its whole answer has come, it is cancelled.
pub(crate) struct Question {
    waiter: Waiter,
    reply_queue: Arc<str>,
    route: Route,
    /// Absent where nobody would listen: the answer comes in one piece, at once.
    canceller: Option<Canceller>,
    /// The queue of whoever answers, once that is known.
    answering: Option<String>,
}

impl Question {
    pub(crate) fn new(
        waiter: Waiter,
        reply_queue: Arc<str>,
        route: Route,
        canceller: Option<Canceller>,
    ) -> Self {
        Self { waiter, reply_queue, route, canceller, answering: None }
    }

    /// Learns to whom `more` and `cancel` are to be said.
    pub(crate) fn answered_by(&mut self, queue: Option<String>) {
        self.answering = queue;
    }

    /// One more part may be sent, said to whoever answers.
    pub(crate) fn more(&self) -> Option<(Target, Message)> {
        Some((Target::Queue(self.answering.clone()?), self.control(parts::MORE)))
    }

    fn control(&self, what: &str) -> Message {
        Message {
            correlation_id: Some(self.waiter.id()),
            reply_to: Some(self.reply_queue.as_ref().to_owned()),
            expiration: Some(EXPIRY),
            headers: [(parts::CONTROL, what.to_owned())].into(),
            ..Message::default()
        }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        if !self.waiter.leave() {
            return;
        }
        if let Some(canceller) = &self.canceller {
            let target = match self.answering.take() {
                Some(queue) => Target::Queue(queue),
                None => Target::Topic {
                    exchange: canceller.control_exchange.as_ref().to_owned(),
                    key: self.route.requests.to_owned(),
                },
            };
            let _ = canceller.cancelled.try_send((target, self.control(parts::CANCEL)));
        }
    }
}
