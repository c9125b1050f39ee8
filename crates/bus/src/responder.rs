//! The answering side: takes requests off a shared queue and replies to each.

use std::{sync::Arc, time::Duration};

use contracts::{
    ErrorCode, TraceParent, json_place,
    queues::{Route, TRACEPARENT_HEADER},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    task::{JoinError, JoinSet},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Bus,
    broker::{Delivery, Incoming, Message, QueueSpec},
};

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
        let serving = Arc::new(Serving { bus: self.clone(), route, options, handler });
        let queue = QueueSpec::Shared(self.names.queue(route.requests));
        let mut requests = self.broker.consume(queue, options.concurrency);
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                incoming = requests.next() => match incoming {
                    Some(Incoming::Established { .. }) => serving.prepare().await,
                    Some(Incoming::Lost) => {}
                    Some(Incoming::Delivery(delivery)) => {
                        under_way.spawn(Arc::clone(&serving).answer(*delivery));
                    }
                    None => break,
                },
                Some(_) = under_way.join_next() => {}
            }
        }
        requests.stop();
        while under_way.join_next().await.is_some() {}
    }
}

struct Serving<H> {
    bus: Bus,
    route: Route,
    options: ServeOptions,
    handler: H,
}

/// What became of a request.
enum Outcome {
    Answered(Vec<u8>),
    Failed(ErrorCode, String),
    /// Its caller waits no more.
    Expired,
}

impl<H> Serving<H> {
    /// Declares the queue of the answers to callers without a reply queue.
    async fn prepare(&self) {
        let results = self.bus.names.queue(self.route.results);
        if let Err(error) = self.bus.broker.declare(&results, None).await {
            tracing::warn!(queue = results, %error, "cannot declare");
        }
    }

    async fn answer<Q, A, F>(self: Arc<Self>, delivery: Delivery)
    where
        Q: DeserializeOwned + Send + 'static,
        A: Serialize + Send + 'static,
        H: Fn(Q, Context) -> F + Send + Sync + 'static,
        F: Future<Output = A> + Send + 'static,
    {
        let started = Instant::now();
        let message = delivery.message;
        let deadline = started + message.expiration.unwrap_or(self.options.default_patience);
        let outcome = self.work(&message, deadline, delivery.redelivered).await;
        let label = match &outcome {
            Outcome::Answered(_) => "ok",
            Outcome::Failed(..) => "dead_letter",
            Outcome::Expired => "expired",
        };
        metrics::counter!("bus_served_total", "queue" => self.route.requests, "outcome" => label)
            .increment(1);
        metrics::histogram!("bus_serve_seconds", "queue" => self.route.requests).record(started.elapsed());
        match outcome {
            Outcome::Answered(body) => self.bus.reply(self.route, &message, deadline, body).await,
            Outcome::Failed(code, reason) => {
                self.bus.reply_error(self.route, &message, deadline, &code).await;
                if !self.bus.bury(self.route.requests, &message, &reason).await {
                    // Not acknowledged, so it is given to somebody again.
                    return;
                }
            }
            Outcome::Expired => {}
        }
        delivery.acker.ack().await;
    }

    async fn work<Q, A, F>(&self, message: &Message, deadline: Instant, redelivered: bool) -> Outcome
    where
        Q: DeserializeOwned,
        A: Serialize + Send + 'static,
        H: Fn(Q, Context) -> F,
        F: Future<Output = A> + Send + 'static,
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
        let trace = message.headers.get(TRACEPARENT_HEADER).and_then(|text| text.parse().ok());
        // A task of its own, so that a panic is seen here and ends nothing else; dropped at the deadline with the set.
        let mut work = JoinSet::new();
        work.spawn((self.handler)(request, Context { deadline, trace, redelivered }));
        match timeout_at(deadline, work.join_next()).await {
            Ok(Some(Ok(answer))) => match serde_json::to_vec(&answer) {
                Ok(body) => Outcome::Answered(body),
                Err(_) => {
                    Outcome::Failed(ErrorCode::Internal, "the answer cannot be written as JSON".to_owned())
                }
            },
            Ok(Some(Err(error))) => Outcome::Failed(ErrorCode::Internal, panic_message(error)),
            Ok(None) | Err(_) => Outcome::Expired,
        }
    }
}

fn panic_message(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(_) => "the handler panicked".to_owned(),
        Err(_) => "the handler was cancelled".to_owned(),
    }
}
