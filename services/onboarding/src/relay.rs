//! The relay: a query finds the session of its agent and comes back with the answer.

mod whole;

use std::{sync::Arc, time::Duration};

use bus::{Context, Encoding, Outgoing, Parts, Reply};
use contracts::{
    ErrorCode, Timestamp, TraceParent,
    agent::ResponseError,
    query::{ConnectedAgentsRequest, ConnectedAgentsResult, QueryRequest, QueryResult},
};
use futures_util::{StreamExt, stream};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use crate::{
    directory::Directory,
    session::{AskError, Question, Reader, Registry, SessionHandle},
    store::{AgentIdentity, Database, Whereabouts},
};

/// What is kept of an asker's patience for the answer's way back, if a tenth of it is not less.
const WAY_BACK: Duration = Duration::from_millis(250);
const HOLDER_IS_GONE: &str =
    "the replica that held the agent's session is gone, and the agent has not come back yet";

/// Answers queries for agents. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Relay {
    pub(crate) registry: Arc<Registry>,
    pub(crate) directory: Directory,
    pub(crate) database: Database,
}

/// Where an agent can be asked.
enum Place {
    Here(SessionHandle),
    /// At the replica with this address.
    Elsewhere(String),
    /// It is not known here; this other replica may know.
    Unknown(String),
}

/// What comes of a query.
enum Outcome {
    Begun(SessionHandle, Encoding, Reader),
    /// To another replica, and what is said if that is gone.
    PassOn(String, Failure),
}

/// Why a query has no result.
struct Failure {
    code: ErrorCode,
    detail: String,
    /// The replica to which the agent has moved meanwhile.
    elsewhere: Option<String>,
}

