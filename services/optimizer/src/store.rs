//! The service's database.

mod accounts;
mod claims;
mod instances;
mod operations;
mod orphans;
mod sagas;
mod tails;
mod tidy;

use std::sync::Arc;

use contracts::{Timestamp, events::Event};
use serde_json::Value;
use sqlx::{Any, migrate::Migrator};
use store::{Store, StoreError, Transaction};
use uuid::Uuid;

pub(crate) use accounts::{Account, Removed};
pub(crate) use instances::LabInstance;
pub(crate) use operations::{NotBegun, Operation};

use tails::Tails;

/// So many accounts, and so many instances, one user may have.
pub(crate) const MAX_EACH: i64 = 1000;

/// What has become of something that was to be added.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Added {
    Now,
    /// There is one already.
    Before,
    /// Its account is gone.
    NoAccount,
    /// Its user has [`MAX_EACH`].
    TooMany,
}

/// A statement with its arguments.
type Statement<'q> = sqlx::query::Query<'q, Any, <Any as sqlx::Database>::Arguments>;

static MIGRATIONS: Migrator = sqlx::migrate!();

/// This service's database. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    store: Store,
    tails: Arc<Tails>,
}

impl Database {
    /// Brings the tables up to date.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(store: Store) -> Result<Self, StoreError> {
        store.migrate(&MIGRATIONS).await?;
        Ok(Self { store, tails: Arc::default() })
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Changes a row and tells of it, both or neither; false when there was no such row, and then nothing is told.
    async fn change(&self, statement: Statement<'_>, event: &Event) -> Result<bool, StoreError> {
        self.store.bounded(async { finish(self.store.begin().await?, statement, event).await }).await
    }

    /// The time that all replicas agree on.
    pub(crate) fn now(&self) -> Timestamp {
        self.store.clock().now()
    }
}

/// Ends a transaction with a change and what tells of it; false when it concerns no row, and then nothing is done.
async fn finish(
    mut transaction: Transaction,
    statement: Statement<'_>,
    event: &Event,
) -> Result<bool, StoreError> {
    if statement.execute(&mut *transaction).await?.rows_affected() == 0 {
        return Ok(false);
    }
    transaction.emit(event).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Ends a transaction that no other of the user's overlaps with a row more of a table, unless the user has [`MAX_EACH`].
async fn add(
    mut transaction: Transaction,
    table: &'static str,
    user_id: &str,
    insert: Statement<'_>,
    event: &Event,
) -> Result<Added, StoreError> {
    let count = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table} WHERE user_id = $1"));
    let count: i64 = sqlx::query_scalar(count).bind(user_id).fetch_one(&mut *transaction).await?;
    if count >= MAX_EACH {
        return Ok(Added::TooMany);
    }
    Ok(if finish(transaction, insert, event).await? { Added::Now } else { Added::Before })
}

/// Says of what an event tells that it is of the simulated account, where it is.
pub(crate) fn marked(mut data: Value, is_simulated: bool) -> Value {
    if let Some(data) = data.as_object_mut().filter(|_| is_simulated) {
        data.insert("simulated".to_owned(), true.into());
    }
    data
}

/// Whether it can be an id that was made here. What callers send may hold what PostgreSQL takes in no text: a NUL.
fn is_id(text: &str) -> bool {
    Uuid::try_parse(text).is_ok()
}
