//! The HTTP API: one file a resource.

mod accounts;
mod events;
mod instances;
mod operations;
mod problem;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use web::{
    RateLimit,
    auth::{Verifier, protect},
    in_flight::InFlight,
};

use crate::lab::Lab;

/// What the handlers need.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) lab: Lab,
    /// The streams of events.
    pub(crate) streams: Arc<InFlight>,
    /// Streams end with the process.
    pub(crate) shutdown: CancellationToken,
}

/// The routes for users, by API key.
pub(crate) fn routes<V: Verifier>(api: Api, verifier: V, limit: RateLimit) -> OpenApiRouter {
    let routes = OpenApiRouter::new()
        .merge(accounts::routes())
        .merge(instances::routes())
        .merge(operations::routes())
        .merge(events::routes())
        .with_state(api);
    protect(routes, verifier, limit)
}
