//! Answers what users ask of their clusters, by asking the cluster's agent over the queue.

mod agents;
mod cluster_id;
mod config;
mod http;
mod in_flight;
mod owners;
mod run;

use std::time::Duration;

use bus::Bus;
use utoipa_axum::router::OpenApiRouter;
use web::{RateLimit, auth::Verifier};

pub use config::{Config, QueryArgs};
pub use run::run;

use agents::Agents;
use in_flight::InFlight;

/// What the service is built from.
pub struct Parts<V> {
    /// How it talks to the other services.
    pub bus: Bus,
    /// How it finds out whose an API key is.
    pub verifier: V,
    /// How often each key may call.
    pub rate_limit: RateLimit,
    /// How queries are asked.
    pub queries: QueryArgs,
}

/// The service's routes, to be served. It has no tasks of its own.
pub fn routes<V: Verifier>(parts: Parts<V>) -> OpenApiRouter {
    let patience = Duration::from_secs(parts.queries.websocket_timeout);
    let agents = Agents::new(parts.bus, InFlight::new(&parts.queries));
    http::routes(agents, patience, parts.verifier, parts.rate_limit)
}
