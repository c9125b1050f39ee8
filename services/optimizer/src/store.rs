//! Sagas in the database.

mod sagas;

use contracts::Timestamp;
use sqlx::migrate::Migrator;
use store::{Store, StoreError};

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

    /// The time that all replicas agree on.
    pub(crate) fn now(&self) -> Timestamp {
        self.store.clock().now()
    }
}
