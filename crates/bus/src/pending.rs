//! The requests of this process that wait for their replies.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use contracts::queues::parts;
use metrics::gauge;
use tokio::sync::{mpsc, oneshot};

use crate::{
    error::{PublishError, RequestError},
    message::Message,
};

/// So many parts of an answer may be on their way before the asker has taken one.
pub(crate) const WINDOW: usize = 4;

const IN_FLIGHT: &str = "bus_requests_in_flight";

/// The first message of an answer, and where the further ones come from when it is not the only one.
pub(crate) struct First {
    pub(crate) message: Message,
    pub(crate) rest: Option<mpsc::Receiver<Message>>,
}

pub(crate) type Reply = Result<First, RequestError>;

/// Who waits for what, by the number that is the request's correlation id.
pub(crate) struct Pending {
    waiting: Mutex<Waiting>,
    max: usize,
}

#[derive(Default)]
struct Waiting {
    last_number: u64,
    by_number: HashMap<u64, Expected>,
}

enum Expected {
    First(oneshot::Sender<Reply>),
    /// Dropping the sender tells that no more will come.
    Rest {
        parts: mpsc::Sender<Message>,
        next: u32,
    },
}

/// A request that waits; dropped, it waits no more.
pub(crate) struct Waiter {
    number: u64,
    pending: Arc<Pending>,
}

impl Pending {
    pub(crate) fn new(max: usize) -> Self {
        Self { waiting: Mutex::default(), max }
    }

    pub(crate) fn register(self: &Arc<Self>) -> Result<(Waiter, oneshot::Receiver<Reply>), RequestError> {
        let (settle, reply) = oneshot::channel();
        let mut waiting = self.lock();
        if waiting.by_number.len() >= self.max {
            return Err(RequestError::Overloaded);
        }
        waiting.last_number += 1;
        let number = waiting.last_number;
        waiting.by_number.insert(number, Expected::First(settle));
        gauge!(IN_FLIGHT).increment(1);
        Ok((Waiter { number, pending: Arc::clone(self) }, reply))
    }

    /// Hands a reply to who waits for it; a reply that nobody waits for is too late.
    pub(crate) fn settle(&self, message: Message) {
        let number = message.correlation_id.as_deref().and_then(|id| id.parse().ok());
        let mut waiting = self.lock();
        let Some((number, expected)) = number.and_then(|number| waiting.by_number.remove_entry(&number))
        else {
            drop(waiting);
            return metrics::counter!("bus_late_replies_total").increment(1);
        };
        let last = message.headers.get(parts::NUMBER).is_none() || message.headers.get(parts::LAST).is_some();
        let further = match expected {
            Expected::First(waiter) if last => {
                // It may have stopped waiting just now.
                let _ = waiter.send(Ok(First { message, rest: None }));
                None
            }
            Expected::First(waiter) => {
                let (parts, rest) = mpsc::channel(WINDOW);
                let told = waiter.send(Ok(First { message, rest: Some(rest) }));
                told.is_ok().then_some(Expected::Rest { parts, next: 1 })
            }
            // Published twice, because its first publication was not confirmed.
            Expected::Rest { parts, next } if is_part(&message, |number| number < next) => {
                Some(Expected::Rest { parts, next })
            }
            Expected::Rest { parts, next } => {
                let sound = is_part(&message, |number| number == next) || is_error(&message);
                // More than was asked for, or another answer than the one that was begun: it is given up.
                let passed = sound && parts.try_send(message).is_ok();
                (passed && !last).then_some(Expected::Rest { parts, next: next + 1 })
            }
        };
        match further {
            Some(expected) => drop(waiting.by_number.insert(number, expected)),
            None => gauge!(IN_FLIGHT).decrement(1),
        }
    }

    /// No reply will come any more to any of them.
    pub(crate) fn fail_all(&self) {
        let failed = std::mem::take(&mut self.lock().by_number);
        gauge!(IN_FLIGHT).decrement(u32::try_from(failed.len()).unwrap_or(u32::MAX));
        for expected in failed.into_values() {
            if let Expected::First(waiter) = expected {
                let _ = waiter.send(Err(PublishError::Unavailable.into()));
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().by_number.len()
    }

    /// No code panics while it holds the lock, so a poisoned one is still good.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_part(message: &Message, expected: impl FnOnce(u32) -> bool) -> bool {
    message.headers.get(parts::NUMBER).and_then(|number| number.parse().ok()).is_some_and(expected)
}

fn is_error(message: &Message) -> bool {
    message.headers.get(parts::NUMBER).is_none()
}

impl Waiter {
    /// The request's correlation id. It is unique together with the reply queue, which each connection has anew.
    pub(crate) fn id(&self) -> String {
        self.number.to_string()
    }

    /// Stops waiting; false when the whole answer has come already.
    pub(crate) fn leave(&self) -> bool {
        let was_waiting = self.pending.lock().by_number.remove(&self.number).is_some();
        if was_waiting {
            gauge!(IN_FLIGHT).decrement(1);
        }
        was_waiting
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.leave();
    }
}
