//! Moves workloads to cheaper capacity without anybody noticing.
//!
//! Users name accounts and instances in them (the lab), and have operations evaluate these. An operation is a saga
//! ([`saga`]) made of phases ([`phases`]), which reach a cloud and a cluster through a seam ([`reach`]).

mod clouds;
pub mod cluster;
mod config;
mod counted;
mod http;
mod lab;
pub mod phases;
pub mod reach;
mod reaper;
mod report;
mod retention;
mod run;
pub mod saga;
mod store;
mod worker;

use std::{sync::Arc, time::Duration};

use ::store::{Store, StoreError};
use bus::Bus;
use contracts::auth::UserData;
use tokio::sync::Notify;
use utoipa_axum::router::OpenApiRouter;
use web::{RateLimit, Shutdown, auth::Verifier, in_flight::InFlight};

#[cfg(feature = "aws")]
pub use clouds::Aws;
pub use clouds::Clouds;
#[cfg(feature = "aws")]
pub use config::AwsArgs;
pub use config::{Config, OperationArgs};
pub use lab::{LabError, NewAccount};
pub use run::run;
pub use store::Database;

use lab::Lab;
use reaper::Reaper;
use saga::Timing;
use worker::Worker;

/// The service's name: of its database, its connections, its part of the system.
pub const NAME: &str = "optimizer";

/// How often accounts are looked through for what was left behind.
const REAP_EVERY: Duration = Duration::from_secs(60);

/// What the service is built from.
pub struct Parts<V> {
    /// Its own database.
    pub store: Store,
    /// How it talks to the other services.
    pub bus: Bus,
    /// How it finds out whose an API key is.
    pub verifier: V,
    /// How often each key may call.
    pub rate_limit: RateLimit,
    /// The clouds that accounts can be in.
    pub clouds: Clouds,
    /// How operations are carried on.
    pub operations: OperationArgs,
}

/// The service, started.
pub struct Optimizer {
    /// Its routes, to be served.
    pub routes: OpenApiRouter,
    lab: Lab,
}

impl Optimizer {
    /// The user's account of this name, made when there is none; answers its id.
    ///
    /// # Errors
    /// [`LabError`].
    pub async fn ensure_account(&self, user: &UserData, account: NewAccount) -> Result<String, LabError> {
        self.lab.ensure_account(user, account).await
    }
}

/// Brings the database up to date and starts the service's tasks, which end with `shutdown`.
///
/// # Errors
/// When the database cannot be used.
pub async fn start<V: Verifier>(parts: Parts<V>, shutdown: &Shutdown) -> Result<Optimizer, StoreError> {
    let Parts { store, bus, verifier, rate_limit, clouds, operations } = parts;
    let database = Database::open(store).await?;
    let begun = Arc::new(Notify::new());
    counted::prepare();

    let relaying = database.store().clone();
    shutdown.spawn_endless(
        "events",
        async move { relaying.relay_events(|event| bus.publish_event(event)).await },
    );
    let timed = database.store().clone();
    shutdown.spawn_endless("clock", async move { timed.keep_time().await });
    let following = database.clone();
    shutdown.spawn_endless("journals", async move { following.keep_following().await });
    let worker = Worker {
        database: database.clone(),
        clouds: clouds.clone(),
        timing: Timing::default(),
        at_once: operations.max_operations.into(),
        begun: begun.clone(),
    };
    shutdown.spawn_service("operations", worker.run(shutdown.token()));
    let reaper = Reaper {
        database: database.clone(),
        clouds: clouds.clone(),
        every: REAP_EVERY,
        grace: operations.orphan_grace(),
    };
    shutdown.spawn_endless("orphans", reaper.run());
    shutdown.spawn_endless("tidying", retention::tidy(database.clone(), operations.retention()));

    let lab = Lab { database, clouds, begun, max_live: operations.max_operations_per_user };
    let api = http::Api {
        lab: lab.clone(),
        streams: InFlight::new(operations.streams()),
        shutdown: shutdown.token(),
    };
    Ok(Optimizer { routes: http::routes(api, verifier, rate_limit), lab })
}
