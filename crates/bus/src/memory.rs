//! A broker inside the process, with RabbitMQ's behaviour where the bus can tell: competing consumers, prefetch, expiry,
//! returned messages, topic bindings, redelivery of what a dead consumer had not acknowledged.

mod queue;
mod topic;

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak},
};

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    broker::{Acker, Consumer, Delivery, Guarantee, Incoming, QueueSpec, Target},
    error::PublishError,
    message::Message,
};

use queue::Queue;
pub(crate) use queue::Unacked;

/// The brokers that have names, for `memory:NAME`.
static NAMED: LazyLock<Mutex<HashMap<String, Weak<Shared>>>> = LazyLock::new(Mutex::default);

#[derive(Clone)]
pub(crate) struct Broker {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Always true: a broker in the process is never away.
    publishing: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    queues: HashMap<String, Arc<Queue>>,
    bindings: Vec<Bound>,
}

struct Bound {
    exchange: String,
    pattern: String,
    queue: String,
}

impl Broker {
    /// The broker that all who say this name share; without a name, a new one.
    pub(crate) fn named(name: &str) -> Self {
        let fresh = || Arc::new(Shared { state: Mutex::default(), publishing: watch::Sender::new(true) });
        if name.is_empty() {
            return Self { shared: fresh() };
        }
        let mut named = lock(&NAMED);
        named.retain(|_, broker| broker.strong_count() > 0);
        let shared = named.get(name).and_then(Weak::upgrade).unwrap_or_else(fresh);
        named.insert(name.to_owned(), Arc::downgrade(&shared));
        Self { shared }
    }

    pub(crate) fn publishing(&self) -> watch::Receiver<bool> {
        self.shared.publishing.subscribe()
    }

    pub(crate) fn publish(
        &self,
        target: &Target,
        message: &Message,
        guarantee: Guarantee,
    ) -> Result<(), PublishError> {
        let queues = lock(&self.shared.state).route(target);
        if queues.is_empty() && guarantee == Guarantee::Routed {
            return Err(PublishError::Unroutable { queue: target.parts().1.to_owned() });
        }
        for queue in queues {
            queue.push(message.clone());
        }
        Ok(())
    }

    pub(crate) fn declare(&self, queue: &str, max_length: Option<u32>) {
        lock(&self.shared.state).queue(queue, max_length);
    }

    /// Keeps what is published to these topics on a queue.
    pub(crate) fn keep(&self, exchange: &str, pattern: &str, queue: &str) {
        let mut state = lock(&self.shared.state);
        state.queue(queue, None);
        let is_same = |bound: &Bound| bound.queue == queue && bound.pattern == pattern;
        if !state.bindings.iter().any(is_same) {
            let (exchange, pattern, queue) = (exchange.to_owned(), pattern.to_owned(), queue.to_owned());
            state.bindings.push(Bound { exchange, pattern, queue });
        }
    }

    pub(crate) fn trim(&self, queue: &str, max: u32) -> u32 {
        lock(&self.shared.state).queues.get(queue).map_or(0, |queue| queue.trim(max))
    }

    pub(crate) fn take(&self, queue: &str) -> Option<Message> {
        let queue = lock(&self.shared.state).queues.get(queue).cloned()?;
        queue.pop().map(|stored| stored.message)
    }

    pub(crate) fn consume(&self, spec: QueueSpec, prefetch: u16) -> Consumer {
        let stop = CancellationToken::new();
        let consuming = match spec {
            QueueSpec::Shared(name) => Consuming {
                queue: lock(&self.shared.state).queue(&name, None),
                name,
                permits: Some(Arc::new(Semaphore::new(usize::from(prefetch).max(1)))),
                private_of: None,
            },
            QueueSpec::Private { bind, acknowledged } => {
                let name = format!("private.{}", Uuid::new_v4());
                let mut state = lock(&self.shared.state);
                let queue = state.queue(&name, None);
                for (exchange, pattern) in bind
                    .into_iter()
                    .flat_map(|b| b.keys.into_iter().map(move |key| (b.exchange.clone(), key)))
                {
                    state.bindings.push(Bound { exchange, pattern, queue: name.clone() });
                }
                let permits = acknowledged.then(|| Arc::new(Semaphore::new(usize::from(prefetch).max(1))));
                Consuming { queue, name, permits, private_of: Some(Arc::downgrade(&self.shared)) }
            }
        };
        Consumer::new(consuming.incoming(stop.clone()), stop)
    }
}

impl State {
    /// The queue of that name, made when it is not there.
    fn queue(&mut self, name: &str, max_length: Option<u32>) -> Arc<Queue> {
        Arc::clone(self.queues.entry(name.to_owned()).or_insert_with(|| Arc::new(Queue::new(max_length))))
    }

    fn route(&self, target: &Target) -> Vec<Arc<Queue>> {
        match target {
            Target::Queue(name) => self.queues.get(name).cloned().into_iter().collect(),
            Target::Topic { exchange, key } => {
                let mut names: Vec<&str> = self
                    .bindings
                    .iter()
                    .filter(|bound| bound.exchange == *exchange && topic::matches(&bound.pattern, key))
                    .map(|bound| bound.queue.as_str())
                    .collect();
                names.sort_unstable();
                names.dedup();
                names.into_iter().filter_map(|name| self.queues.get(name).cloned()).collect()
            }
        }
    }

    fn remove(&mut self, name: &str) {
        self.queues.remove(name);
        self.bindings.retain(|bound| bound.queue != name);
    }
}

/// One consumer.
struct Consuming {
    queue: Arc<Queue>,
    name: String,
    /// One for each message that may be unacknowledged; `None`: no acknowledgements.
    permits: Option<Arc<Semaphore>>,
    /// The broker from which the queue is to be removed at the end.
    private_of: Option<Weak<Shared>>,
}

impl Consuming {
    fn incoming(self, stop: CancellationToken) -> BoxStream<'static, Incoming> {
        let established = Incoming::Established { queue: self.name.clone() };
        let deliveries = stream::unfold((self, stop), |(consuming, stop)| async move {
            if stop.is_cancelled() {
                // It keeps its queue until it is dropped.
                return std::future::pending().await;
            }
            let incoming = tokio::select! {
                () = stop.cancelled() => Incoming::Stopped,
                delivery = consuming.delivery() => Incoming::Delivery(Box::new(delivery)),
            };
            Some((incoming, (consuming, stop)))
        });
        stream::iter([established]).chain(deliveries).boxed()
    }

    async fn delivery(&self) -> Delivery {
        let permit = match &self.permits {
            None => None,
            // It is never closed.
            Some(permits) => Arc::clone(permits).acquire_owned().await.ok(),
        };
        let stored = self.queue.next().await;
        let (message, redelivered) = (stored.message.clone(), stored.redelivered);
        let acker = match permit {
            None => Acker::None,
            Some(permit) => Acker::Memory(Unacked::new(Arc::clone(&self.queue), stored, permit)),
        };
        Delivery { message, redelivered, acker }
    }
}

impl Drop for Consuming {
    fn drop(&mut self) {
        if let Some(shared) = self.private_of.take().and_then(|shared| shared.upgrade()) {
            lock(&shared.state).remove(&self.name);
        }
    }
}

/// No code panics while it holds one of these locks, so a poisoned one is still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
