//! The asking side: requests wait for replies on this process's own reply queue.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use contracts::{
    ErrorCode, TraceParent,
    queues::{Route, TRACEPARENT_HEADER},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::{oneshot, watch},
    task::AbortHandle,
    time::{Instant, timeout_at},
};
use uuid::Uuid;

use crate::{
    Bus,
    broker::{Broker, Consumer, Guarantee, Incoming, Message, QueueSpec, Target},
    error::{PublishError, RequestError},
    reply::ERROR_HEADER,
};

/// Replies are taken without acknowledgement, so this only sizes the buffer between the connection and the waiting.
const REPLY_BUFFER: u16 = 1024;

/// What goes with a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestOptions {
    /// When the caller stops waiting. It travels as the message's expiry.
    pub deadline: Instant,
    /// The trace that the request belongs to.
    pub trace: Option<TraceParent>,
}

impl RequestOptions {
    /// A request that may take so long, outside any trace.
    pub fn within(patience: Duration) -> Self {
        Self { deadline: Instant::now() + patience, trace: None }
    }
}

type Reply = Result<Message, RequestError>;

/// The requests that wait for a reply, by correlation id.
struct Pending {
    waiting: Mutex<HashMap<String, oneshot::Sender<Reply>>>,
    max: usize,
}

pub(crate) struct Requester {
    pending: Arc<Pending>,
    reply_queue: watch::Receiver<Option<String>>,
    ready: watch::Receiver<bool>,
    receiving: AbortHandle,
}

impl Requester {
    pub(crate) fn start(broker: &Broker, max_in_flight: usize) -> Self {
        let pending = Arc::new(Pending { waiting: Mutex::default(), max: max_in_flight });
        let (reply_queue, known_queue) = watch::channel(None);
        let (ready, is_ready) = watch::channel(false);
        let replies = broker.consume(QueueSpec::Private { bind: None }, REPLY_BUFFER);
        let receiving =
            tokio::spawn(receive(replies, Arc::clone(&pending), reply_queue, ready)).abort_handle();
        Self { pending, reply_queue: known_queue, ready: is_ready, receiving }
    }

    pub(crate) fn ready(&self) -> watch::Receiver<bool> {
        self.ready.clone()
    }
}

impl Drop for Requester {
    fn drop(&mut self) {
        self.receiving.abort();
    }
}

async fn receive(
    mut replies: Consumer,
    pending: Arc<Pending>,
    reply_queue: watch::Sender<Option<String>>,
    ready: watch::Sender<bool>,
) {
    while let Some(incoming) = replies.next().await {
        match incoming {
            Incoming::Established { queue } => {
                reply_queue.send_replace(Some(queue));
                ready.send_replace(true);
            }
            Incoming::Lost => {
                ready.send_replace(false);
                reply_queue.send_replace(None);
                pending.fail_all();
            }
            Incoming::Delivery(delivery) => pending.settle(delivery.message),
        }
    }
}

impl Bus {
    /// Asks whoever serves `route` and waits for the reply.
    ///
    /// # Errors
    /// [`RequestError`]; at the latest at the deadline, and at once when the broker is away or lost meanwhile.
    pub async fn request<Q: Serialize, A: DeserializeOwned>(
        &self,
        route: Route,
        request: &Q,
        options: RequestOptions,
    ) -> Result<A, RequestError> {
        let started = Instant::now();
        let outcome = self.ask(route, request, options).await;
        let label = outcome.as_ref().map_or_else(outcome_label, |_| "ok");
        metrics::counter!("bus_requests_total", "queue" => route.requests, "outcome" => label).increment(1);
        metrics::histogram!("bus_request_seconds", "queue" => route.requests).record(started.elapsed());
        let reply = outcome?;
        serde_json::from_slice(&reply.body).map_err(RequestError::Malformed)
    }

    async fn ask<Q: Serialize>(
        &self,
        route: Route,
        request: &Q,
        options: RequestOptions,
    ) -> Result<Message, RequestError> {
        let body = serde_json::to_vec(request).map_err(RequestError::Unwritable)?;
        let patience = options.deadline.saturating_duration_since(Instant::now());
        if patience.is_zero() {
            return Err(RequestError::Timeout);
        }
        // Registered before the queue's name is read: should the queue be lost in between, this request fails with it.
        let mut waiter = self.requester.pending.register()?;
        let reply_to = self.requester.reply_queue.borrow().clone().ok_or(PublishError::Unavailable)?;
        let message = Message {
            body: body.into(),
            correlation_id: Some(waiter.id.clone()),
            reply_to: Some(reply_to),
            expiration: Some(patience),
            headers: options
                .trace
                .map(|trace| (TRACEPARENT_HEADER.to_owned(), trace.to_string()))
                .into_iter()
                .collect(),
            persistent: false,
        };
        let published =
            self.broker.publish(Target::Queue(self.names.queue(route.requests)), message, Guarantee::Routed);
        let reply = async {
            tokio::pin!(published);
            tokio::select! {
                // The reply may overtake the broker's confirmation.
                reply = &mut waiter.reply => return settled(reply),
                confirmed = &mut published => confirmed?,
            }
            settled((&mut waiter.reply).await)
        };
        let reply = timeout_at(options.deadline, reply).await.map_err(|_| RequestError::Timeout)??;
        match reply.headers.get(ERROR_HEADER) {
            None => Ok(reply),
            Some(code) => Err(RequestError::Rejected(error_code(code))),
        }
    }
}

fn settled(reply: Result<Reply, oneshot::error::RecvError>) -> Reply {
    reply.unwrap_or(Err(RequestError::Publish(PublishError::Unavailable)))
}

fn error_code(text: &str) -> ErrorCode {
    serde_json::from_value(text.into()).unwrap_or(ErrorCode::Internal)
}

fn outcome_label(error: &RequestError) -> &'static str {
    match error {
        RequestError::Publish(PublishError::Unavailable) => "unavailable",
        RequestError::Publish(PublishError::Unroutable { .. }) => "unroutable",
        RequestError::Timeout => "timeout",
        RequestError::Rejected(_) => "rejected",
        RequestError::Overloaded => "overloaded",
        RequestError::Malformed(_) | RequestError::Unwritable(_) => "malformed",
    }
}

/// A request that waits; dropped, it waits no more.
struct Waiter {
    id: String,
    reply: oneshot::Receiver<Reply>,
    pending: Arc<Pending>,
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.pending.lock().remove(&self.id);
    }
}

impl Pending {
    fn register(self: &Arc<Self>) -> Result<Waiter, RequestError> {
        let id = Uuid::new_v4().to_string();
        let (settle, reply) = oneshot::channel();
        let mut waiting = self.lock();
        if waiting.len() >= self.max {
            return Err(RequestError::Overloaded);
        }
        waiting.insert(id.clone(), settle);
        Ok(Waiter { id, reply, pending: Arc::clone(self) })
    }

    /// Hands a reply to who waits for it; a reply that nobody waits for is too late.
    fn settle(&self, message: Message) {
        let waiter = message.correlation_id.as_deref().and_then(|id| self.lock().remove(id));
        match waiter {
            Some(waiter) => drop(waiter.send(Ok(message))),
            None => metrics::counter!("bus_late_replies_total").increment(1),
        }
    }

    fn fail_all(&self) {
        for (_, waiter) in self.lock().drain() {
            // It may have stopped waiting just now.
            let _ = waiter.send(Err(PublishError::Unavailable.into()));
        }
    }

    /// No code panics while it holds the lock, so a poisoned one is still good.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, oneshot::Sender<Reply>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
