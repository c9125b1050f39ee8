//! What a replica hears on the queue that is its own: requests to it alone, what askers and other replicas say, events, and itself.

use std::sync::Arc;

use contracts::{
    ErrorCode,
    queues::{Route, direct, parts},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::task::JoinSet;

use super::{Context, Serving};
use crate::{
    Bus, Presence, Reply,
    broker::{Binding, Consumer, Incoming, QueueSpec},
    message::Message,
};

/// What is said on the replica's own queue is bounded by those who ask, so this only sizes the buffer between the connection and us.
const OWN_BUFFER: u16 = 1024;

impl Bus {
    /// The queue of this replica alone, where it also hears what askers say to all replicas, and of events.
    pub(super) fn listen(&self, route: Route, presence: &Presence) -> Consumer {
        let askers = Binding { exchange: self.names.control(), keys: vec![route.requests.to_owned()] };
        let events = Binding { exchange: self.names.events(), keys: presence.events().to_vec() };
        let bind = vec![askers, events];
        self.broker.consume(QueueSpec::Private { bind, acknowledged: false }, OWN_BUFFER)
    }
}

/// What is said on the replica's own queue, if it has one.
pub(super) async fn said(own: &mut Option<Consumer>) -> Option<Incoming> {
    own.as_mut()?.next().await
}

impl<H> Serving<H> {
    pub(super) fn say_something(&self, under_way: &mut JoinSet<()>) {
        under_way.spawn(self.presence.clone().say(self.bus.clone()));
    }

    /// Heeds what comes by the replica's own queue.
    pub(super) fn hear<Q, A, F>(self: &Arc<Self>, incoming: Incoming, under_way: &mut JoinSet<()>)
    where
        Q: DeserializeOwned + Send + 'static,
        A: Serialize + Send + 'static,
        H: Fn(Q, Context) -> F + Send + Sync + 'static,
        F: Future<Output = Reply<A>> + Send + 'static,
    {
        let delivery = match incoming {
            Incoming::Established { queue } => {
                self.presence.established(queue);
                return self.say_something(under_way);
            }
            Incoming::Lost => return self.presence.lost(),
            Incoming::Stopped => return,
            Incoming::Delivery(delivery) => *delivery,
        };
        match delivery.message.headers.get(parts::CONTROL) {
            // An event that a process of version 1.0 has published.
            None if delivery.message.reply_to.is_none() && delivery.message.correlation_id.is_none() => {
                self.presence.heed(&delivery.message);
            }
            // No prefetch bounds them, so they are refused where as many more are under way as may come by the shared queue.
            None if under_way.len() >= 2 * usize::from(self.options.concurrency) => {
                under_way.spawn(Arc::clone(self).refuse(delivery.message));
            }
            None => drop(under_way.spawn(Arc::clone(self).answer(delivery, true))),
            Some(parts::MORE | parts::CANCEL) => self.underway.obey(delivery.message),
            Some(direct::ECHO) => self.presence.echoed(&delivery.message),
            Some(direct::NOTE) if self.presence.heed(&delivery.message) => {
                under_way.spawn(Arc::clone(self).confirm(delivery.message));
            }
            Some(direct::EVENT) => {
                self.presence.heed(&delivery.message);
            }
            // A probe, or of a newer version.
            Some(_) => {}
        }
    }

    /// Says that what was said has been heeded.
    async fn confirm(self: Arc<Self>, note: Message) {
        self.bus.reply(self.due(&note), Vec::new()).await;
    }

    /// Says that too much is under way.
    async fn refuse(self: Arc<Self>, request: Message) {
        self.bus.reply_error(self.due(&request), &ErrorCode::Unavailable).await;
    }
}
