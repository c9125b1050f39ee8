//! What askers say while their requests are worked on: that they take more, or that they have gone.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use contracts::queues::{Route, parts};
use metrics::Gauge;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::message::Message;

/// So many cancellations of requests that are not here are remembered: they may have overtaken their requests.
const EARLY: usize = 1024;
/// An asker that would take more parts at once is sent so many.
const MAX_WINDOW: usize = 64;

/// A request, told apart from all others on the broker: the asker's reply queue and the correlation id.
type Key = (String, String);

/// The requests that are worked on here, by who may say something of them.
pub(crate) struct Underway {
    state: Mutex<State>,
    /// How many requests this process works on, on all of its queues.
    count: Arc<AtomicUsize>,
    /// The same of this queue, for operators.
    gauge: Gauge,
}

#[derive(Default)]
struct State {
    requests: HashMap<Key, Arc<Controls>>,
    early: HashSet<Key>,
    early_order: VecDeque<Key>,
}

/// What an asker has said of its request.
pub(crate) struct Controls {
    pub(crate) cancelled: CancellationToken,
    /// One permit for each part that may be sent.
    pub(crate) window: Semaphore,
}

/// A request that is worked on; dropped, nothing more is heard of it.
pub(crate) struct Entry {
    pub(crate) controls: Arc<Controls>,
    underway: Arc<Underway>,
    key: Option<Key>,
}

impl Underway {
    pub(crate) fn new(route: Route, count: &Arc<AtomicUsize>) -> Arc<Self> {
        let count = Arc::clone(count);
        let gauge = metrics::gauge!("bus_serving", "queue" => route.requests);
        Arc::new(Self { state: Mutex::default(), count, gauge })
    }

    /// Begins to work on a request. One that was given to this process before is worked on once only: should the earlier work
    /// go on, its parts would get among those of the new one.
    pub(crate) fn enter(self: &Arc<Self>, request: &Message, redelivered: bool) -> Entry {
        let window = request.headers.get(parts::WINDOW).and_then(|window| window.parse().ok());
        let window = window.unwrap_or(0).min(MAX_WINDOW);
        let controls =
            Arc::new(Controls { cancelled: CancellationToken::new(), window: Semaphore::new(window) });
        let key = request.reply_to.clone().zip(request.correlation_id.clone());
        if let Some(key) = &key {
            let mut state = self.lock();
            if state.early.remove(key) {
                controls.cancelled.cancel();
            }
            let earlier = state.requests.insert(key.clone(), Arc::clone(&controls));
            if let Some(earlier) = earlier.filter(|_| redelivered) {
                earlier.cancelled.cancel();
            }
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.gauge.increment(1);
        Entry { controls, underway: Arc::clone(self), key }
    }

    /// Heeds what an asker says of its request: that it takes more, or has gone.
    pub(crate) fn obey(&self, message: Message) {
        let Some(key) = message.reply_to.zip(message.correlation_id) else { return };
        let cancel = message.headers.get(parts::CONTROL) == Some(parts::CANCEL);
        let mut state = self.lock();
        match state.requests.get(&key) {
            Some(controls) if cancel => controls.cancelled.cancel(),
            Some(controls) => controls.window.add_permits(1),
            None if cancel => state.remember(key),
            // The last part has been sent.
            None => {}
        }
    }

    /// No code panics while it holds the lock, so a poisoned one is still good.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Every replica hears of every cancellation, so most of these are of requests that another one works on.
    fn remember(&mut self, key: Key) {
        if !self.early.insert(key.clone()) {
            return;
        }
        if self.early_order.len() >= EARLY
            && let Some(oldest) = self.early_order.pop_front()
        {
            self.early.remove(&oldest);
        }
        self.early_order.push_back(key);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.underway.count.fetch_sub(1, Ordering::Relaxed);
        self.underway.gauge.decrement(1);
        let Some(key) = self.key.take() else { return };
        let mut state = self.underway.lock();
        // Where the request was delivered again, the entry is that of the newer work.
        if state.requests.get(&key).is_some_and(|controls| Arc::ptr_eq(controls, &self.controls)) {
            state.requests.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTE: Route = Route { requests: "requests", results: "results" };

    fn message(control: Option<&str>) -> Message {
        let mut message = Message {
            correlation_id: Some("1".to_owned()),
            reply_to: Some("asker".to_owned()),
            ..Message::default()
        };
        if let Some(control) = control {
            message.headers.set(parts::CONTROL, control);
        }
        message
    }

    #[test]
    fn a_request_that_is_delivered_again_takes_the_place_of_the_earlier_work() {
        let underway = Underway::new(ROUTE, &Arc::default());
        let earlier = underway.enter(&message(None), false);
        let again = underway.enter(&message(None), true);
        assert!(earlier.controls.cancelled.is_cancelled());
        assert!(!again.controls.cancelled.is_cancelled());
        drop(earlier);
        underway.obey(message(Some(parts::MORE)));
        assert_eq!(again.controls.window.available_permits(), 1, "the asker is still heard");
        drop(again);
        assert!(underway.lock().requests.is_empty());
    }

    #[test]
    fn a_cancellation_may_overtake_its_request() {
        let underway = Underway::new(ROUTE, &Arc::default());
        underway.obey(message(Some(parts::CANCEL)));
        assert!(underway.enter(&message(None), false).controls.cancelled.is_cancelled());
        assert!(!underway.enter(&message(None), false).controls.cancelled.is_cancelled(), "once only");
    }
}
