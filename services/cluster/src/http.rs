//! The HTTP API: one file a resource.

mod agents;
mod deadline;
mod envelope;
mod health;
mod joined;
mod queries;
mod selection;

use std::time::Duration;

use utoipa_axum::router::OpenApiRouter;
use web::{
    RateLimit,
    auth::{Verifier, protect},
};

use crate::agents::Agents;

/// The routes for users, by API key, and the health check of earlier systems. A request is answered within `patience`.
pub(crate) fn routes<V: Verifier>(
    agents: Agents,
    patience: Duration,
    verifier: V,
    limit: RateLimit,
) -> OpenApiRouter {
    let users = OpenApiRouter::new().merge(queries::routes()).merge(agents::routes()).with_state(agents);
    deadline::within(protect(users, verifier, limit), patience).merge(health::routes())
}
