//! Asking agents, by way of onboarding.

use std::{sync::Arc, time::Duration};

use bus::{Answer, Body, Bus, PublishError, RequestError, RequestOptions};
use bytes::Bytes;
use contracts::{
    ErrorCode, Timestamp, TraceParent,
    auth::UserData,
    query::{Command, ConnectedAgentsRequest, ConnectedAgentsResult, Params, QueryRequest, QueryResult},
    queues,
};
use serde_json::{Map, Value};
use tokio::time::Instant;
use uuid::Uuid;
use web::{
    Problem,
    in_flight::{BUSY, InFlight, Place},
};

use crate::{
    cluster_id::ClusterId,
    owners::{Owner, Owners},
};

/// Which agents are connected is known at once; a service that has not answered by then is away.
const LIST_PATIENCE: Duration = Duration::from_secs(5);
const LIST_ATTEMPTS: usize = 3;

/// The agents of all users. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Agents {
    bus: Bus,
    in_flight: Arc<InFlight>,
    owners: Owners,
}

/// What follows a question.
enum Step {
    Answered(Box<Answer<QueryResult>>),
    /// The replica that was asked alone is not there: others have not been asked yet.
    LookElsewhere,
    /// It is not known what became of it, or another replica may know more. If it may not be asked again, this is the answer.
    AskAgain {
        otherwise: Problem,
        /// The replica that is to be asked now, where that is known.
        at: Option<String>,
    },
    Failed(Problem),
}

impl Step {
    fn again(otherwise: Problem) -> Self {
        Self::AskAgain { otherwise, at: None }
    }
}

/// A result that is still coming: JSON, as the agent wrote it.
pub(crate) struct AgentAnswer {
    pub(crate) result: Body,
    /// Held until the whole result has come.
    pub(crate) place: Place,
}

/// What an agent is asked.
pub(crate) struct Query {
    pub(crate) agent_id: String,
    /// The cluster that the caller takes the agent's to be.
    pub(crate) cluster_id: Option<ClusterId>,
    pub(crate) command: Command,
    pub(crate) params: Params,
}

impl Agents {
    pub(crate) fn new(bus: Bus, in_flight: Arc<InFlight>) -> Self {
        Self { bus, in_flight, owners: Owners::new() }
    }

    /// Asks an agent of this user. The result's shape is the command's.
    pub(crate) async fn ask(
        &self,
        user: &UserData,
        query: Query,
        deadline: Instant,
        trace: TraceParent,
    ) -> Result<AgentAnswer, Problem> {
        let place = self.in_flight.enter(&user.id)?;
        let now = Timestamp::now();
        let patience = deadline.saturating_duration_since(Instant::now()).as_millis();
        let patience = i64::try_from(patience).unwrap_or(i64::MAX);
        let cluster_config: Map<String, Value> =
            query.cluster_id.map(|id| ("cluster_id".to_owned(), id.into())).into_iter().collect();
        let request = QueryRequest {
            request_id: Uuid::now_v7().to_string(),
            agent_id: query.agent_id,
            command: query.command,
            cluster_config,
            params: query.params,
            user_id: Some(user.id.clone()),
            deadline: Timestamp::from_millis(now.as_millis().saturating_add(patience)),
            timestamp: now,
        };
        let mut again = request.command.is_idempotent();
        let mut told = None;
        loop {
            let owner = told.take().or_else(|| self.owners.get(&request.agent_id));
            let at = owner.as_ref().map(|owner| owner.queue.as_str());
            let options = RequestOptions { deadline, trace: Some(trace), at };
            let answer = self.bus.ask(queues::QUERIES, &request, options).await;
            let step = self.judge(&request.agent_id, owner.as_ref(), answer);
            match step {
                Step::Answered(answer) => return received(*answer, place),
                Step::LookElsewhere => {}
                Step::AskAgain { at, .. } if again && Instant::now() < deadline => {
                    again = false;
                    // Of what epoch its session is will be seen.
                    told = at.map(|queue| Owner { queue, epoch: 0 });
                }
                Step::AskAgain { otherwise: problem, .. } | Step::Failed(problem) => return Err(problem),
            }
        }
    }

