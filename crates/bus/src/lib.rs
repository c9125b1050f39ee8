//! Typed request/reply and events over a message broker.
//!
//! [`Bus`] speaks to RabbitMQ (`amqp://…`, `amqps://…`) or to a broker inside the process (`memory:`). Both sides of that
//! seam (`broker.rs`) behave alike: competing consumers, expiry, returned messages, redelivery after a consumer dies. All
//! that is typed (requests, replies, events, dead letters) is written once, above the seam.
//!
//! A request travels as `request()` → shared durable queue → `serve()` → the asking process's own reply queue. Its deadline
//! travels as the message's expiry, relative, so that no two clocks have to agree.

mod amqp;
mod answer;
mod broker;
mod cancel;
mod control;
mod dead_letters;
mod error;
mod events;
mod memory;
mod message;
mod names;
mod pending;
mod presence;
mod reply;
mod requester;
mod responder;

use std::sync::{Arc, atomic::AtomicUsize};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;

pub use answer::{Answer, Body, Encoding};
pub use dead_letters::DeadLetter;
pub use error::{ConnectError, PublishError, RequestError};
pub use events::{EventWatch, Notice};
pub use presence::{Heard, Presence};
pub use reply::{Outgoing, Part, Parts, Reply};
pub use requester::RequestOptions;
pub use responder::{Context, ServeOptions};

use broker::Broker;
use names::Names;
use requester::Requester;

/// How a process takes part in the bus.
#[derive(Clone, Debug)]
pub struct BusOptions {
    /// The process's name, shown in the broker's list of connections.
    pub client_name: String,
    /// Put before the name of every queue and exchange, so that several systems, or tests, can share a broker.
    pub prefix: String,
    /// At most so many requests of this process wait for their replies.
    pub max_in_flight: usize,
    /// What kind of queue requests wait in, for RabbitMQ.
    pub queues: QueueType,
}

/// A kind of queue of RabbitMQ, for what is shared by several replicas. All who declare a queue must say the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueType {
    /// As clients of the earlier system declare them: on one node.
    #[default]
    Classic,
    /// Copied to several nodes of a cluster: it outlives each of them.
    Quorum,
}

impl Default for BusOptions {
    fn default() -> Self {
        Self {
            client_name: "kubesage".to_owned(),
            prefix: String::new(),
            max_in_flight: 10_000,
            queues: QueueType::Classic,
        }
    }
}

/// A handle on the bus; cheap to clone. The connection ends when the last handle is dropped.
#[derive(Clone)]
pub struct Bus {
    broker: Arc<Broker>,
    names: Names,
    requester: Arc<Requester>,
    serving: Arc<AtomicUsize>,
}

impl Bus {
    /// Starts connecting to `url` and returns at once; [`Bus::ready`] waits for the connection.
    ///
    /// The connection is re-established for ever, with growing pauses. `memory:` makes a broker of its own,
    /// `memory:NAME` one that all who use that name in this process share.
    ///
    /// # Errors
    /// [`ConnectError`] when the URL cannot be understood. A broker that is away is not an error: it may come.
    pub fn connect(url: &SecretString, options: BusOptions) -> Result<Self, ConnectError> {
        let names = Names::new(options.prefix);
        let url = url.expose_secret();
        let broker = if let Some(name) = url.strip_prefix("memory:") {
            let broker = memory::Broker::named(name);
            for (queue, topics) in names.kept_events() {
                broker.keep(&names.events(), topics, &queue);
            }
            Broker::Memory(broker)
        } else if url.starts_with("amqp://") || url.starts_with("amqps://") {
            Broker::Amqp(amqp::Broker::connect(url, &options.client_name, &names, options.queues)?)
        } else {
            return Err(ConnectError::Scheme);
        };
        let broker = Arc::new(broker);
        let requester = Requester::start(&broker, &names, options.max_in_flight);
        Ok(Self { broker, names, requester: Arc::new(requester), serving: Arc::default() })
    }

    /// Whether requests can be made now: the broker is connected and replies can arrive.
    pub fn is_ready(&self) -> bool {
        *self.requester.ready().borrow() && self.broker.can_publish()
    }

    /// Waits until requests can be made.
    pub async fn ready(&self) {
        let mut publishing = self.broker.publishing();
        let mut replies: watch::Receiver<bool> = self.requester.ready();
        // The senders live as long as this handle, so neither wait ends by itself.
        let _ = replies.wait_for(|ready| *ready).await;
        let _ = publishing.wait_for(|ready| *ready).await;
    }
}
