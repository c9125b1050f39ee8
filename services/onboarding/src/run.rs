//! The service as a process of its own.

use std::net::SocketAddr;

use contracts::queues::Service;
use store::{Sealer, Store};
use url::Url;
use web::{
    App, Outcome, RateLimit, Readiness, Server, Shutdown,
    auth::RemoteVerifier,
    process::{self, Failure},
};

use crate::{Config, NAME, Onboarding, Parts, SessionTiming};

/// Runs the service until the process is told to stop.
///
/// # Errors
/// When it cannot start.
pub async fn run(config: Config) -> Result<Outcome, Failure> {
    let server = Server::bind(&config.server.server_config()).await?;
    let store = Store::open(&config.database.database_url, NAME).await?;
    Sealer::for_database(store.backend(), config.database.secrets_key.as_ref())?;
    let bus = config.bus.connect(NAME)?;
    let shutdown = Shutdown::on_signals()?;
    let parts = Parts {
        verifier: RemoteVerifier::start(&bus, Service::Onboarding, &config.auth)?,
        rate_limit: RateLimit::new(&config.rate_limit),
        store: store.clone(),
        bus: bus.clone(),
        own_url: own_url(server.local_addr(), config.server.tls.use_ssl)?,
        agents: config.agents,
        timing: SessionTiming::default(),
        aws: config.aws.sts().await,
        aws_principal: config.aws.aws_trusted_principal,
    };
    let onboarding = Onboarding::start(parts, &shutdown).await?;
    let replicas = onboarding.replica();
    let readiness = process::broker_check(Readiness::new(), &bus)
        .check("database", move || store.clone().readiness())
        .check("replicas", move || replicas.clone().readiness());
    let app = App::new("Kubesage onboarding", env!("CARGO_PKG_VERSION"))
        .routes(onboarding.routes)
        .readiness(readiness);
    Ok(process::serve(server, app, shutdown).await)
}

/// The address by which this machine reaches the service.
fn own_url(address: SocketAddr, uses_tls: bool) -> Result<Url, url::ParseError> {
    let scheme = if uses_tls { "https" } else { "http" };
    Url::parse(&format!("{scheme}://127.0.0.1:{}", address.port()))
}
