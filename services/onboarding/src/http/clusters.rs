//! `/api/v1/clusters`: the clusters that have, or will have, an agent.

use std::collections::BTreeSet;

use axum::{extract::State, http::StatusCode};
use contracts::{Timestamp, auth::Scope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{Caller, Json, Path, Problem};

use super::Api;
use crate::clusters::read_features;
use crate::{
    connection::{NextStep, Reason, mismatch, next_steps, why_absent},
    costs::{Cost, Money, of_capacity},
    install::Feature,
    provider::Provider,
    store::{self, Cluster},
};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get, change, delete)).routes(routes!(verify))
}

/// How a cluster's agent is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ClusterState {
    /// The agent has never connected.
    Pending,
    /// It was heard of the agent not long ago.
    Connected,
    /// Nothing was heard of the agent for a while.
    Stale,
    /// Nothing was heard of it for long.
    Disconnected,
    /// Every key of the agent was revoked.
    Revoked,
}

#[derive(Serialize, ToSchema)]
struct ClusterView {
    cluster_id: String,
    cluster_name: String,
    provider: String,
    features: BTreeSet<Feature>,
    agent_id: String,
    state: ClusterState,
    /// Whether the agent has a session now.
    connected: bool,
    state_since: Option<Timestamp>,
    created_at: Option<Timestamp>,
    agent_version: Option<String>,
    /// Present and true when the agent is older than the oldest that is supported.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    agent_outdated: bool,
    kubernetes_version: Option<String>,
    connected_at: Option<Timestamp>,
    last_heartbeat: Option<Timestamp>,
    nodes: Option<i64>,
    pods: Option<i64>,
    /// Who runs the cluster and where, as its nodes tell.
    detected: Detected,
    /// In dollars, as the user has entered it.
    #[schema(value_type = Option<f64>)]
    cpu_cost_per_hour: Option<Money>,
    #[schema(value_type = Option<f64>)]
    memory_cost_per_hour: Option<Money>,
    /// What all nodes cost, without storage; null while one of the two is unknown, or the agent has told nothing yet.
    cost: Option<Cost>,
    /// What the user does next, done or not.
    next_steps: Vec<NextStep>,
    /// Present and true when the cluster is a simulated one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    simulated: bool,
}

#[derive(Serialize, ToSchema)]
struct Detected {
    provider: Option<String>,
    region: Option<String>,
    /// Present where that is not what the user chose.
    #[serde(skip_serializing_if = "Option::is_none")]
    mismatch: Option<String>,
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
    /// When the agent's last session began.
    connected_at: Option<Timestamp>,
    kubernetes_version: Option<String>,
    detected: Detected,
    /// Why the agent has no session; absent while it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    /// Present and true when the cluster is a simulated one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    simulated: bool,
}

impl Api {
    /// The cluster as its session tells of it now, and whether it has one.
    fn current(&self, cluster: Cluster) -> (Cluster, bool) {
        match self.clusters.registry.get(&cluster.agent_id) {
            Some(session) => (cluster.with(session.latest()), true),
            None => {
                let is_elsewhere = cluster.sessions > 0;
                (cluster, is_elsewhere)
            }
        }
    }

    fn view(&self, cluster: Cluster, now: Timestamp) -> ClusterView {
        let (cluster, connected) = self.current(cluster);
        let (version, rates) = (cluster.agent_version.as_deref(), cluster.rates());
        ClusterView {
            state: state(&cluster, connected),
            connected,
            detected: detected(&cluster),
            cpu_cost_per_hour: rates.cpu_cost,
            memory_cost_per_hour: rates.memory_cost,
            cost: of_capacity(&rates, cluster.cpu_millis, cluster.memory_bytes),
            next_steps: next_steps(&cluster, connected, now),
            agent_outdated: version.is_some_and(|version| self.oldest_agent.is_older(version)),
            cluster_id: cluster.id,
            cluster_name: cluster.name,
            features: read_features(&cluster.features),
            provider: cluster.provider,
            agent_id: cluster.agent_id,
            state_since: cluster.state_since.and_then(Timestamp::from_millis),
            created_at: Timestamp::from_millis(cluster.created_at),
            agent_version: cluster.agent_version,
            simulated: cluster.simulated != 0,
            kubernetes_version: cluster.kubernetes_version,
            connected_at: cluster.connected_at.and_then(Timestamp::from_millis),
            last_heartbeat: cluster.last_heartbeat.and_then(Timestamp::from_millis),
            nodes: cluster.nodes,
            pods: cluster.pods,
        }
    }
}

