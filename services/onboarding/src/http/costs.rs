//! `/api/v1/clusters/{id}/resource-costs` and `/costs`: what a cluster's resources cost, and who holds them.

use axum::extract::State;
use contracts::{Timestamp, auth::Scope};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{Caller, Json, Path, Problem};

use super::Api;
use crate::costs::{Costs, Rates, allocate};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(enter)).routes(routes!(show))
}

#[derive(Serialize, ToSchema)]
struct CostsUpdated {
    success: bool,
    cluster_id: String,
    costs_updated: bool,
}

#[derive(Serialize, ToSchema)]
struct ClusterCosts {
    cluster_id: String,
    cluster_name: String,
    /// Always `USD`.
    currency: &'static str,
    /// What the user has entered.
    rates: Rates,
    /// Rates that would count and are not known: without them the costs are too low. With none known there are no costs.
    unknown: Vec<&'static str>,
    /// What an agent cannot see, and so is not in the costs.
    not_counted: Vec<&'static str>,
    /// Whether usage was known: each workload pays for the larger of its requests and its usage then, else for its requests.
    usage_known: bool,
    /// Absent while no rate is known.
    #[serde(flatten)]
    costs: Option<Costs>,
    /// When the agent counted.
    at: Timestamp,
    /// Present and true when the cluster is a simulated one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    simulated: bool,
}

/// Enter what the cluster's resources cost
///
/// In dollars: a processor and a GiB of memory or storage for an hour, a GiB of traffic. Not negative, at most four decimals; null is
/// unknown. All of them take the place of what was entered before. Needs the scope `operate`.
#[utoipa::path(post, path = "/api/v1/clusters/{cluster_id}/resource-costs", tag = "costs",
    params(("cluster_id" = String, Path, description = "The cluster's id")),
    request_body = Rates, responses((status = 200, body = CostsUpdated)))]
async fn enter(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Json(rates): Json<Rates>,
) -> Result<Json<CostsUpdated>, Problem> {
    caller.require(&Scope::Operate)?;
    api.clusters.enter_costs(&caller.user, &id, &rates, api.now()).await?;
    Ok(Json(CostsUpdated { success: true, cluster_id: id, costs_updated: true }))
}

/// What the cluster costs in an hour and a month, by namespace and workload, and what of it is idle
///
/// As the OpenCost specification defines it; the agent counts for each answer.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster_id}/costs", tag = "costs",
    params(("cluster_id" = String, Path, description = "The cluster's id")),
    responses((status = 200, body = ClusterCosts)))]
async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<ClusterCosts>, Problem> {
    caller.require(&Scope::Read)?;
    let now = api.now();
    let cluster = api.clusters.get(&caller.user, &id, now).await?;
    let allocation = api.agents.allocation(&caller.user, &cluster.agent_id).await?;
    let rates = cluster.rates();
    let storage = allocation.storage_bytes.map(|_| ("storage_cost", rates.storage_cost));
    let needed =
        [("cpu_cost", rates.cpu_cost), ("memory_cost", rates.memory_cost)].into_iter().chain(storage);
    Ok(Json(ClusterCosts {
        cluster_id: cluster.id,
        cluster_name: cluster.name,
        currency: "USD",
        rates,
        unknown: needed.filter_map(|(name, rate)| rate.is_none().then_some(name)).collect(),
        // Of storage: unless the agent may list volumes, which it may with the feature `usage`.
        not_counted: if allocation.storage_bytes.is_some() {
            vec!["ingress", "egress"]
        } else {
            vec!["storage", "ingress", "egress"]
        },
        usage_known: allocation.usage_known,
        costs: (!rates.are_unknown()).then(|| allocate(&rates, &allocation)),
        at: now,
        simulated: allocation.provenance.simulated,
    }))
}