fn failure(code: ErrorCode, detail: impl Into<String>) -> Failure {
    Failure { code, detail: detail.into(), elsewhere: None }
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
            owner: None,
            epoch: None,
            timestamp: Timestamp::now(),
        };
        let answer = match self.ask(query, context).await {
            Ok(Outcome::PassOn(to, failure)) => {
                tracing::debug!(command = command.as_str(), "query passed on");
                return Reply::PassOn { to, otherwise: refused(head, failure) };
            }
            Ok(Outcome::Begun(session, encoding, reader)) => {
                head.owner = self.directory.address().map(|address| address.to_string());
                head.epoch = Some(session.epoch());
                if context.takes_parts {
                    Ok(Some(outgoing(encoding, reader)))
                } else {
                    whole::collect(encoding, reader).await.map(|result| {
                        head.result = Some(result);
                        None
                    })
                }
            }
            Err(failure) => Err(failure),
        };
        let outcome = answer.as_ref().map_or_else(|failure| failure.code.to_string(), |_| "ok".to_owned());
        tracing::debug!(command = command.as_str(), outcome, "query answered");
        head.timestamp = Timestamp::now();
        match answer {
            Ok(Some(result)) => Reply::InParts { head, result },
            Ok(None) => Reply::Whole(head),
            Err(failure) => Reply::Whole(refused(head, failure)),
        }
    }

    async fn ask(&self, query: QueryRequest, context: Context) -> Result<Outcome, Failure> {
        let deadline = deadline(&query, context.deadline);
        let mut again = query.command.is_idempotent();
        loop {
            self.reached(deadline).await?;
            let late = |_| failure(ErrorCode::AgentTimeout, "the agent did not answer in time");
            let place = timeout_at(deadline, self.place(&query, context)).await.map_err(late)??;
            let session = match place {
                Place::Here(session) => session,
                // Whoever sent it here alone took us for the one who holds the session, and looks further.
                Place::Elsewhere(replica) if context.is_direct => {
                    return Err(Failure { elsewhere: Some(replica), ..not_connected() });
                }
                Place::Elsewhere(replica) => {
                    let gone = failure(ErrorCode::AgentNotConnected, HOLDER_IS_GONE);
                    return Ok(Outcome::PassOn(replica, gone));
                }
                Place::Unknown(another) => return Ok(Outcome::PassOn(another, no_database())),
            };
            match self.ask_here(&session, &query, context, deadline).await {
                // The agent may have gone over to another session, here or elsewhere.
                Err(AskError::Gone) if again => again = false,
                asked => {
                    return asked
                        .map(|(encoding, reader)| Outcome::Begun(session, encoding, reader))
                        .map_err(Into::into);
                }
            }
        }
    }

    /// Asks an agent that has its session here.
    async fn ask_here(
        &self,
        session: &SessionHandle,
        query: &QueryRequest,
        context: Context,
        deadline: Instant,
    ) -> Result<(Encoding, Reader), AskError> {
        let QueryRequest { agent_id, user_id, command, params, .. } = query;
        if !session.can(command) {
            let version = session.agent_version();
            let detail = format!("the agent (version {version}) does not know {}", command.as_str());
            return Err(AskError::Agent(ResponseError { code: ErrorCode::AgentError, detail }));
        }
        let question =
            Question { user_id: user_id.clone(), command: command.clone(), params: params.clone() };
        let answer = session.ask(question, context.trace.map(next_hop), deadline).await?;
        if self.directory.address().is_none() {
            // This process was stopped for a while, or cut off: the agent may have gone over to another replica meanwhile.
            timeout_at(deadline, self.directory.ready()).await.map_err(|_| AskError::Timeout)?;
            if self.registry.get(agent_id).map(|current| current.id()) != Some(session.id()) {
                return Err(AskError::Gone);
            }
        }
        Ok(answer)
    }

    /// Waits until this replica knows for certain whose sessions it holds.
    async fn reached(&self, deadline: Instant) -> Result<(), Failure> {
        if self.directory.address().is_some() {
            return Ok(());
        }
        if self.directory.has_left() {
            // Whoever still asks here has not heard that the agents are elsewhere.
            return Err(not_connected());
        }
        let detail = "this replica cannot be reached by the others right now; try again";
        let ready = timeout_at(deadline, self.directory.ready()).await;
        ready.map(drop).map_err(|_| failure(ErrorCode::Unavailable, detail))
    }

    /// Where the agent can be asked, if it is the asker's. Only for an agent without a session here the database is asked, and when
    /// that cannot be had another replica, which knows more.
    async fn place(&self, query: &QueryRequest, context: Context) -> Result<Place, Failure> {
        let unknown = || failure(ErrorCode::NotFound, "there is no such agent");
        let (user_id, cluster_id, place) = match self.registry.find(&query.agent_id).await {
            Some(session) => {
                let AgentIdentity { user_id, cluster_id, .. } = session.identity().clone();
                (user_id, cluster_id, Some(Place::Here(session)))
            }
            None => {
                let found = if self.directory.is_blind() {
                    None
                } else {
                    let found = self.database.whereabouts(&query.agent_id).await;
                    found.inspect_err(|error| tracing::error!(%error, "cannot look up an agent")).ok()
                };
                let Some(found) = found else {
                    let another = self.directory.another().filter(|_| !context.is_direct);
                    return another.map(Place::Unknown).ok_or_else(no_database);
                };
                let Whereabouts { user_id, cluster_id, replica } = found.ok_or_else(unknown)?;
                (user_id, cluster_id, replica.map(Place::Elsewhere))
            }
        };
        if query.user_id.as_deref().is_some_and(|asker| asker != user_id) {
            return Err(unknown());
        }
        // Integers are of the earlier system, and ids of clusters by stored credentials, which have no agent: they
        // contradict nothing that is known here.
        let named =
            query.cluster_config.get("cluster_id").filter(|named| !named.is_null() && !named.is_i64());
        if named.is_some_and(|named| *named != Value::String(cluster_id)) {
            return Err(failure(ErrorCode::NotFound, "this agent is not the agent of that cluster"));
        }
        match place {
            // It has just ended here, which is not written yet.
            Some(Place::Elsewhere(replica)) if self.directory.address().as_deref() == Some(&*replica) => {
                Err(not_connected())
            }
            place => place.ok_or_else(not_connected),
        }
    }

    /// The agents of a user that have a session, wherever.
    pub(crate) async fn connected(&self, request: ConnectedAgentsRequest) -> ConnectedAgentsResult {
        let agents = if self.directory.is_blind() && self.directory.has_others() {
            Err(no_database())
        } else {
            self.database.connected_agents(&request.user_id).await.map_err(|error| {
                tracing::error!(%error, "cannot look up a user's agents");
                no_database()
            })
        };
        let (agents, failed) = match agents {
            Ok(agents) => (agents, None),
            Err(failure) => (Vec::new(), Some(failure)),
        };
        let (code, error) = failed.map(|Failure { code, detail, .. }| (code, detail)).unzip();
        let (request_id, timestamp) = (request.request_id, Timestamp::now());
        ConnectedAgentsResult { agents, request_id, error, code, timestamp }
    }
}

fn no_database() -> Failure {
    failure(ErrorCode::Unavailable, "the database cannot be reached right now")
}

fn not_connected() -> Failure {
    failure(ErrorCode::AgentNotConnected, "the agent is not connected")
}

fn refused(head: QueryResult, Failure { code, detail, elsewhere }: Failure) -> QueryResult {
    QueryResult { code: Some(code), error: Some(detail), owner: elsewhere, epoch: None, ..head }
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
