//! The seam: what a broker does, for RabbitMQ and inside the process.

use std::time::Duration;

use futures_util::{StreamExt, stream::BoxStream};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    amqp,
    error::{PublishError, RequestError},
    memory,
    message::Message,
};

/// Between two attempts to publish on a connection that seems to be there.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Where a message goes.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Queue(String),
    /// A topic exchange and the message's topic.
    Topic {
        exchange: String,
        key: String,
    },
}

impl Target {
    /// The AMQP exchange (`""` is the default one, which knows every queue by its name) and routing key.
    pub(crate) fn parts(&self) -> (&str, &str) {
        match self {
            Self::Queue(queue) => ("", queue),
            Self::Topic { exchange, key } => (exchange, key),
        }
    }
}

/// How much the publisher has to know.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guarantee {
    /// The broker has it, though perhaps no queue.
    Accepted,
    /// The broker has put it into a queue.
    Routed,
}

/// A queue to consume from; it is declared first.
#[derive(Clone, Debug)]
pub(crate) enum QueueSpec {
    /// Durable and shared: each message goes to one of its consumers.
    Shared(String),
    /// This consumer's own, gone with it; bound to topics of exchanges. Where messages need no acknowledgement, the
    /// broker sends them as fast as they come: what is sent there is bounded otherwise.
    Private { bind: Vec<Binding>, acknowledged: bool },
}

/// Which topics of which exchange.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    pub(crate) exchange: String,
    pub(crate) keys: Vec<String>,
}

/// What a consumer sees.
pub(crate) enum Incoming {
    /// Consuming (again) from this queue. What was published to a private queue's topics before is missed.
    Established {
        queue: String,
    },
    /// The connection or the queue is gone; it will be established again.
    Lost,
    /// No more messages come, because the consumer was told to stop.
    Stopped,
    Delivery(Box<Delivery>),
}

pub(crate) struct Delivery {
    pub(crate) message: Message,
    pub(crate) redelivered: bool,
    pub(crate) acker: Acker,
}

/// Says that a message was handled. Dropped unsaid, the message is delivered again once its consumer is gone.
pub(crate) enum Acker {
    /// The queue needs none.
    None,
    Amqp(amqp::Ack),
    Memory(memory::Unacked),
}

impl Acker {
    pub(crate) fn ack(self) {
        match self {
            Self::None => {}
            Self::Amqp(ack) => ack.ack(),
            Self::Memory(unacked) => unacked.ack(),
        }
    }

    /// Whether the message is given to somebody again, because the connection that it came by is gone.
    pub(crate) fn is_lost(&self) -> bool {
        match self {
            Self::Amqp(ack) => ack.is_lost(),
            Self::None | Self::Memory(_) => false,
        }
    }
}

/// Messages of one queue. Dropped, it stops consuming and gives back what was not acknowledged.
pub(crate) struct Consumer {
    incoming: BoxStream<'static, Incoming>,
    stop: CancellationToken,
}

impl Consumer {
    /// `incoming` tells that it has stopped once `stop` is cancelled, and keeps what has to be kept until it is dropped.
    pub(crate) fn new(incoming: BoxStream<'static, Incoming>, stop: CancellationToken) -> Self {
        Self { incoming, stop }
    }

    /// The next thing that happens; `None` only after the bus itself is gone.
    pub(crate) async fn next(&mut self) -> Option<Incoming> {
        self.incoming.next().await
    }

    /// Takes no more messages; answers those that were on their way. What was taken can still be acknowledged until the consumer
    /// is dropped.
    pub(crate) async fn stop(&mut self) -> Vec<Delivery> {
        self.stop.cancel();
        let mut on_their_way = Vec::new();
        loop {
            match self.next().await {
                None | Some(Incoming::Stopped) => return on_their_way,
                Some(Incoming::Delivery(delivery)) => on_their_way.push(*delivery),
                Some(Incoming::Established { .. } | Incoming::Lost) => {}
            }
        }
    }
}

/// The two real brokers.
pub(crate) enum Broker {
    Amqp(amqp::Broker),
    Memory(memory::Broker),
}

impl Broker {
    pub(crate) async fn publish(
        &self,
        target: Target,
        message: Message,
        guarantee: Guarantee,
    ) -> Result<(), PublishError> {
        match self {
            // Boxed: it is large, and would make whatever waits for it as large, which is moved and allocated with it.
            Self::Amqp(broker) => Box::pin(broker.publish(target, message, guarantee)).await,
            Self::Memory(broker) => broker.publish(&target, &message, guarantee),
        }
    }

    /// Publishes, and tries again while the broker is away; false when it was away until the deadline.
    pub(crate) async fn insist(
        &self,
        target: Target,
        message: Message,
        guarantee: Guarantee,
        deadline: Instant,
    ) -> bool {
        let mut publishing = self.publishing();
        let published = async {
            while publishing.wait_for(|up| *up).await.is_ok() {
                if self.publish(target.clone(), message.clone(), guarantee).await.is_ok() {
                    return;
                }
                // The connection is just being given up.
                sleep(RETRY_PAUSE).await;
            }
            std::future::pending().await
        };
        timeout_at(deadline, published).await.is_ok()
    }

    /// Consumes from `queue`, at most `prefetch` unacknowledged messages at a time.
    pub(crate) fn consume(&self, queue: QueueSpec, prefetch: u16) -> Consumer {
        match self {
            Self::Amqp(broker) => broker.consume(queue, prefetch),
            Self::Memory(broker) => broker.consume(queue, prefetch),
        }
    }

    /// Declares a durable queue; `max_length` drops the oldest messages beyond it.
    pub(crate) async fn declare(&self, queue: &str, max_length: Option<u32>) -> Result<(), PublishError> {
        match self {
            Self::Amqp(broker) => broker.declare(queue, max_length).await,
            Self::Memory(broker) => {
                broker.declare(queue, max_length);
                Ok(())
            }
        }
    }

    /// Takes the oldest messages beyond `max` off a queue, where nobody consumes from it; how many those were.
    pub(crate) async fn trim(&self, queue: &str, max: u32) -> Result<u32, PublishError> {
        match self {
            Self::Amqp(broker) => broker.trim(queue, max).await,
            Self::Memory(broker) => Ok(broker.trim(queue, max)),
        }
    }

    /// Takes one message off a queue; should the connection be lost just then, it may be taken twice.
    pub(crate) async fn take(&self, queue: &str) -> Result<Option<Message>, PublishError> {
        match self {
            Self::Amqp(broker) => broker.take(queue).await,
            Self::Memory(broker) => Ok(broker.take(queue)),
        }
    }

    /// Whether messages can be published, and when that changes.
    pub(crate) fn publishing(&self) -> watch::Receiver<bool> {
        match self {
            Self::Amqp(broker) => broker.publishing(),
            Self::Memory(broker) => broker.publishing(),
        }
    }

    pub(crate) fn can_publish(&self) -> bool {
        *self.publishing().borrow()
    }

    /// Why nothing came by the deadline: a broker that takes no messages takes no replies either.
    pub(crate) fn overdue(&self) -> RequestError {
        if self.can_publish() { RequestError::Timeout } else { PublishError::Unavailable.into() }
    }
}
