//! The answering side: takes requests off a shared queue and replies to each.

mod own_queue;

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use contracts::{
    ErrorCode, TraceParent, json_place,
    queues::{Route, TRACEPARENT_HEADER, parts},
};
use futures_util::FutureExt;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Bus, Presence,
    broker::{Acker, Consumer, Delivery, Incoming, QueueSpec},
    control::Underway,
    error::PublishError,
    message::Message,
    presence::ECHO,
    reply::{Due, Outgoing, Reply},
};
use own_queue::said;

/// How long the broker may take at the end to keep a message that could not be handled.
const AT_THE_END: Duration = Duration::from_secs(5);

/// How requests are served.
#[derive(Clone, Copy, Debug)]
pub struct ServeOptions {
    /// So many requests are worked on at once; more wait on the broker, where another replica may take them.
    pub concurrency: u16,
    /// How long a request without an expiry is worked on.
    pub default_patience: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self { concurrency: 256, default_patience: Duration::from_secs(30) }
    }
}

/// What a handler knows beside the request.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The work is dropped at this time, because nobody waits for it any longer.
    pub deadline: Instant,
    /// The trace that the request belongs to.
    pub trace: Option<TraceParent>,
    /// Whether it was given to a process before, which was lost or gave it back.
    pub redelivered: bool,
    /// Whether the asker takes its answer in parts.
    pub takes_parts: bool,
    /// Whether it was sent to this replica alone, which is to answer it and not to pass it on.
    pub is_direct: bool,
}

impl Bus {
    /// Answers requests of `route` with `handler` until `shutdown`, then finishes those under way.
    ///
    /// A message that is no `Q` and one whose handler panics go to the dead letters, and their callers are told at once.
    pub async fn serve<Q, A, H, F>(
        &self,
        route: Route,
        options: ServeOptions,
        shutdown: CancellationToken,
        handler: H,
    ) where
        Q: DeserializeOwned + Send + 'static,
        A: Serialize + Send + 'static,
        H: Fn(Q, Context) -> F + Send + Sync + 'static,
        F: Future<Output = A> + Send + 'static,
    {
        let handler = move |request, context| handler(request, context).map(Reply::Whole);
        let presence = Presence::default();
        presence.leave();
        self.answer_all(Serving::new(self, route, options, shutdown, handler, presence), None).await;
    }

    /// As [`serve`](Self::serve), for answers that may come in parts. A handler whose asker has gone is dropped at once.
    pub async fn serve_in_parts<Q, A, H, F>(
        &self,
        route: Route,
        options: ServeOptions,
        shutdown: CancellationToken,
        handler: H,
    ) where
        Q: DeserializeOwned + Send + 'static,
        A: Serialize + Send + 'static,
        H: Fn(Q, Context) -> F + Send + Sync + 'static,
        F: Future<Output = Reply<A>> + Send + 'static,
    {
        let presence = Presence::default();
        presence.leave();
        self.serve_present(route, options, presence, shutdown, handler).await;
    }

    /// The same for a replica that others reach by its [`Presence`]: requests that are sent there are answered as well, also after
    /// `shutdown` until it [has left](Presence::leave).
    pub async fn serve_present<Q, A, H, F>(
        &self,
        route: Route,
        options: ServeOptions,
        presence: Presence,
        shutdown: CancellationToken,
        handler: H,
    ) where
        Q: DeserializeOwned + Send + 'static,
        A: Serialize + Send + 'static,
        H: Fn(Q, Context) -> F + Send + Sync + 'static,
        F: Future<Output = Reply<A>> + Send + 'static,
    {
        let own = self.listen(route, &presence);
        let serving = Serving::new(self, route, options, shutdown, handler, presence);
        self.answer_all(serving, Some(own)).await;
    }

    /// How many requests this process works on, or has answers of that are not sent yet.
    pub fn serving(&self) -> usize {
        self.serving.load(Ordering::Relaxed)
    }

