//! The requests that are being answered.

use std::{collections::HashMap, sync::Arc, time::Duration};

use contracts::{ErrorCode, agent::Request};
use tokio::{
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

/// So many requests are answered at once; further ones are told to come later.
const MAX_ANSWERED: usize = 64;
/// So many are known at once, refused ones included; further ones are left to their deadline.
const MAX_KNOWN: usize = 2 * MAX_ANSWERED;
/// Nobody waits longer, whatever a request says.
const MAX_DEADLINE: Duration = Duration::from_secs(300);

/// Requests answered, by `command` and `outcome` (`ok` or an error's code).
const REQUESTS: &str = "agent_requests_total";

/// The requests that are being answered; dropping it abandons them.
pub(super) struct InFlight {
    cluster: Arc<Cluster>,
    outbox: Outbox,
    tasks: JoinSet<()>,
    by_id: HashMap<Uuid, AbortHandle>,
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
        let handle = match self.by_id.len() {
            0..MAX_ANSWERED => self.tasks.spawn(answer(Arc::clone(&self.cluster), outbox, request)),
            MAX_ANSWERED..MAX_KNOWN => self.tasks.spawn(async move {
                let detail = format!("the agent is answering {MAX_ANSWERED} requests already");
                send_error(&outbox, request_id, QueryError::new(ErrorCode::RateLimited, detail)).await;
            }),
            _ => {
                tracing::warn!(%request_id, "too many requests: one is not answered");
                return;
            }
        };
        self.by_id.insert(request_id, handle);
    }

    /// Sends a frame that is no answer; until it is sent it counts as under way.
    pub(super) fn send(&mut self, frame: Message) {
        let outbox = self.outbox.clone();
        self.tasks.spawn(async move { outbox.send(frame).await });
    }

    /// Stops answering a request.
    pub(super) fn cancel(&mut self, request_id: Uuid) {
        if let Some(handle) = self.by_id.remove(&request_id) {
            handle.abort();
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
        self.by_id.retain(|_, handle| handle.id() != task);
        Some(())
    }
}

async fn answer(cluster: Arc<Cluster>, outbox: Outbox, request: Request) {
    let Request { request_id, command, params, deadline_ms, traceparent } = request;
    let trace_id = traceparent.map(contracts::TraceParent::trace_id);
    let span = tracing::info_span!("query", %request_id, command = command.as_str(), trace_id);
    let work = async {
        let packed = match cluster.execute(&command, &params).await {
            Ok(answer) => pack(answer).await?,
            Err(error) => return Err(error),
        };
        send_result(&outbox, request_id, packed).await;
        Ok(())
    };
    let deadline = Duration::from_millis(deadline_ms).min(MAX_DEADLINE);
    let result = timeout(deadline, work.instrument(span.clone())).await.unwrap_or_else(|_| {
        let detail = format!("not answered within {} ms", deadline.as_millis());
        Err(QueryError::new(ErrorCode::AgentTimeout, detail))
    });
    let outcome = result.as_ref().err().map_or("ok", |error| error.code.as_str()).to_owned();
    // A command of a newer version is the server's text, which must not become a label.
    let label = if contracts::query::Command::ALL.contains(&command) { command.as_str() } else { "other" };
    metrics::counter!(REQUESTS, "command" => label.to_owned(), "outcome" => outcome).increment(1);
    if let Err(error) = result {
        span.in_scope(|| tracing::info!(%error, "query failed"));
        send_error(&outbox, request_id, error).await;
    }
}
