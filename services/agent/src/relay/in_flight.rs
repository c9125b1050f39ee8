//! The requests that are being answered.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use contracts::{ErrorCode, agent::Request, query::Command};
use tokio::{
    sync::Semaphore,
    task::{AbortHandle, JoinSet},
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message;
use tracing::Instrument;
use uuid::Uuid;

use super::{
    pack::{pack, send_error, send_result},
    socket::Outbox,
};
use crate::cluster::{Cluster, QueryError};

/// So many requests are answered at once; further ones are told to come later. What they hold in memory is bounded apart.
const MAX_ANSWERED: usize = 128;
/// So many are known at once, refused ones included; further ones are left to their deadline.
const MAX_KNOWN: usize = 2 * MAX_ANSWERED;
/// Nobody waits longer, whatever a request says.
const MAX_DEADLINE: Duration = Duration::from_secs(300);
/// No more parts are sent ahead, whatever is said.
const MAX_WINDOW: u32 = 1024;

/// Requests answered, by `command` and `outcome` (`ok` or an error's code).
const REQUESTS: &str = "agent_requests_total";
/// Requests that are being answered.
const IN_FLIGHT: &str = "agent_requests_in_flight";
/// Seconds from a request until its result is ready to be sent.
const SECONDS: &str = "agent_answer_seconds";

/// The requests that are being answered; dropping it abandons them.
pub(super) struct InFlight {
    cluster: Arc<Cluster>,
    outbox: Outbox,
    tasks: JoinSet<()>,
    by_id: HashMap<Uuid, Answering>,
}

struct Answering {
    task: AbortHandle,
    window: Arc<Window>,
    _counted: Counted,
}

/// A request among those of all sessions that are being answered.
struct Counted;

impl Counted {
    fn new() -> Self {
        metrics::gauge!(IN_FLIGHT).increment(1);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!(IN_FLIGHT).decrement(1);
    }
}

/// How many parts of an answer may be sent yet.
pub(super) struct Window(Semaphore);

impl Window {
    /// For a server that says no number, all of them.
    pub(super) fn new(parts: Option<u32>) -> Self {
        Self(Semaphore::new(parts.map_or(Semaphore::MAX_PERMITS, |parts| parts.min(MAX_WINDOW) as usize)))
    }

    /// Waits until one more part may be sent.
    pub(super) async fn pass(&self) {
        // It is never closed.
        if let Ok(permit) = self.0.acquire().await {
            permit.forget();
        }
    }

    fn widen(&self, parts: u32) {
        if self.0.available_permits() < MAX_WINDOW as usize {
            self.0.add_permits(parts.min(MAX_WINDOW) as usize);
        }
    }
}

impl InFlight {
    pub(super) fn new(cluster: Arc<Cluster>, outbox: Outbox) -> Self {
        Self { cluster, outbox, tasks: JoinSet::new(), by_id: HashMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Starts to answer a request, or to refuse it; does not wait.
    pub(super) fn start(&mut self, request: Request) {
        let request_id = request.request_id;
        if self.by_id.contains_key(&request_id) {
            tracing::warn!(%request_id, "a request came twice");
            return;
        }
        let outbox = self.outbox.clone();
        let window = Arc::new(Window::new(request.window));
        let task = match self.by_id.len() {
            0..MAX_ANSWERED => {
                let answer = answer(Arc::clone(&self.cluster), outbox, request, Arc::clone(&window));
                self.tasks.spawn(answer)
            }
            MAX_ANSWERED..MAX_KNOWN => self.tasks.spawn(async move {
                count(&request.command, ErrorCode::RateLimited.as_str());
                let detail = format!("the agent is answering {MAX_ANSWERED} requests already");
                send_error(&outbox, request_id, QueryError::new(ErrorCode::RateLimited, detail)).await;
            }),
            _ => {
                tracing::warn!(%request_id, "too many requests: one is not answered");
                return;
            }
        };
        self.by_id.insert(request_id, Answering { task, window, _counted: Counted::new() });
    }

    /// Sends a frame that is no answer; until it is sent it counts as under way.
    pub(super) fn send(&mut self, frame: Message) {
        let outbox = self.outbox.clone();
        self.tasks.spawn(async move { outbox.send(frame).await });
    }

    /// Stops answering a request.
    pub(super) fn cancel(&mut self, request_id: Uuid) {
        if let Some(answering) = self.by_id.remove(&request_id) {
            answering.task.abort();
        }
    }

    /// Lets more parts of an answer be sent.
    pub(super) fn more(&self, request_id: Uuid, parts: u32) {
        if let Some(answering) = self.by_id.get(&request_id) {
            answering.window.widen(parts);
        }
    }

    /// Waits until a request has ended; `None` when there is none.
    pub(super) async fn ended(&mut self) -> Option<()> {
        let task = match self.tasks.join_next_with_id().await? {
            Ok((task, ())) => task,
            Err(error) => {
                if error.is_panic() {
                    tracing::error!(%error, "a request's answer panicked");
                }
                error.id()
            }
        };
        self.by_id.retain(|_, answering| answering.task.id() != task);
        Some(())
    }
}

async fn answer(cluster: Arc<Cluster>, outbox: Outbox, request: Request, window: Arc<Window>) {
    let started = Instant::now();
    let Request { request_id, command, params, deadline_ms, traceparent, .. } = request;
    let trace_id = traceparent.map(contracts::TraceParent::trace_id);
    let span = tracing::info_span!("query", %request_id, command = command.as_str(), trace_id);
    let work = async {
        let packed = match cluster.execute(&command, &params).await {
            Ok(answer) => pack(answer).await?,
            Err(error) => return Err(error),
        };
        metrics::histogram!(SECONDS).record(started.elapsed());
        send_result(&outbox, request_id, packed, &window).await
    };
    let deadline = Duration::from_millis(deadline_ms).min(MAX_DEADLINE);
    let result = timeout(deadline, work.instrument(span.clone())).await.unwrap_or_else(|_| {
        let detail = format!("not answered within {} ms", deadline.as_millis());
        Err(QueryError::new(ErrorCode::AgentTimeout, detail))
    });
    count(&command, result.as_ref().err().map_or("ok", |error| error.code.as_str()));
    if let Err(error) = result {
        span.in_scope(|| tracing::info!(%error, "query failed"));
        send_error(&outbox, request_id, error).await;
    }
}

fn count(command: &Command, outcome: &str) {
    // A command of a newer version is the server's text, which must not become a label.
    let command = if Command::ALL.contains(command) { command.as_str() } else { "other" };
    metrics::counter!(REQUESTS, "command" => command.to_owned(), "outcome" => outcome.to_owned())
        .increment(1);
}