    async fn answer_all<Q, A, H, F>(&self, serving: Serving<H>, mut own: Option<Consumer>)
    where
        Q: DeserializeOwned + Send + 'static,
        A: Serialize + Send + 'static,
        H: Fn(Q, Context) -> F + Send + Sync + 'static,
        F: Future<Output = Reply<A>> + Send + 'static,
    {
        let serving = Arc::new(serving);
        // So that the first one is an increase.
        metrics::counter!("bus_dead_letters_total", "queue" => serving.route.requests).absolute(0);
        let queue = QueueSpec::Shared(self.names.queue(serving.route.requests));
        let mut requests = self.broker.consume(queue, serving.options.concurrency);
        let mut echoes = interval(ECHO);
        echoes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                () = serving.shutdown.cancelled() => break,
                incoming = requests.next() => match incoming {
                    Some(Incoming::Established { .. }) => drop(under_way.spawn(Arc::clone(&serving).prepare())),
                    Some(Incoming::Lost | Incoming::Stopped) => {}
                    Some(Incoming::Delivery(delivery)) => {
                        under_way.spawn(Arc::clone(&serving).answer(*delivery, false));
                    }
                    None => break,
                },
                Some(incoming) = said(&mut own) => serving.hear(incoming, &mut under_way),
                _ = echoes.tick(), if own.is_some() => serving.say_something(&mut under_way),
                Some(_) = under_way.join_next() => {}
            }
        }
        for delivery in requests.stop().await {
            under_way.spawn(Arc::clone(&serving).answer(delivery, false));
        }
        // What is under way is still spoken of, and who does not know better still sends requests to this replica.
        let left = serving.presence.left();
        while !left.is_cancelled() || !under_way.is_empty() {
            tokio::select! {
                Some(incoming) = said(&mut own) => serving.hear(incoming, &mut under_way),
                _ = echoes.tick(), if !left.is_cancelled() => serving.say_something(&mut under_way),
                Some(_) = under_way.join_next() => {}
                () = left.cancelled(), if !left.is_cancelled() => {}
            }
        }
    }
}

struct Serving<H> {
    bus: Bus,
    route: Route,
    options: ServeOptions,
    shutdown: CancellationToken,
    handler: H,
    underway: Arc<Underway>,
    presence: Presence,
}

/// What became of a request.
enum Outcome {
    Answered(Vec<u8>),
    InParts(String, Outgoing),
    /// To be answered by another replica, or else by this.
    PassedOn(String, Vec<u8>),
    Failed(ErrorCode, String),
    /// Its caller waits no more.
    Expired,
}

impl Outcome {
    fn label(&self) -> &'static str {
        match self {
            Self::Answered(_) | Self::InParts(..) => "ok",
            Self::PassedOn(..) => "passed_on",
            Self::Failed(..) => "dead_letter",
            Self::Expired => "expired",
        }
    }
}

impl<H> Serving<H> {
    fn new(
        bus: &Bus,
        route: Route,
        options: ServeOptions,
        shutdown: CancellationToken,
        handler: H,
        presence: Presence,
    ) -> Self {
        let underway = Underway::new(route, &bus.serving);
        Self { bus: bus.clone(), route, options, shutdown, handler, underway, presence }
    }

    /// Ends when nothing more is waited for.
    async fn ending(&self) {
        self.shutdown.cancelled().await;
        sleep(AT_THE_END).await;
    }

    /// Declares the queue of the answers to callers without a reply queue.
    async fn prepare(self: Arc<Self>) {
        let results = self.bus.names.queue(self.route.results);
        let declared = self.shutdown.run_until_cancelled(self.bus.broker.declare(&results, None));
        if let Some(Err(error)) = declared.await {
            tracing::warn!(queue = results, %error, "cannot declare");
        }
    }

