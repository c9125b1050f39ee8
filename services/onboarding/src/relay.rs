//! The relay: a query finds the session of its agent and comes back with the answer.

mod whole;

use std::{sync::Arc, time::Duration};

use bus::{Context, Encoding, Outgoing, Parts, Reply};
use contracts::{
    ErrorCode, Timestamp, TraceParent,
    query::{ConnectedAgentsRequest, ConnectedAgentsResult, QueryRequest, QueryResult},
};
use futures_util::{StreamExt, stream};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use crate::{
    session::{AskError, Question, Reader, Registry, SessionHandle},
    store::Database,
};

/// What is kept of an asker's patience for the answer's way back, if a tenth of it is not less.
const WAY_BACK: Duration = Duration::from_millis(250);

/// Answers queries for agents. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Relay {
    pub(crate) registry: Arc<Registry>,
    pub(crate) database: Database,
    /// This replica's name, told in each answer.
    pub(crate) replica: Arc<str>,
}

/// Why a query has no result.
struct Failure {
    code: ErrorCode,
    detail: String,
}

fn failure(code: ErrorCode, detail: impl Into<String>) -> Failure {
    Failure { code, detail: detail.into() }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Gone => {
                failure(ErrorCode::AgentNotConnected, "the agent's session ended before it answered")
            }
            AskError::TooLarge => {
                failure(ErrorCode::TooLarge, "the query is too large to be sent to an agent")
            }
            AskError::Busy => {
                failure(ErrorCode::RateLimited, "too many requests wait for this agent already")
            }
            AskError::Timeout => failure(ErrorCode::AgentTimeout, "the agent did not answer in time"),
            AskError::Agent(error) => failure(error.code, error.detail),
        }
    }
}

impl Relay {
    /// Answers one query, at the latest when its asker stops waiting.
    pub(crate) async fn query(&self, query: QueryRequest, context: Context) -> Reply<QueryResult> {
        let trace_id = context.trace.map(TraceParent::trace_id);
        let span =
            tracing::info_span!("query", trace_id, request_id = query.request_id, agent_id = query.agent_id);
        self.answer(query, context).instrument(span).await
    }

    async fn answer(&self, query: QueryRequest, context: Context) -> Reply<QueryResult> {
        let command = query.command.clone();
        let mut head = QueryResult {
            request_id: query.request_id.clone(),
            agent_id: query.agent_id.clone(),
            result: None,
            error: None,
            code: None,
            owner: Some(self.replica.to_string()),
            timestamp: Timestamp::now(),
        };
        let answer = match self.ask(query, context).await {
            Ok((encoding, reader)) if context.takes_parts => Ok(Some(outgoing(encoding, reader))),
            Ok((encoding, reader)) => whole::collect(encoding, reader).await.map(|result| {
                head.result = Some(result);
                None
            }),
            Err(failure) => Err(failure),
        };
        let outcome = answer.as_ref().map_or_else(|failure| failure.code.to_string(), |_| "ok".to_owned());
        tracing::debug!(command = command.as_str(), outcome, "query answered");
        head.timestamp = Timestamp::now();
        match answer {
            Ok(Some(result)) => Reply::InParts { head, result },
            Ok(None) => Reply::Whole(head),
            Err(Failure { code, detail }) => {
                Reply::Whole(QueryResult { code: Some(code), error: Some(detail), ..head })
            }
        }
    }

    async fn ask(&self, query: QueryRequest, context: Context) -> Result<(Encoding, Reader), Failure> {
        let deadline = deadline(&query, context.deadline);
        let late = || failure(ErrorCode::AgentTimeout, "the agent did not answer in time");
        let session = timeout_at(deadline, self.session(&query)).await.map_err(|_| late())??;
        if !session.can(&query.command) {
            let version = session.agent_version();
            let detail = format!("the agent (version {version}) does not know {}", query.command.as_str());
            return Err(failure(ErrorCode::AgentError, detail));
        }
        let question = Question { user_id: query.user_id, command: query.command, params: query.params };
        Ok(session.ask(question, context.trace.map(next_hop), deadline).await?)
    }

    /// The live session of the agent, if it is the asker's. Only an agent without a session is looked up in the database.
    async fn session(&self, query: &QueryRequest) -> Result<SessionHandle, Failure> {
        let unknown = || failure(ErrorCode::NotFound, "there is no such agent");
        let may_see = |owner: &str| query.user_id.as_deref().is_none_or(|user| user == owner);
        let session = self.registry.get(&query.agent_id);
        let (owner, cluster_id) = match &session {
            Some(session) => (session.identity().user_id.clone(), session.identity().cluster_id.clone()),
            None => {
                let found = self.database.agent_owner(&query.agent_id).await.map_err(|error| {
                    tracing::error!(%error, "cannot look up an agent");
                    failure(ErrorCode::Unavailable, "the database cannot be reached right now")
                })?;
                found.ok_or_else(unknown)?
            }
        };
        if !may_see(&owner) {
            return Err(unknown());
        }
        // Integers are of the earlier system, and ids of clusters by stored credentials, which have no agent: they
        // contradict nothing that is known here.
        let named =
            query.cluster_config.get("cluster_id").filter(|named| !named.is_null() && !named.is_i64());
        if named.is_some_and(|named| *named != Value::String(cluster_id)) {
            return Err(failure(ErrorCode::NotFound, "this agent is not the agent of that cluster"));
        }
        session.ok_or_else(|| failure(ErrorCode::AgentNotConnected, "the agent is not connected"))
    }

    /// The agents of a user that have a session here.
    pub(crate) fn connected(&self, request: ConnectedAgentsRequest) -> ConnectedAgentsResult {
        ConnectedAgentsResult {
            agents: self.registry.agents_of(&request.user_id),
            request_id: request.request_id,
            error: None,
            code: None,
            timestamp: Timestamp::now(),
        }
    }
}

/// The answer as it is sent on: what is there already in one part, and else as it comes.
fn outgoing(encoding: Encoding, reader: Reader) -> Outgoing {
    let parts = match reader.whole() {
        Some(result) => Parts::One(result),
        None => Parts::Stream(
            stream::unfold(reader, |mut reader| async move {
                let part = reader.next().await.map_err(|error| Failure::from(error).code);
                Some((part, reader))
            })
            .boxed(),
        ),
    };
    Outgoing { encoding, parts }
}

/// Until when the agent may answer: so long before the message's expiry or the asker's own deadline, whichever is earlier,
/// that the asker can still be told that it did not.
fn deadline(query: &QueryRequest, expiry: Instant) -> Instant {
    let now = Instant::now();
    let patience = expiry.saturating_duration_since(now);
    let patience = query.patience().map_or(patience, |own| own.min(patience));
    now + patience - WAY_BACK.min(patience / 10)
}

fn next_hop(trace: TraceParent) -> TraceParent {
    trace.child(&mut rand::rng())
}
