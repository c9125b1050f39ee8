//! The service as a process of its own.

use contracts::queues::Service;
use web::{
    App, Outcome, RateLimit, Readiness, Server, Shutdown,
    auth::RemoteVerifier,
    process::{self, Failure},
};

use crate::{Config, Parts, routes};

/// Runs the service until the process is told to stop.
///
/// # Errors
/// When it cannot start.
pub async fn run(config: Config) -> Result<Outcome, Failure> {
    let server = Server::bind(&config.server.server_config()).await?;
    let bus = config.bus.connect("cluster")?;
    let parts = Parts {
        verifier: RemoteVerifier::start(&bus, Service::Cluster, &config.auth)?,
        rate_limit: RateLimit::new(&config.rate_limit),
        bus: bus.clone(),
        queries: config.queries,
    };
    let app = App::new("Kubesage cluster", env!("CARGO_PKG_VERSION"))
        .routes(routes(parts))
        .readiness(process::broker_check(Readiness::new(), &bus));
    Ok(process::serve(server, app, Shutdown::on_signals()?).await)
}