    fn due<'a>(&self, request: &'a Message) -> Due<'a> {
        let patience = request.expiration.unwrap_or(self.options.default_patience);
        Due { route: self.route, request, deadline: Instant::now() + patience }
    }

    async fn answer<Q, A, F>(self: Arc<Self>, delivery: Delivery, is_direct: bool)
    where
        Q: DeserializeOwned + Send + 'static,
        A: Serialize + Send + 'static,
        H: Fn(Q, Context) -> F + Send + Sync + 'static,
        F: Future<Output = Reply<A>> + Send + 'static,
    {
        let started = Instant::now();
        let message = delivery.message;
        let deadline = started + message.expiration.unwrap_or(self.options.default_patience);
        let entry = self.underway.enter(&message, delivery.redelivered);
        let cancelled = &entry.controls.cancelled;
        let context = Context {
            deadline,
            trace: message.headers.get(TRACEPARENT_HEADER).and_then(|text| text.parse().ok()),
            redelivered: delivery.redelivered,
            takes_parts: message.reply_to.is_some() && message.headers.get(parts::WINDOW).is_some(),
            is_direct,
        };
        let working = timeout_at(deadline, self.work(&message, context));
        let outcome = tokio::select! {
            biased;
            () = cancelled.cancelled() => Outcome::Expired,
            outcome = working => outcome.unwrap_or(Outcome::Expired),
        };
        metrics::counter!("bus_served_total", "queue" => self.route.requests, "outcome" => outcome.label())
            .increment(1);
        metrics::histogram!("bus_serve_seconds", "queue" => self.route.requests).record(started.elapsed());
        let due = Due { route: self.route, request: &message, deadline };
        match outcome {
            Outcome::Answered(body) => self.bus.reply(due, body).await,
            Outcome::InParts(head, result) => {
                let sending = self.bus.reply_in_parts(due, head, result, &self.presence, &entry.controls);
                tokio::select! {
                    biased;
                    () = cancelled.cancelled() => {}
                    // At the deadline the asker knows by itself that nothing more comes.
                    _ = timeout_at(deadline, sending) => {}
                }
            }
            Outcome::PassedOn(to, otherwise) => match self.bus.pass_on(due, to).await {
                Ok(()) => {}
                Err(PublishError::Unroutable { .. }) => self.bus.reply(due, otherwise).await,
                Err(PublishError::Unavailable) => self.bus.reply_error(due, &ErrorCode::Unavailable).await,
            },
            Outcome::Failed(code, reason) => {
                self.bus.reply_error(due, &code).await;
                let kept = tokio::select! {
                    biased;
                    kept = self.bury(&message, &reason, &delivery.acker) => kept,
                    () = self.ending() => false,
                };
                if !kept {
                    // Not acknowledged, so it is given to somebody again.
                    return;
                }
            }
            Outcome::Expired => {}
        }
        drop(entry);
        delivery.acker.ack();
    }

    /// Waits until the broker keeps the message; false when it is given to somebody again anyway.
    async fn bury(&self, message: &Message, reason: &str, acker: &Acker) -> bool {
        loop {
            if self.bus.bury(self.route.requests, message, reason).await {
                return true;
            }
            if acker.is_lost() {
                return false;
            }
        }
    }

    async fn work<Q, A, F>(&self, message: &Message, context: Context) -> Outcome
    where
        Q: DeserializeOwned,
        A: Serialize + Send + 'static,
        H: Fn(Q, Context) -> F,
        F: Future<Output = Reply<A>> + Send + 'static,
    {
        let request: Q = match serde_json::from_slice(&message.body) {
            Ok(request) => request,
            Err(error) => {
                return Outcome::Failed(
                    ErrorCode::BadRequest,
                    format!("not a request: {}", json_place(&error)),
                );
            }
        };
        // A panic is seen here and ends nothing else. What the handler leaves half done is its own and dropped with it.
        let work = AssertUnwindSafe(async { (self.handler)(request, context).await });
        let written = match work.catch_unwind().await {
            Ok(Reply::Whole(answer)) => serde_json::to_vec(&answer).map(Outcome::Answered),
            Ok(Reply::InParts { head, result }) => {
                serde_json::to_string(&head).map(|head| Outcome::InParts(head, result))
            }
            Ok(Reply::PassOn { to, otherwise }) => {
                serde_json::to_vec(&otherwise).map(|otherwise| Outcome::PassedOn(to, otherwise))
            }
            Err(_) => return Outcome::Failed(ErrorCode::Internal, "the handler panicked".to_owned()),
        };
        let unwritable =
            |_| Outcome::Failed(ErrorCode::Internal, "the answer cannot be written as JSON".to_owned());
        written.unwrap_or_else(unwritable)
    }
}
