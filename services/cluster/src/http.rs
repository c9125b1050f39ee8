//! The HTTP API: one file a resource.

mod agents;
mod audit;
mod deadline;
mod envelope;
mod health;
mod joined;
mod kubeconfig;
mod kubectl;
mod queries;
mod selection;
mod stored;

use std::{sync::Arc, time::Duration};

use contracts::{ErrorCode, Timestamp};
use utoipa_axum::router::OpenApiRouter;
use web::{
    RateLimit,
    auth::{Verifier, protect},
    in_flight::InFlight,
};

use crate::{agents::Agents, kubectl_runs::KubectlRuns, stored::StoredClusters};

/// What the handlers of stored clusters need.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) clusters: StoredClusters,
    pub(crate) kubectl: KubectlRuns,
    /// What is asked of clusters, within the same bounds as what is asked of agents.
    pub(crate) in_flight: Arc<InFlight>,
}

impl Api {
    fn now(&self) -> Timestamp {
        self.clusters.database.now()
    }
}

/// The routes for users, by API key, and the health check of earlier systems. A query is answered within `patience`, and what is asked
/// of a stored cluster within `cluster_patience`.
pub(crate) fn routes<V: Verifier>(
    agents: Agents,
    patience: Duration,
    api: Api,
    cluster_patience: Duration,
    verifier: V,
    limit: RateLimit,
) -> OpenApiRouter {
    let queries = OpenApiRouter::new().merge(queries::routes()).merge(agents::routes()).with_state(agents);
    let queries = deadline::within(
        protect(queries, verifier.clone(), limit.clone()),
        patience,
        ErrorCode::AgentTimeout,
    );
    let stored = OpenApiRouter::new()
        .merge(stored::routes())
        .merge(kubeconfig::routes())
        .merge(kubectl::routes())
        .merge(audit::routes())
        .with_state(api);
    let stored =
        deadline::within(protect(stored, verifier, limit), cluster_patience, ErrorCode::ClusterUnreachable);
    queries.merge(stored).merge(health::routes())
}
