//! The HTTP API: one file a resource.

mod agent_keys;
mod alerts;
mod aws_role;
mod clusters;
mod connect;
mod costs;
mod install;
mod install_script;

use std::sync::Arc;

use aws_access::Sessions;
use contracts::Timestamp;
use url::Url;
use utoipa_axum::router::OpenApiRouter;
use web::{
    RateLimit,
    auth::{Verifier, protect},
};

use crate::{agent_version::OldestAgent, agents::Agents, clusters::Clusters, session, store::Database};

/// What handlers share.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) clusters: Clusters,
    pub(crate) agents: Agents,
    pub(crate) aws: Arc<Aws>,
    pub(crate) install: Arc<InstallSettings>,
    pub(crate) oldest_agent: OldestAgent,
}

impl Api {
    /// The time that all replicas agree on.
    pub(crate) fn now(&self) -> Timestamp {
        self.clusters.database.now()
    }
}

/// How roles are assumed.
pub(crate) struct Aws {
    pub(crate) sessions: Sessions,
    /// Who roles are told to trust; `None`: whoever Kubesage is for AWS.
    pub(crate) principal: Option<String>,
}

/// What install scripts are made with.
#[derive(Clone, Debug)]
pub(crate) struct InstallSettings {
    /// Where agents reach this service.
    pub(crate) public_url: Url,
    /// The agent's image.
    pub(crate) agent_image: String,
}

/// The routes for users, by API key, for install scripts, by their token, and for agents, by agent key.
pub(crate) fn routes<V: Verifier>(
    api: Api,
    verifier: V,
    limit: RateLimit,
    sessions: Arc<session::Sessions>,
    database: Database,
) -> OpenApiRouter {
    let users = OpenApiRouter::new()
        .merge(install_script::routes())
        .merge(clusters::routes())
        .merge(agent_keys::routes())
        .merge(alerts::routes())
        .merge(aws_role::routes())
        .merge(costs::routes())
        .with_state(api.clone());
    let scripts = install::routes().with_state(api);
    protect(users, verifier, limit).merge(scripts).merge(connect::routes(sessions, database))
}
