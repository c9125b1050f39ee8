//! The service as a process of its own.

use contracts::queues::Service;
use store::Store;
use web::{
    App, Outcome, RateLimit, Readiness, Server, Shutdown,
    auth::RemoteVerifier,
    process::{self, Failure},
};

use crate::{Clouds, Config, NAME, Parts, start};

/// Runs the service until the process is told to stop.
///
/// # Errors
/// When it cannot start.
pub async fn run(config: Config) -> Result<Outcome, Failure> {
    let server = Server::bind(&config.server.server_config()).await?;
    let store = Store::open(&config.database.database_url, NAME).await?;
    let bus = config.bus.connect(NAME)?;
    let shutdown = Shutdown::on_signals()?;
    let parts = Parts {
        verifier: RemoteVerifier::start(&bus, Service::Optimizer, &config.auth)?,
        rate_limit: RateLimit::new(&config.rate_limit),
        clouds: clouds(&config).await?,
        store: store.clone(),
        bus: bus.clone(),
        operations: config.operations,
    };
    let optimizer = start(parts, &shutdown).await?;
    let readiness =
        process::broker_check(Readiness::new(), &bus).check("database", move || store.clone().readiness());
    let app = App::new("Kubesage optimizer", env!("CARGO_PKG_VERSION"))
        .routes(optimizer.routes)
        .readiness(readiness);
    Ok(process::serve(server, app, shutdown).await)
}

#[cfg(feature = "aws")]
async fn clouds(config: &Config) -> Result<Clouds, Failure> {
    Ok(config.aws.clouds().await?)
}

#[cfg(not(feature = "aws"))]
async fn clouds(_: &Config) -> Result<Clouds, Failure> {
    tracing::warn!(
        "this program was built without the feature `aws`: it reaches no account of AWS, so no account can be added and no operation goes on"
    );
    Ok(Clouds::default())
}
