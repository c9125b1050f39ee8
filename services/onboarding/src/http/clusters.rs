//! `/api/v1/clusters`: the clusters that have, or will have, an agent.

use axum::{extract::State, http::StatusCode};
use contracts::{Timestamp, auth::Scope};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{Caller, Json, Path, Problem};

use super::Api;
use crate::store::Cluster;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get, delete)).routes(routes!(verify))
}

/// How a cluster's agent is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ClusterState {
    /// The agent has never connected.
    Pending,
    /// The agent has a session.
    Connected,
    /// The agent had a session.
    Disconnected,
    /// The agent has no key that it could connect with.
    Revoked,
}

#[derive(Serialize, ToSchema)]
struct ClusterView {
    cluster_id: String,
    cluster_name: String,
    provider: String,
    agent_id: String,
    state: ClusterState,
    created_at: Option<Timestamp>,
    agent_version: Option<String>,
    kubernetes_version: Option<String>,
    connected_at: Option<Timestamp>,
    last_heartbeat: Option<Timestamp>,
    nodes: Option<i64>,
    pods: Option<i64>,
    /// Present and true when the cluster is a simulated one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    simulated: bool,
}

#[derive(Serialize, ToSchema)]
struct ClusterList {
    clusters: Vec<ClusterView>,
    total_count: usize,
}

#[derive(Serialize, ToSchema)]
struct Verification {
    /// Whether the agent has a session now.
    connected: bool,
    agent_version: Option<String>,
    last_heartbeat: Option<Timestamp>,
    nodes_discovered: Option<i64>,
    pods_discovered: Option<i64>,
    /// Present and true when the cluster is a simulated one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    simulated: bool,
}

impl Api {
    /// As its session says, before it is written.
    fn agent_version(&self, cluster: &Cluster) -> Option<String> {
        let session = self.clusters.registry.get(&cluster.agent_id);
        session.map(|session| session.agent_version().to_owned()).or_else(|| cluster.agent_version.clone())
    }

    fn is_connected(&self, cluster: &Cluster) -> bool {
        self.clusters.registry.has(&cluster.agent_id)
    }

    fn view(&self, cluster: Cluster) -> ClusterView {
        let agent_version = self.agent_version(&cluster);
        let state = if self.is_connected(&cluster) {
            ClusterState::Connected
        } else if cluster.usable_keys == 0 {
            ClusterState::Revoked
        } else if cluster.connected_at.is_none() {
            ClusterState::Pending
        } else {
            ClusterState::Disconnected
        };
        ClusterView {
            cluster_id: cluster.id,
            cluster_name: cluster.name,
            provider: cluster.provider,
            agent_id: cluster.agent_id,
            state,
            created_at: Timestamp::from_millis(cluster.created_at),
            agent_version,
            simulated: cluster.simulated != 0,
            kubernetes_version: cluster.kubernetes_version,
            connected_at: cluster.connected_at.and_then(Timestamp::from_millis),
            last_heartbeat: cluster.last_heartbeat.and_then(Timestamp::from_millis),
            nodes: cluster.nodes,
            pods: cluster.pods,
        }
    }
}

/// Your clusters by name
#[utoipa::path(get, path = "/api/v1/clusters", tag = "clusters", responses((status = 200, body = ClusterList)))]
async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<ClusterList>, Problem> {
    caller.require(&Scope::Read)?;
    let clusters = api.clusters.list(&caller.user, Timestamp::now()).await?;
    let clusters: Vec<ClusterView> = clusters.into_iter().map(|cluster| api.view(cluster)).collect();
    Ok(Json(ClusterList { total_count: clusters.len(), clusters }))
}

/// One of your clusters
#[utoipa::path(get, path = "/api/v1/clusters/{cluster_id}", tag = "clusters",
    params(("cluster_id" = String, Path, description = "The cluster's id")),
    responses((status = 200, body = ClusterView)))]
async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<ClusterView>, Problem> {
    caller.require(&Scope::Read)?;
    let cluster = api.clusters.get(&caller.user, &id, Timestamp::now()).await?;
    Ok(Json(api.view(cluster)))
}

/// Delete a cluster: its agent's keys are revoked and its session is closed
///
/// Needs the scope `operate`.
#[utoipa::path(delete, path = "/api/v1/clusters/{cluster_id}", tag = "clusters",
    params(("cluster_id" = String, Path, description = "The cluster's id")),
    responses((status = 204, description = "Deleted")))]
async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    caller.require(&Scope::Operate)?;
    api.clusters.delete(&caller.user, &id, Timestamp::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether the cluster's agent is connected, and what it has found
#[utoipa::path(post, path = "/api/v1/clusters/{cluster_id}/verify-connection", tag = "clusters",
    params(("cluster_id" = String, Path, description = "The cluster's id")),
    responses((status = 200, body = Verification)))]
async fn verify(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Verification>, Problem> {
    caller.require(&Scope::Read)?;
    let cluster = api.clusters.get(&caller.user, &id, Timestamp::now()).await?;
    Ok(Json(Verification {
        connected: api.is_connected(&cluster),
        agent_version: api.agent_version(&cluster),
        simulated: cluster.simulated != 0,
        last_heartbeat: cluster.last_heartbeat.and_then(Timestamp::from_millis),
        nodes_discovered: cluster.nodes,
        pods_discovered: cluster.pods,
    }))
}
