//! The asking side: requests wait for replies on this process's own reply queue.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use contracts::{
    ErrorCode, TraceParent,
    queues::{Route, TRACEPARENT_HEADER, direct, parts},
};
use futures_util::future::join_all;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, MissedTickBehavior, interval, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    Bus,
    answer::{Answer, Body},
    broker::{Broker, Consumer, Guarantee, Incoming, QueueSpec, Target},
    cancel::{Canceller, Question},
    error::{PublishError, RequestError},
    message::{Headers, Message},
    names::Names,
    pending::{First, Pending, Reply, WINDOW},
    reply::ERROR_HEADER,
};

/// Replies are taken without acknowledgement, so this only sizes the buffer between the connection and the waiting.
const REPLY_BUFFER: u16 = 1024;
/// How often it is looked whether a replica is there that has requests which no other can answer.
const PROBE: Duration = Duration::from_millis(250);

/// What goes with a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestOptions<'a> {
    /// When the caller stops waiting. It travels as the message's expiry.
    pub deadline: Instant,
    /// The trace that the request belongs to.
    pub trace: Option<TraceParent>,
    /// The [address](crate::Presence::address) of the only replica that is to be asked. It is unroutable when that is gone.
    pub at: Option<&'a str>,
}

impl RequestOptions<'_> {
    /// A request to any replica that may take so long, outside any trace.
    pub fn within(patience: Duration) -> Self {
        Self { deadline: Instant::now() + patience, trace: None, at: None }
    }
}

pub(crate) struct Requester {
    pub(crate) pending: Arc<Pending>,
    reply_queue: watch::Receiver<Option<Arc<str>>>,
    ready: watch::Receiver<bool>,
    canceller: Canceller,
    _receiving: AbortOnDropHandle<()>,
    _probing: AbortOnDropHandle<()>,
}

impl Requester {
    pub(crate) fn start(broker: &Arc<Broker>, names: &Names, max_in_flight: usize) -> Self {
        let pending = Arc::new(Pending::new(max_in_flight));
        let (reply_queue, known_queue) = watch::channel(None);
        let (ready, is_ready) = watch::channel(false);
        let replies =
            broker.consume(QueueSpec::Private { bind: Vec::new(), acknowledged: false }, REPLY_BUFFER);
        let canceller = Canceller::start(broker, names);
        let receiving = receive(replies, Arc::clone(&pending), canceller.clone(), reply_queue, ready);
        let probing = tokio::spawn(probe(Arc::downgrade(broker), Arc::clone(&pending)));
        Self {
            pending,
            reply_queue: known_queue,
            ready: is_ready,
            canceller,
            _receiving: AbortOnDropHandle::new(tokio::spawn(receiving)),
            _probing: AbortOnDropHandle::new(probing),
        }
    }

    pub(crate) fn ready(&self) -> watch::Receiver<bool> {
        self.ready.clone()
    }
}

async fn receive(
    mut replies: Consumer,
    pending: Arc<Pending>,
    canceller: Canceller,
    reply_queue: watch::Sender<Option<Arc<str>>>,
    ready: watch::Sender<bool>,
) {
    while let Some(incoming) = replies.next().await {
        match incoming {
            Incoming::Established { queue } => {
                reply_queue.send_replace(Some(queue.into()));
                ready.send_replace(true);
            }
            Incoming::Lost => {
                ready.send_replace(false);
                reply_queue.send_replace(None);
                pending.fail_all();
            }
            Incoming::Stopped => {}
            Incoming::Delivery(delivery)
                if delivery.message.headers.get(parts::CONTROL) == Some(direct::PASSED_ON) =>
            {
                pending.passed_on(delivery.message);
            }
            Incoming::Delivery(delivery) => {
                if let (Some(unwanted), Some(queue)) =
                    (pending.settle(delivery.message), reply_queue.borrow().as_deref())
                {
                    canceller.decline(unwanted, queue);
                }
            }
        }
    }
}

