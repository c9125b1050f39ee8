//! Clusters by stored credentials, and the audit log, in the database.

mod audit;
mod clusters;

pub(crate) use audit::{Position, Wanted};
pub(crate) use clusters::{NewCluster, Sealed, StoredCluster};

use contracts::Timestamp;
use sqlx::migrate::Migrator;
use store::{Store, StoreError};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// This service's database. Cheap to clone.
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

    /// The time that all replicas agree on.
    pub(crate) fn now(&self) -> Timestamp {
        self.store.clock().now()
    }
}
