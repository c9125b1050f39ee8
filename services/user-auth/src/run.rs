//! The service as a process of its own.

use std::io::{self, Write};

use contracts::Token;
use secrecy::ExposeSecret;
use store::{Sealer, Store};
use web::{
    App, Outcome, RateLimit, Readiness, Server, Shutdown,
    process::{self, Failure},
};

use crate::{Config, NAME, Parts, UserAuth};

/// Runs the service until the process is told to stop.
///
/// # Errors
/// When it cannot start.
pub async fn run(config: Config) -> Result<Outcome, Failure> {
    let (bootstrap_key, service_token) = (config.keys.bootstrap_api_key()?, config.keys.service_token()?);
    // The port comes first, so that a start that fails does not show a key.
    let server = Server::bind(&config.server.server_config()).await?;
    let store = Store::open(&config.database.database_url, NAME).await?;
    Sealer::for_database(store.backend(), config.database.secrets_key.as_ref())?;
    let bus = config.bus.connect(NAME)?;
    let shutdown = Shutdown::on_signals()?;
    let parts = Parts {
        store: store.clone(),
        bus: bus.clone(),
        service_token,
        rate_limit: RateLimit::new(&config.rate_limit),
    };
    let service = UserAuth::start(parts, &shutdown).await?;
    let made = service.accounts.bootstrap(bootstrap_key.as_ref(), store.clock().now());
    if let Some(key) = made.await? {
        show_once(&key)?;
    }
    let database = store.clone();
    let readiness =
        process::broker_check(Readiness::new(), &bus).check("database", move || database.clone().readiness());
    let app =
        App::new("Kubesage user-auth", env!("CARGO_PKG_VERSION")).routes(service.routes).readiness(readiness);
    let outcome = process::serve(server, app, shutdown).await;
    store.close().await;
    Ok(outcome)
}

/// Shows the first key to whoever started the process; the log must not have it.
fn show_once(key: &Token) -> io::Result<()> {
    writeln!(
        io::stdout(),
        "The first administrator's API key, shown this once: {}",
        key.secret().expose_secret()
    )
}
