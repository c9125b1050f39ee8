//! How others reach this replica and no other, and whether it is certain that it hears them.

use std::{sync::Arc, time::Duration};

use contracts::{
    events::Event,
    queues::{direct, parts},
};
use serde::de::DeserializeOwned;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    Bus,
    broker::{Guarantee, Target},
    message::Message,
};

/// How often a replica says something to itself.
pub(crate) const ECHO: Duration = Duration::from_secs(1);

/// The presence of a replica on the bus: the queue by which others reach it alone, and by which it hears of events.
///
/// What comes there is heeded in the order in which it was sent. So a replica that hears itself has heeded all that others had
/// said before, and for [`CERTAINTY`](Self::CERTAINTY) afterwards it takes itself for well informed. Whoever must not be
/// contradicted by a replica that does not answer waits for as long. No clocks are compared.
///
/// The queue belongs to the connection on which the replica publishes: when the queue is gone, nothing that it sends arrives
/// until it has another connection, and another queue.
#[derive(Clone)]
pub struct Presence(Arc<Shared>);

struct Shared {
    address: watch::Sender<Option<Arc<str>>>,
    certain_until: watch::Sender<Instant>,
    events: Vec<String>,
    heed: Box<Heed>,
    /// Times are told apart by how long after this they were.
    since: Instant,
    left: CancellationToken,
}

/// Heeds a message, and says whether it was understood.
type Heed = dyn Fn(&Message) -> bool + Send + Sync;

/// What a replica hears.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard<N> {
    /// What another replica has told it alone.
    Note(N),
    /// What has happened.
    Event(Event),
}

impl Default for Presence {
    /// A replica that heeds nothing.
    fn default() -> Self {
        Self::heeding(&[], |_: Heard<()>| {})
    }
}

impl Presence {
    /// For so long after it has heard itself a replica is certain.
    pub const CERTAINTY: Duration = Duration::from_secs(5);

    /// A replica that heeds, at once, what it is [told](Bus::tell), and the events on topics that match one of `events` (AMQP
    /// patterns, such as `api_key.*`). Events that happen while it has no [address](Self::address) it misses.
    pub fn heeding<N: DeserializeOwned>(
        events: &[&str],
        heed: impl Fn(Heard<N>) + Send + Sync + 'static,
    ) -> Self {
        let heed = move |message: &Message| {
            let heard = match message.headers.get(parts::CONTROL) {
                Some(direct::NOTE) => serde_json::from_slice(&message.body).map(Heard::Note),
                _ => serde_json::from_slice(&message.body).map(Heard::Event),
            };
            match heard {
                Ok(heard) => {
                    heed(heard);
                    true
                }
                Err(error) => {
                    tracing::warn!(%error, "what was said to this replica is not understood");
                    false
                }
            }
        };
        let since = Instant::now();
        Self(Arc::new(Shared {
            address: watch::Sender::new(None),
            certain_until: watch::Sender::new(since),
            events: events.iter().map(|&key| key.to_owned()).collect(),
            heed: Box::new(heed),
            since,
            left: CancellationToken::new(),
        }))
    }

    /// Where others reach this replica, and when that changes: `None` while it cannot be reached, and another one after each
    /// loss of the connection.
    pub fn address(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.0.address.subscribe()
    }

    /// Whether all that was said to this replica some time ago has been heeded.
    pub fn is_certain(&self) -> bool {
        *self.0.certain_until.borrow() > Instant::now()
    }

    /// Waits for that.
    pub async fn certain(&self) {
        if !self.is_certain() {
            let mut certain_until = self.0.certain_until.subscribe();
            // The sender lives as long as this.
            let _ = certain_until.wait_for(|until| *until > Instant::now()).await;
        }
    }

    /// Nothing more is to be said to this replica: once it is to stop, it waits for this before it takes its queue away.
    pub fn leave(&self) {
        self.0.left.cancel();
    }

    /// The topics of the events that it hears.
    pub(crate) fn events(&self) -> &[String] {
        &self.0.events
    }

    pub(crate) fn left(&self) -> &CancellationToken {
        &self.0.left
    }

    pub(crate) fn established(&self, queue: String) {
        self.0.address.send_replace(Some(queue.into()));
    }

    pub(crate) fn lost(&self) {
        self.0.certain_until.send_replace(self.0.since);
        self.0.address.send_replace(None);
    }

    /// Waits until this replica can be reached.
    pub(crate) async fn reachable(&self) -> Option<String> {
        let mut address = self.address();
        let address = address.wait_for(Option::is_some).await.ok()?;
        address.as_deref().map(str::to_owned)
    }

    /// Whether what was said is understood, and heeded now.
    pub(crate) fn heed(&self, message: &Message) -> bool {
        (self.0.heed)(message)
    }

    /// Says something to itself.
    pub(crate) async fn say(self, bus: Bus) {
        let Some(address) = self.0.address.borrow().clone() else { return };
        let message = Message {
            correlation_id: Some(self.0.since.elapsed().as_millis().to_string()),
            expiration: Some(Self::CERTAINTY),
            headers: [(parts::CONTROL, direct::ECHO.to_owned())].into(),
            ..Message::default()
        };
        // One that is not heard leaves the replica uncertain.
        let _ =
            bus.broker.publish(Target::Queue(address.as_ref().to_owned()), message, Guarantee::Routed).await;
    }

    /// Hears what it has said to itself.
    pub(crate) fn echoed(&self, message: &Message) {
        let said = message.correlation_id.as_deref().and_then(|millis| millis.parse().ok());
        let Some(said) = said.map(|millis| self.0.since + Duration::from_millis(millis)) else { return };
        let until = said.min(Instant::now()) + Self::CERTAINTY;
        self.0.certain_until.send_if_modified(|current| {
            let is_later = until > *current;
            *current = until.max(*current);
            is_later
        });
    }
}