    /// What an answer, or none, means for the next step.
    fn judge(
        &self,
        agent_id: &str,
        asked: Option<&Owner>,
        answer: Result<Answer<QueryResult>, RequestError>,
    ) -> Step {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let forget = |asked| self.owners.forget(agent_id, asked);
                return match (error, asked) {
                    // It has not reached anybody yet.
                    (RequestError::Publish(PublishError::Unroutable { .. }), Some(asked)) => {
                        forget(asked);
                        Step::LookElsewhere
                    }
                    (error @ RequestError::Lost, asked) => {
                        asked.into_iter().for_each(forget);
                        Step::again(problem(error))
                    }
                    (error, _) => Step::Failed(problem(error)),
                };
            }
        };
        let head = &answer.head;
        let owner = head.owner.clone().zip(head.epoch).map(|(queue, epoch)| Owner { queue, epoch });
        if owner.is_some_and(|owner| !self.owners.learn(agent_id, owner)) {
            let detail = "an earlier session of the agent answered; try again";
            return Step::again(Problem::new(ErrorCode::AgentNotConnected, detail));
        }
        let is_unknown = match head.code {
            // This replica cannot look it up; another one may.
            Some(ErrorCode::Unavailable) => true,
            Some(ErrorCode::AgentNotConnected) => false,
            _ => return Step::Answered(Box::new(answer)),
        };
        let otherwise = refusal(head.code.clone(), head.error.clone());
        if let Some(asked) = asked {
            // It may have gone over to another replica.
            self.owners.forget(agent_id, asked);
        } else if !is_unknown && head.owner.is_none() {
            // Nobody has it, or its session has just ended: then it is not back yet.
            return Step::Failed(otherwise);
        }
        // Whoever was asked and does not hold it may have said who does.
        Step::AskAgain { otherwise, at: head.owner.clone() }
    }

    /// The ids of this user's connected agents.
    pub(crate) async fn connected(
        &self,
        user: &UserData,
        deadline: Instant,
        trace: TraceParent,
    ) -> Result<Vec<String>, Problem> {
        let request = ConnectedAgentsRequest {
            request_id: Uuid::now_v7().to_string(),
            user_id: user.id.clone(),
            timestamp: Timestamp::now(),
        };
        let deadline = deadline.min(Instant::now() + LIST_PATIENCE);
        let options = RequestOptions { deadline, trace: Some(trace), at: None };
        let mut attempts = 0;
        loop {
            attempts += 1;
            let asked = self.bus.request(queues::CONNECTED_AGENTS, &request, options).await;
            let answer: ConnectedAgentsResult = asked.map_err(|error| match error {
                RequestError::Timeout => away(),
                other => problem(other),
            })?;
            match (answer.code, answer.error) {
                (None, None) => return Ok(answer.agents),
                // That replica cannot look it up; the broker gives the next request to the next one.
                (Some(ErrorCode::Unavailable), _) if attempts < LIST_ATTEMPTS => {}
                (code, error) => return Err(refusal(code, error)),
            }
        }
    }
}

/// The result, or why there is none.
fn received(answer: Answer<QueryResult>, place: Place) -> Result<AgentAnswer, Problem> {
    let Answer { head, body } = answer;
    // Onboarding of an earlier version answers whole.
    let whole = |result| Body::from(Bytes::from(Box::<str>::from(result).into_boxed_bytes()));
    match (head.code, head.error, body.or(head.result.map(whole))) {
        (None, None, Some(result)) => Ok(AgentAnswer { result, place }),
        (code, error, _) => Err(refusal(code, error)),
    }
}

/// What the agent, or onboarding on its behalf, said instead of a result.
pub(crate) fn refusal(code: Option<ErrorCode>, error: Option<String>) -> Problem {
    let code = code.unwrap_or(ErrorCode::AgentError);
    let busy = code == ErrorCode::RateLimited;
    let problem = Problem::new(code, error.unwrap_or_else(|| "there was no result and no reason".to_owned()));
    if busy { problem.retry_after(BUSY) } else { problem }
}

pub(crate) fn problem(error: RequestError) -> Problem {
    match error {
        RequestError::Publish(PublishError::Unavailable) => {
            Problem::new(ErrorCode::BrokerUnavailable, "the message broker cannot be reached right now")
        }
        RequestError::Publish(PublishError::Unroutable { .. }) => away(),
        // Onboarding tells of a slow agent itself, a little earlier.
        RequestError::Timeout => {
            let detail = "no answer in time: the agent, or the service that holds its session, is away";
            Problem::new(ErrorCode::AgentTimeout, detail)
        }
        RequestError::Lost => {
            let detail = "the replica of onboarding that held the agent's session is gone; try again";
            Problem::new(ErrorCode::AgentNotConnected, detail)
        }
        RequestError::Rejected(ErrorCode::TooLarge) => {
            Problem::new(ErrorCode::TooLarge, "the answer is larger than is carried; ask with a limit")
        }
        RequestError::Overloaded | RequestError::Rejected(ErrorCode::Unavailable) => {
            Problem::new(ErrorCode::Unavailable, "too many requests are under way; try again")
                .retry_after(BUSY)
        }
        fault @ (RequestError::Rejected(_) | RequestError::Malformed(_) | RequestError::Unwritable(_)) => {
            Problem::internal(&fault)
        }
    }
}

fn away() -> Problem {
    Problem::new(ErrorCode::BrokerUnavailable, "the service that holds the agents' sessions is away")
}
