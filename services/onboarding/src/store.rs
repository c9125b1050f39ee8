//! Clusters, their agents and the agents' keys in the database.

mod clusters;
mod keys;

pub(crate) use clusters::{Cluster, NewCluster, Vitals};
pub(crate) use keys::{AgentIdentity, AgentKey, MAX_KEYS, NewKey, Refusal};

use sqlx::migrate::Migrator;
use store::{Store, StoreError};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// This service's database.
#[derive(Clone)]
pub(crate) struct Database {
    store: Store,
}

impl Database {
    /// Brings the tables up to date.
    pub(crate) async fn open(store: Store) -> Result<Self, StoreError> {
        store.migrate(&MIGRATIONS).await?;
        Ok(Self { store })
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }
}
