//! Users and their API keys, and the answer to whose a key is.
//!
//! The other services ask over the bus, each on its own queue, or over HTTP while the broker is away. They may remember
//! a valid key for some seconds; an event that a key or a user has changed, written in the same transaction as the
//! change, empties their memory at once.

mod accounts;
mod bootstrap;
mod config;
mod error;
mod events;
mod http;
mod keys;
mod last_used;
mod model;
mod queue;
mod rules;
mod run;
mod store;
mod users;
mod verify;

use ::store::{Store, StoreError};
use bus::Bus;
use secrecy::SecretString;
use utoipa_axum::router::OpenApiRouter;
use web::{RateLimit, Shutdown};

pub use accounts::Accounts;
pub use config::{Config, InvalidSetting, KeyArgs};
pub use error::Error;
pub use run::run;

/// The service's name: of its database, and in its API document.
pub const NAME: &str = "user-auth";

/// What the service is built from.
pub struct Parts {
    /// Its own database.
    pub store: Store,
    /// How it talks to the other services.
    pub bus: Bus,
    /// What other services show to verify keys over HTTP; without it they cannot.
    pub service_token: Option<SecretString>,
    /// How often each key may call.
    pub rate_limit: RateLimit,
}

/// The running service.
pub struct UserAuth {
    /// Its routes, to be served.
    pub routes: OpenApiRouter,
    /// Users and keys; also a [`Verifier`](web::auth::Verifier) that asks nobody.
    pub accounts: Accounts,
}

impl UserAuth {
    /// Brings the database up to date and starts the service's tasks; they end with `shutdown`.
    ///
    /// # Errors
    /// As [`Store::migrate`].
    pub async fn start(parts: Parts, shutdown: &Shutdown) -> Result<Self, StoreError> {
        let Parts { store, bus, service_token, rate_limit } = parts;
        store.migrate(&store::MIGRATIONS).await?;
        let (accounts, uses) = Accounts::new(store.clone());
        queue::spawn(&accounts, &bus, shutdown);
        let relayed = store.clone();
        shutdown.spawn_endless("user-auth events", async move {
            relayed.relay_events(|event| bus.publish_event(event)).await
        });
        let timed = store.clone();
        shutdown.spawn_endless("user-auth clock", async move { timed.keep_time().await });
        shutdown.spawn_endless("uses of keys", last_used::record(store, uses));
        let routes = http::routes(accounts.clone(), service_token, rate_limit);
        Ok(Self { routes, accounts })
    }
}
