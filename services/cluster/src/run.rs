//! The service as a process of its own.

use contracts::queues::Service;
use store::{Sealer, Store};
use web::{
    App, Outcome, RateLimit, Readiness, Server, Shutdown,
    auth::RemoteVerifier,
    process::{self, Failure},
};

use crate::{Config, NAME, Parts, clear_leftovers, start};

/// Runs the service until the process is told to stop.
///
/// # Errors
/// When it cannot start.
pub async fn run(config: Config) -> Result<Outcome, Failure> {
    let server = Server::bind(&config.server.server_config()).await?;
    let store = Store::open(&config.database.database_url, NAME).await?;
    let sealer = Sealer::of(&store, config.database.secrets_key.as_ref())?;
    clear_leftovers();
    let bus = config.bus.connect(NAME)?;
    let shutdown = Shutdown::on_signals()?;
    let parts = Parts {
        verifier: RemoteVerifier::start(&bus, Service::Cluster, &config.auth)?,
        rate_limit: RateLimit::new(&config.rate_limit),
        store: store.clone(),
        sealer,
        bus: bus.clone(),
        queries: config.queries,
        stored: config.stored,
        kubectl: config.kubectl,
        audit: config.audit,
    };
    let routes = start(parts, &shutdown).await?;
    let readiness =
        process::broker_check(Readiness::new(), &bus).check("database", move || store.clone().readiness());
    let app = App::new("Kubesage cluster", env!("CARGO_PKG_VERSION")).routes(routes).readiness(readiness);
    Ok(process::serve(server, app, shutdown).await)
}
