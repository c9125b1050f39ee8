//! `GET /api/v3.0/cluster/agents/connected`.

use axum::{Extension, extract::State};
use contracts::{Timestamp, TraceParent, auth::Scope};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{Caller, Json, Problem};

use super::deadline::Deadline;
use crate::agents::Agents;

pub(super) fn routes() -> OpenApiRouter<Agents> {
    OpenApiRouter::new().routes(routes!(connected))
}

#[derive(Serialize, ToSchema)]
struct ConnectedAgents {
    success: bool,
    connected_agents: Vec<String>,
    total_count: usize,
    timestamp: Timestamp,
}

/// Your agents that are connected now
#[utoipa::path(get, path = "/api/v3.0/cluster/agents/connected", tag = "agents",
    responses((status = 200, body = ConnectedAgents)))]
async fn connected(
    State(agents): State<Agents>,
    Extension(trace): Extension<TraceParent>,
    Extension(Deadline(deadline)): Extension<Deadline>,
    caller: Caller,
) -> Result<Json<ConnectedAgents>, Problem> {
    caller.require(&Scope::Read)?;
    let connected_agents = agents.connected(&caller.user, deadline, trace).await?;
    Ok(Json(ConnectedAgents {
        success: true,
        total_count: connected_agents.len(),
        connected_agents,
        timestamp: Timestamp::now(),
    }))
}
