//! The service's database.

mod accounts;
mod instances;
mod operations;
mod orphans;
mod sagas;

use contracts::Timestamp;
use sqlx::migrate::Migrator;
use store::{Store, StoreError};
use uuid::Uuid;

pub(crate) use accounts::Account;
pub(crate) use accounts::Removed;
pub(crate) use instances::LabInstance;
pub(crate) use operations::{NotBegun, Operation};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// This service's database. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    store: Store,
}

impl Database {
    /// Brings the tables up to date.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(store: Store) -> Result<Self, StoreError> {
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

/// Whether it can be an id that was made here. What callers send may hold what PostgreSQL takes in no text: a NUL.
fn is_id(text: &str) -> bool {
    Uuid::try_parse(text).is_ok()
}
