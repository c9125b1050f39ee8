//! A service's own database: SQLite or PostgreSQL, chosen by URL, with one SQL text for both.
//!
//! [`Store::open`] opens it, [`Store::migrate`] brings its tables up to date, [`Store::begin`] starts a
//! [`Transaction`] that may [`emit`](Transaction::emit) events, and [`Store::relay_events`] publishes them once the
//! transaction is committed. [`Sealer`] encrypts the secrets that go into rows.
//!
//! SQL for both databases goes through [`sqlx::Any`]: `$1` placeholders and the types TEXT, BIGINT, DOUBLE PRECISION
//! and BYTEA only. A state is kept as the nullable time at which it was entered, an id as TEXT, a time as epoch
//! milliseconds, money as BIGINT in 1/10000 of a dollar, JSON as TEXT.

mod clock;
mod error;
mod location;
mod migrate;
mod open;
mod outbox;
mod seal;
mod transaction;

#[cfg(feature = "testing")]
pub mod testing;

use std::{fmt, path::Path, sync::Arc, time::Duration};

use sqlx::{Any, Pool};
use tokio::{sync::Notify, time::timeout};

pub use clock::Clock;
pub use error::StoreError;
pub use open::Options;
pub use seal::{SealError, Sealer};
pub use transaction::Transaction;

/// Which database is behind a [`Store`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A file.
    Sqlite,
    /// A schema of a PostgreSQL database.
    Postgres,
}

/// A service's database. Cheap to clone; all clones share one pool of connections.
#[derive(Clone)]
pub struct Store {
    pool: Pool<Any>,
    backend: Backend,
    /// Where it is, if it is a file.
    file: Option<Arc<Path>>,
    /// See [`Store::bounded`].
    limit: Duration,
    /// Separates this service's locks from those of others in the same PostgreSQL database.
    schema: Arc<str>,
    events_committed: Arc<Notify>,
    clock: Clock,
}

impl Store {
    /// Connections for single statements. What reads and then writes goes through [`Store::begin`].
    pub fn pool(&self) -> &Pool<Any> {
        &self.pool
    }

    /// Which database this is.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// The file that it is, if it is one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Gives work with the database the time of [`Options::statement_timeout`] and no more. Waiting for connections and
    /// locks is bounded anyway; only this bounds the wait for a server that fell silent in the midst of a statement.
    ///
    /// # Errors
    /// Those of `work`, and [`StoreError::Unavailable`] when it takes too long.
    pub async fn bounded<T, E: From<StoreError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        timeout(self.limit, work)
            .await
            .unwrap_or_else(|_| Err(StoreError::Unavailable(sqlx::Error::PoolTimedOut).into()))
    }

    /// Runs one statement, within the time of [`bounded`](Self::bounded).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read<T>(
        &self,
        statement: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, StoreError> {
        self.bounded(async { Ok(statement.await?) }).await
    }

    /// Whether the database answers now, for readiness.
    ///
    /// # Errors
    /// [`StoreError`] within the store's timeout when it does not, or has not been migrated.
    pub async fn ping(&self) -> Result<(), StoreError> {
        // It reads a table, because `SELECT 1` would not touch SQLite's file.
        sqlx::query("SELECT id FROM outbox_lease").fetch_one(&self.pool).await?;
        Ok(())
    }

    /// The same as a readiness check: in words that anybody may read, and by value so that it may outlive its caller.
    ///
    /// # Errors
    /// That it cannot be used.
    pub async fn readiness(self) -> Result<(), String> {
        self.ping().await.map_err(|_| "the database cannot be used".to_owned())
    }

    /// The database's clock, which all replicas agree on, in epoch milliseconds.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn now(&self) -> Result<i64, StoreError> {
        let millis = match self.backend {
            Backend::Sqlite => "SELECT CAST(ROUND(unixepoch('subsec') * 1000) AS BIGINT)",
            Backend::Postgres => "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
        };
        Ok(sqlx::query_scalar(millis).fetch_one(&self.pool).await?)
    }

    /// Waits for the statements under way and closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("backend", &self.backend)
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}
