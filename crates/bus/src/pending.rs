//! The requests of this process that wait for their replies.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use contracts::queues::parts;
use metrics::gauge;
use tokio::sync::{mpsc, oneshot};

use crate::{
    error::{PublishError, RequestError},
    message::Message,
    reply::ERROR_HEADER,
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
    by_number: HashMap<u64, Entry>,
}

struct Entry {
    expected: Expected,
    /// The queue of the replica that works on it, where it is known that no other one does.
    at: Option<Arc<str>>,
}

enum Expected {
    First(oneshot::Sender<Reply>),
    /// Dropping the sender tells that no more will come.
    Rest {
        parts: mpsc::Sender<Message>,
        next: u32,
        /// Of which answer.
        answer: Option<String>,
    },
    /// Nothing: it was told that the answer, or the rest of it, will not come. Whoever answers may not know.
    Nothing,
}

/// A request that waits; dropped, it waits no more.
pub(crate) struct Waiter {
    number: u64,
    pending: Arc<Pending>,
}

/// What there still was to wait for.
pub(crate) enum Left {
    /// Nothing: the whole answer has come.
    Answered,
    /// The answer, or the rest of it.
    Waiting,
    /// It was told that no more will come; who works on the request now is not known.
    GivenUp,
}

impl Pending {
    pub(crate) fn new(max: usize) -> Self {
        Self { waiting: Mutex::default(), max }
    }

    /// Expects the answer to a request that is sent to one replica alone, or to all that share a queue.
    pub(crate) fn register(
        self: &Arc<Self>,
        at: Option<Arc<str>>,
    ) -> Result<(Waiter, oneshot::Receiver<Reply>), RequestError> {
        let (settle, reply) = oneshot::channel();
        let mut waiting = self.lock();
        if waiting.by_number.len() >= self.max {
            return Err(RequestError::Overloaded);
        }
        waiting.last_number += 1;
        let number = waiting.last_number;
        waiting.by_number.insert(number, Entry { expected: Expected::First(settle), at });
        gauge!(IN_FLIGHT).increment(1);
        Ok((Waiter { number, pending: Arc::clone(self) }, reply))
    }

    /// Hands a reply to who waits for it. A reply that nobody waits for is too late, and given back.
    pub(crate) fn settle(&self, message: Message) -> Option<Message> {
        let number = message.correlation_id.as_deref().and_then(|id| id.parse().ok());
        let mut waiting = self.lock();
        let found = number.and_then(|number| waiting.by_number.remove_entry(&number));
        let Some((number, Entry { expected, at })) = found else {
            drop(waiting);
            metrics::counter!("bus_late_replies_total").increment(1);
            return Some(message);
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
                let answer = message.headers.get(parts::ANSWER).map(str::to_owned);
                let told = waiter.send(Ok(First { message, rest: Some(rest) }));
                told.is_ok().then_some(Expected::Rest { parts, next: 1, answer })
            }
            Expected::Rest { parts, next, answer } => {
                let number = number_in(&message, answer.as_deref());
                if number.is_some_and(|number| number < next) {
                    // Published twice, because its first publication was not confirmed.
                    Some(Expected::Rest { parts, next, answer })
                } else if (number == Some(next) || is_error(&message)) && parts.try_send(message).is_ok() {
                    (!last).then_some(Expected::Rest { parts, next: next + 1, answer })
                } else {
                    // More than was asked for, or another answer than the one that was begun.
                    Some(Expected::Nothing)
                }
            }
            Expected::Nothing => Some(Expected::Nothing),
        };
        match further {
            Some(expected) => drop(waiting.by_number.insert(number, Entry { expected, at })),
            None => gauge!(IN_FLIGHT).decrement(1),
        }
        None
    }

    /// No reply will come any more to any of them.
    pub(crate) fn fail_all(&self) {
        for entry in self.lock().by_number.values_mut() {
            entry.fail(PublishError::Unavailable.into());
        }
    }

    /// Learns that only the replica with this queue works on a request.
    pub(crate) fn passed_on(&self, message: Message) {
        let number: Option<u64> = message.correlation_id.as_deref().and_then(|id| id.parse().ok());
        let mut waiting = self.lock();
        // The answer may have come first.
        let entry = number.and_then(|number| waiting.by_number.get_mut(&number));
        if let (Some(entry), Some(queue)) = (entry, message.reply_to) {
            entry.at = Some(queue.into());
        }
    }

    /// The queues of the replicas that have not begun to answer requests which no other can answer.
    pub(crate) fn relied_on(&self) -> HashSet<Arc<str>> {
        let waiting = self.lock();
        let unanswered = waiting.by_number.values().filter(|entry| entry.expected.is_first());
        unanswered.filter_map(|entry| entry.at.clone()).collect()
    }

    /// The replica is gone, and what it had not begun to answer with it.
    pub(crate) fn lose(&self, replica: &str) {
        for entry in self.lock().by_number.values_mut() {
            if entry.expected.is_first() && entry.at.as_deref() == Some(replica) {
                entry.fail(RequestError::Lost);
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

impl Expected {
    fn is_first(&self) -> bool {
        matches!(self, Self::First(_))
    }
}

impl Entry {
    /// Tells whoever waits that no answer, or no more of it, will come.
    fn fail(&mut self, error: RequestError) {
        if let Expected::First(waiter) = std::mem::replace(&mut self.expected, Expected::Nothing) {
            let _ = waiter.send(Err(error));
        }
    }
}

/// Which part of this answer it is, if it is one.
fn number_in(message: &Message, answer: Option<&str>) -> Option<u32> {
    let is_of_it = message.headers.get(parts::ANSWER) == answer;
    message.headers.get(parts::NUMBER).filter(|_| is_of_it).and_then(|number| number.parse().ok())
}

fn is_error(message: &Message) -> bool {
    message.headers.get(ERROR_HEADER).is_some()
}

impl Waiter {
    /// The request's correlation id. It is unique together with the reply queue, which each connection has anew.
    pub(crate) fn id(&self) -> String {
        self.number.to_string()
    }

    /// Stops waiting.
    pub(crate) fn leave(&self) -> Left {
        let Some(entry) = self.pending.lock().by_number.remove(&self.number) else {
            return Left::Answered;
        };
        gauge!(IN_FLIGHT).decrement(1);
        match entry.expected {
            Expected::First(_) | Expected::Rest { .. } => Left::Waiting,
            Expected::Nothing => Left::GivenUp,
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.leave();
    }
}
