//! One queue.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit},
    time::Instant,
};

use super::lock;
use crate::message::Message;

pub(super) struct Queue {
    messages: Mutex<VecDeque<Stored>>,
    arrived: Notify,
    max_length: Option<u32>,
}

pub(super) struct Stored {
    pub(super) message: Message,
    pub(super) redelivered: bool,
    expires_at: Option<Instant>,
}

impl Queue {
    pub(super) fn new(max_length: Option<u32>) -> Self {
        Self { messages: Mutex::default(), arrived: Notify::new(), max_length }
    }

    pub(super) fn push(&self, message: Message) {
        let expires_at = message.expiration.map(|expiration| Instant::now() + expiration);
        let mut messages = lock(&self.messages);
        messages.push_back(Stored { message, redelivered: false, expires_at });
        if self.max_length.is_some_and(|max| messages.len() > max as usize) {
            messages.pop_front();
        }
        drop(messages);
        self.arrived.notify_one();
    }

    /// Drops the oldest messages beyond `max`; how many those were.
    pub(super) fn trim(&self, max: u32) -> u32 {
        let mut messages = lock(&self.messages);
        let surplus = messages.len().saturating_sub(max as usize);
        messages.drain(..surplus);
        u32::try_from(surplus).unwrap_or(u32::MAX)
    }

    /// The oldest message that has not expired, if there is one.
    pub(super) fn pop(&self) -> Option<Stored> {
        let now = Instant::now();
        let mut messages = lock(&self.messages);
        while let Some(stored) = messages.pop_front() {
            if stored.expires_at.is_none_or(|at| at > now) {
                if !messages.is_empty() {
                    // One permit may stand for several arrivals: wake the next consumer.
                    self.arrived.notify_one();
                }
                return Some(stored);
            }
        }
        None
    }

    /// Waits for the oldest message that has not expired.
    pub(super) async fn next(&self) -> Stored {
        loop {
            if let Some(stored) = self.pop() {
                return stored;
            }
            self.arrived.notified().await;
        }
    }

    fn give_back(&self, stored: Stored) {
        lock(&self.messages).push_front(Stored { redelivered: true, ..stored });
        self.arrived.notify_one();
    }
}

/// A delivered message that is not acknowledged yet. Dropped, it goes back to the head of its queue.
pub(crate) struct Unacked {
    queue: Arc<Queue>,
    stored: Option<Stored>,
    _permit: OwnedSemaphorePermit,
}

impl Unacked {
    pub(super) fn new(queue: Arc<Queue>, stored: Stored, permit: OwnedSemaphorePermit) -> Self {
        Self { queue, stored: Some(stored), _permit: permit }
    }

    pub(crate) fn ack(mut self) {
        self.stored = None;
    }
}

impl Drop for Unacked {
    fn drop(&mut self) {
        if let Some(stored) = self.stored.take() {
            self.queue.give_back(stored);
        }
    }
}
