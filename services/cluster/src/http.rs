//! The HTTP API: one file a resource.

mod agents;
mod envelope;
mod health;
mod queries;
mod selection;

use utoipa_axum::router::OpenApiRouter;
use web::{
    RateLimit,
    auth::{Verifier, protect},
};

use crate::agents::Agents;

/// The routes for users, by API key, and the health check of earlier systems.
pub(crate) fn routes<V: Verifier>(agents: Agents, verifier: V, limit: RateLimit) -> OpenApiRouter {
    let users = OpenApiRouter::new().merge(queries::routes()).merge(agents::routes()).with_state(agents);
    protect(users, verifier, limit).merge(health::routes())
}
