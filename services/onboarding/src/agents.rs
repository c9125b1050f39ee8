//! This service asks an agent for itself: over the queue of queries, as others do, so that any replica may hold its session.

use std::time::Duration;

use bus::{Bus, PublishError, RequestError, RequestOptions};
use contracts::{
    ErrorCode, Timestamp,
    auth::UserData,
    query::{Command, Params, QueryRequest, QueryResult},
    queues,
    resources::Allocation,
};
use serde_json::Map;
use uuid::Uuid;
use web::Problem;

/// As long as callers of queries wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// The agents of all users. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Agents {
    pub(crate) bus: Bus,
}

impl Agents {
    /// What the agent's cluster has, and who holds it.
    pub(crate) async fn allocation(&self, user: &UserData, agent_id: &str) -> Result<Allocation, Problem> {
        let query = QueryRequest {
            request_id: Uuid::now_v7().to_string(),
            agent_id: agent_id.to_owned(),
            command: Command::GetAllocation,
            cluster_config: Map::new(),
            params: Params::default(),
            user_id: Some(user.id.clone()),
            deadline: None,
            timestamp: Timestamp::now(),
        };
        let options = RequestOptions::within(PATIENCE);
        let answer: QueryResult =
            self.bus.request(queues::QUERIES, &query, options).await.map_err(not_asked)?;
        let Some(result) = answer.result else {
            let code = answer.code.unwrap_or(ErrorCode::AgentError);
            return Err(Problem::new(
                code,
                answer.error.unwrap_or_else(|| "the agent did not say why".to_owned()),
            ));
        };
        serde_json::from_str(result.get()).map_err(|error| {
            tracing::warn!(%error, agent_id, "an agent's answer cannot be read");
            Problem::new(ErrorCode::AgentError, "the agent's answer cannot be read")
        })
    }
}

fn not_asked(error: RequestError) -> Problem {
    match error {
        RequestError::Timeout => Problem::new(ErrorCode::AgentTimeout, "the agent did not answer in time"),
        RequestError::Publish(PublishError::Unavailable) => {
            Problem::new(ErrorCode::BrokerUnavailable, "the message broker cannot be reached right now")
        }
        other => Problem::unavailable(&other, "the agent cannot be asked right now; try again"),
    }
}
