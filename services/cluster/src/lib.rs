//! Answers what users ask of their clusters: by asking the cluster's agent over the queue, or by credentials that are stored here; and
//! keeps the audit log.

mod agents;
mod audit;
mod cluster_id;
mod config;
mod http;
mod kubectl_runs;
mod owners;
mod run;
mod store;
mod stored;

use std::{sync::Arc, time::Duration};

use ::kubectl::Permissions;
use ::store::{Sealer, Store, StoreError};
use bus::Bus;
use thiserror::Error;
use utoipa_axum::router::OpenApiRouter;
use web::{RateLimit, Shutdown, auth::Verifier, in_flight::InFlight};

pub use config::{AuditArgs, Config, KubectlArgs, QueryArgs, StoredArgs};
pub use kubectl_runs::clear_leftovers;
pub use run::run;
pub use stored::UnusableSecrets;

use agents::Agents;
use http::Api;
use kubectl_runs::KubectlRuns;
use store::Database;
use stored::{Clients, Seals, StoredClusters};

/// The service's name: of its database, its connections, its part of the system.
pub const NAME: &str = "cluster";

/// Answering takes so much longer than what it waits for.
const MARGIN: Duration = Duration::from_secs(5);

/// What the service is built from.
pub struct Parts<V> {
    /// Its own database.
    pub store: Store,
    /// What seals the secrets in it.
    pub sealer: Sealer,
    /// How it talks to the other services.
    pub bus: Bus,
    /// How it finds out whose an API key is.
    pub verifier: V,
    /// How often each key may call.
    pub rate_limit: RateLimit,
    /// How agents are asked.
    pub queries: QueryArgs,
    /// How stored clusters are.
    pub stored: StoredArgs,
    /// How `kubectl` is run.
    pub kubectl: KubectlArgs,
    /// How long the audit log is kept.
    pub audit: AuditArgs,
}

/// Why the service does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is sealed in it cannot be opened.
    #[error(transparent)]
    Secrets(#[from] UnusableSecrets),
}

/// Brings the database up to date, starts the service's tasks, which end with `shutdown`, and answers its routes, to be served.
///
/// # Errors
/// When the database cannot be used, or the secrets in it are sealed with another key.
pub async fn start<V: Verifier>(parts: Parts<V>, shutdown: &Shutdown) -> Result<OpenApiRouter, StartError> {
    let Parts { store, sealer, bus, verifier, rate_limit, queries, stored, kubectl, audit } = parts;
    let database = Database::open(store).await?;
    let seals = Seals::new(sealer);
    seals.check(&database).await?;
    let clients = Clients::new(stored.limits());
    let clusters =
        StoredClusters { database: database.clone(), seals: seals.clone(), clients: clients.clone() };

    shutdown.spawn_endless("sealing", stored::keep_sealed(seals, database.clone()));
    shutdown.spawn_endless("clients", clients.clone().keep_tidy());
    let (relaying, of) = (database.store().clone(), bus.clone());
    shutdown
        .spawn_endless("events", async move { relaying.relay_events(|event| of.publish_event(event)).await });
    let timed = database.store().clone();
    shutdown.spawn_endless("clock", async move { timed.keep_time().await });
    shutdown.spawn_service("audit log", audit::keep(bus.clone(), database.clone(), shutdown.token()));
    shutdown.spawn_endless("tidying", audit::tidy(bus.clone(), database, audit.retention()));

    let patience = Duration::from_secs(queries.websocket_timeout);
    let cluster_patience = stored.limits().answer.max(kubectl.timeout()) + MARGIN;
    let settings = kubectl_runs::Settings {
        program: kubectl.program(),
        permissions: Permissions { writes: kubectl.kubectl_writes, secrets: kubectl.kubectl_secrets },
        bounds: kubectl.bounds(),
    };
    if let Err(error) = which::which(&settings.program) {
        tracing::warn!(program = %settings.program.display(), %error, "kubectl is missing (setting KUBECTL): commands cannot be run");
    }
    let runs = KubectlRuns::new(clusters.clone(), settings, InFlight::new(kubectl.bound()));
    shutdown.spawn(runs.clone().end(shutdown.token()));
    let in_flight = InFlight::new(queries.bound());
    let agents = Agents::new(bus, Arc::clone(&in_flight));
    let api = Api { clusters, kubectl: runs, in_flight };
    Ok(http::routes(agents, patience, api, cluster_patience, verifier, rate_limit))
}