/// Looks again and again whether the replicas are there that must be: what was sent to one of them is lost with it, and nobody
/// says so.
async fn probe(broker: Weak<Broker>, pending: Arc<Pending>) {
    let mut ticks = interval(PROBE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(broker) = broker.upgrade() else { return };
        let probes = pending.relied_on().into_iter().map(async |replica| {
            if is_gone(&broker, &replica).await {
                pending.lose(&replica);
            }
        });
        join_all(probes).await;
    }
}

/// Whether the broker says that there is no such replica.
async fn is_gone(broker: &Broker, replica: &str) -> bool {
    let message = Message {
        expiration: Some(PROBE),
        headers: [(parts::CONTROL, direct::PROBE.to_owned())].into(),
        ..Message::default()
    };
    let target = Target::Queue(replica.to_owned());
    let published = broker.publish(target, message, Guarantee::Routed).await;
    matches!(published, Err(PublishError::Unroutable { .. }))
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
        options: RequestOptions<'_>,
    ) -> Result<A, RequestError> {
        let (first, _) = self.measured(route, self.send(route, request, options, None)).await?;
        serde_json::from_slice(&first.message.body).map_err(RequestError::Malformed)
    }

    /// Asks whoever serves `route` and takes the answer in parts, as many as there are. Dropped at any time, those who work
    /// on it are told that nobody waits any more.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn ask<Q: Serialize, H: DeserializeOwned>(
        &self,
        route: Route,
        request: &Q,
        options: RequestOptions<'_>,
    ) -> Result<Answer<H>, RequestError> {
        let (first, question) =
            self.measured(route, self.send(route, request, options, Some(WINDOW))).await?;
        let Some(head) = first.message.headers.get(parts::HEAD) else {
            // From one who does not answer in parts, or has no result: all of it is in the head.
            let head = serde_json::from_slice(&first.message.body).map_err(RequestError::Malformed)?;
            return Ok(Answer { head, body: None });
        };
        let head = serde_json::from_str(head).map_err(RequestError::Malformed)?;
        let body = Body::new(first, question, options.deadline, Arc::clone(&self.broker));
        Ok(Answer { head, body: Some(body) })
    }

    /// Tells the replica at this [address](crate::Presence::address) something; returns once it has heeded it.
    ///
    /// # Errors
    /// [`RequestError`]; [`Timeout`](RequestError::Timeout) when it is in the replica's queue, and nothing more is known; [unroutable](PublishError::Unroutable) or [`Lost`](RequestError::Lost) when the replica is gone.
    pub async fn tell<N: Serialize>(
        &self,
        replica: &str,
        note: &N,
        deadline: Instant,
    ) -> Result<(), RequestError> {
        let letter = Letter {
            queue: replica.to_owned(),
            at: Some(replica.into()),
            body: serde_json::to_vec(note).map_err(RequestError::Unwritable)?,
            headers: [(parts::CONTROL, direct::NOTE.to_owned())].into(),
            canceller: None,
            expires: false,
        };
        self.exchange(letter, deadline).await.map(drop)
    }

    /// Whether the broker says that there is no replica at this [address](crate::Presence::address).
    pub async fn is_gone(&self, replica: &str) -> bool {
        is_gone(&self.broker, replica).await
    }

    /// How many requests of this process wait for their replies, or for the rest of them.
    pub fn in_flight(&self) -> usize {
        self.requester.pending.len()
    }

    async fn measured<T>(
        &self,
        route: Route,
        reply: impl Future<Output = Result<T, RequestError>>,
    ) -> Result<T, RequestError> {
        let started = Instant::now();
        let outcome = reply.await;
        let label = outcome.as_ref().map_or_else(outcome_label, |_| "ok");
        metrics::counter!("bus_requests_total", "queue" => route.requests, "outcome" => label).increment(1);
        metrics::histogram!("bus_request_seconds", "queue" => route.requests).record(started.elapsed());
        outcome
    }

    /// Sends a request and waits for the first message of its answer.
    async fn send<Q: Serialize>(
        &self,
        route: Route,
        request: &Q,
        options: RequestOptions<'_>,
        window: Option<usize>,
    ) -> Result<(First, Question), RequestError> {
        let mut headers = Headers::from([(direct::FOLLOWS, "1".to_owned())]);
        if let Some(trace) = options.trace {
            headers.set(TRACEPARENT_HEADER, trace.to_string());
        }
        if let Some(window) = window {
            headers.set(parts::WINDOW, window.to_string());
        }
        let letter = Letter {
            queue: options.at.map_or_else(|| self.names.queue(route.requests), str::to_owned),
            at: options.at.map(Into::into),
            body: serde_json::to_vec(request).map_err(RequestError::Unwritable)?,
            headers,
            canceller: window.map(|_| (self.requester.canceller.clone(), route)),
            expires: true,
        };
        self.exchange(letter, options.deadline).await
    }

    /// Publishes a letter and waits for the first message of its answer.
    async fn exchange(&self, letter: Letter, deadline: Instant) -> Result<(First, Question), RequestError> {
        let Letter { queue, at, body, headers, canceller, expires } = letter;
        let patience = deadline.saturating_duration_since(Instant::now());
        if patience.is_zero() {
            return Err(RequestError::Timeout);
        }
        let answering = at.as_deref().map(str::to_owned);
        // Registered before the queue's name is read: should the queue be lost in between, this request fails with it.
        let (waiter, mut reply) = self.requester.pending.register(at)?;
        let reply_to = self.requester.reply_queue.borrow().clone().ok_or(PublishError::Unavailable)?;
        let message = Message {
            body: body.into(),
            correlation_id: Some(waiter.id()),
            reply_to: Some(reply_to.as_ref().to_owned()),
            expiration: expires.then_some(patience),
            headers,
            persistent: false,
        };
        let mut question = Question::new(waiter, reply_to, canceller, answering);
        let published = self.broker.publish(Target::Queue(queue), message, Guarantee::Routed);
        let mut is_published = false;
        let waiting = async {
            tokio::pin!(published);
            tokio::select! {
                // The reply may overtake the broker's confirmation.
                reply = &mut reply => return settled(reply),
                confirmed = &mut published => {
                    if let Err(PublishError::Unroutable { .. }) = confirmed {
                        question.came_back();
                    }
                    confirmed?;
                    is_published = true;
                }
            }
            settled((&mut reply).await)
        };
        let first = match timeout_at(deadline, waiting).await {
            Ok(first) => first?,
            // As far as is known it has reached nobody.
            Err(_) if !is_published => return Err(PublishError::Unavailable.into()),
            Err(_) => return Err(self.broker.overdue()),
        };
        match first.message.headers.get(ERROR_HEADER) {
            None => Ok((first, question)),
            Some(code) => Err(RequestError::Rejected(error_code(code))),
        }
    }
}

/// What is sent, and to whom.
struct Letter {
    queue: String,
    /// The only replica that has this queue, if it is of one.
    at: Option<Arc<str>>,
    body: Vec<u8>,
    headers: Headers,
    /// Who tells that nobody waits any more.
    canceller: Option<(Canceller, Route)>,
    /// Whether it is worth nothing once nobody waits.
    expires: bool,
}

fn settled(reply: Result<Reply, oneshot::error::RecvError>) -> Reply {
    reply.unwrap_or(Err(RequestError::Publish(PublishError::Unavailable)))
}

pub(crate) fn error_code(text: &str) -> ErrorCode {
    serde_json::from_value(text.into()).unwrap_or(ErrorCode::Internal)
}

fn outcome_label(error: &RequestError) -> &'static str {
    match error {
        RequestError::Publish(PublishError::Unavailable) => "unavailable",
        RequestError::Publish(PublishError::Unroutable { .. }) => "unroutable",
        RequestError::Timeout => "timeout",
        RequestError::Lost => "lost",
        RequestError::Rejected(_) => "rejected",
        RequestError::Overloaded => "overloaded",
        RequestError::Malformed(_) | RequestError::Unwritable(_) => "malformed",
    }
}