/// A session here is known before it is written.
fn state(cluster: &Cluster, is_connected: bool) -> ClusterState {
    if is_connected {
        return ClusterState::Connected;
    }
    if cluster.usable_keys == 0 && cluster.revoked_keys > 0 {
        return ClusterState::Revoked;
    }
    match store::State::read(&cluster.state) {
        store::State::Pending => ClusterState::Pending,
        store::State::Connected => ClusterState::Connected,
        store::State::Stale => ClusterState::Stale,
        store::State::Disconnected => ClusterState::Disconnected,
    }
}

fn detected(cluster: &Cluster) -> Detected {
    Detected {
        provider: cluster.detected_provider.clone(),
        region: cluster.region.clone(),
        mismatch: mismatch(cluster),
    }
}

/// Your clusters by name
#[utoipa::path(get, path = "/api/v1/clusters", tag = "clusters", responses((status = 200, body = ClusterList)))]
async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<ClusterList>, Problem> {
    caller.require(&Scope::Read)?;
    let now = api.now();
    let clusters = api.clusters.list(&caller.user, now).await?;
    let clusters: Vec<ClusterView> = clusters.into_iter().map(|cluster| api.view(cluster, now)).collect();
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
    let now = api.now();
    let cluster = api.clusters.get(&caller.user, &id, now).await?;
    Ok(Json(api.view(cluster, now)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeRequest {
    /// Who runs the cluster.
    #[serde(default)]
    provider: Option<Provider>,
    /// What the agent may do beyond reading the basic kinds, once its install script is run again.
    #[serde(default)]
    features: Option<BTreeSet<Feature>>,
}

/// Change what was said of a cluster; its next install script heeds it
///
/// Needs the scope `operate`.
#[utoipa::path(patch, path = "/api/v1/clusters/{cluster_id}", tag = "clusters",
    params(("cluster_id" = String, Path, description = "The cluster's id")),
    request_body = ChangeRequest, responses((status = 200, body = ClusterView)))]
async fn change(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Json(request): Json<ChangeRequest>,
) -> Result<Json<ClusterView>, Problem> {
    caller.require(&Scope::Operate)?;
    let now = api.now();
    let ChangeRequest { provider, features } = request;
    let cluster = api.clusters.change(&caller.user, &id, provider, features.as_ref(), now).await?;
    Ok(Json(api.view(cluster, now)))
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
    api.clusters.delete(&caller.user, &id, api.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether the cluster's agent is connected, what it has found, and else what is known
#[utoipa::path(post, path = "/api/v1/clusters/{cluster_id}/verify-connection", tag = "clusters",
    params(("cluster_id" = String, Path, description = "The cluster's id")),
    responses((status = 200, body = Verification)))]
async fn verify(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Verification>, Problem> {
    caller.require(&Scope::Read)?;
    let now = api.now();
    let cluster = api.clusters.get(&caller.user, &id, now).await?;
    let (cluster, connected) = api.current(cluster);
    Ok(Json(Verification {
        connected,
        reason: (!connected).then(|| why_absent(&cluster, now)),
        detected: detected(&cluster),
        connected_at: cluster.connected_at.and_then(Timestamp::from_millis),
        kubernetes_version: cluster.kubernetes_version,
        agent_version: cluster.agent_version,
        simulated: cluster.simulated != 0,
        last_heartbeat: cluster.last_heartbeat.and_then(Timestamp::from_millis),
        nodes_discovered: cluster.nodes,
        pods_discovered: cluster.pods,
    }))
}
