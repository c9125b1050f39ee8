//! Clusters, their agents and the agents' keys in the database.

mod alerts;
mod aws_roles;
mod clusters;
mod install_tokens;
mod keys;
mod lifecycle;
mod sessions;
mod vitals;

pub(crate) use alerts::Alert;
pub(crate) use clusters::{Cluster, NewCluster};
pub(crate) use install_tokens::InstallToken;
pub(crate) use keys::{AgentIdentity, AgentKey, NewKey, Refusal, UNUSED_LIFETIME};
pub(crate) use lifecycle::{Change, State};
pub(crate) use sessions::{AT_ONCE, Claimed, HeldSession, NewSession, Replica, Whereabouts};
pub(crate) use vitals::{Incident, Vitals};

use contracts::{Timestamp, events::Event};
use sqlx::migrate::Migrator;
use store::{Store, StoreError};
use uuid::Uuid;

static MIGRATIONS: Migrator = sqlx::migrate!();

/// This service's database.
#[derive(Clone)]
pub(crate) struct Database {
    store: Store,
    /// Whether somebody is called when a cluster falls silent.
    alerts: bool,
}

impl Database {
    /// Brings the tables up to date.
    pub(crate) async fn open(store: Store, alerts: bool) -> Result<Self, StoreError> {
        store.migrate(&MIGRATIONS).await?;
        Ok(Self { store, alerts })
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The time that all replicas agree on.
    pub(crate) fn now(&self) -> Timestamp {
        self.store.clock().now()
    }

    /// Has an event published that belongs to no change of a row.
    pub(crate) async fn emit(&self, event: &Event) -> Result<(), StoreError> {
        self.store
            .bounded(async {
                let mut transaction = self.store.begin().await?;
                transaction.emit(event).await?;
                transaction.commit().await
            })
            .await
    }
}

/// Whether it can be an id that was made here. What callers send may hold what PostgreSQL takes in no text: a NUL.
fn is_id(text: &str) -> bool {
    Uuid::try_parse(text).is_ok()
}
