//! Transactions that read and then write.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use sqlx::{Any, AnyConnection};
use tokio::sync::Notify;

use crate::{Backend, Store, StoreError};

/// A transaction; dropping it without [`commit`](Self::commit) rolls it back. Statements run on `&mut *transaction`.
pub struct Transaction {
    inner: sqlx::Transaction<'static, Any>,
    /// Poked after a commit with events.
    pub(crate) events_committed: Arc<Notify>,
    pub(crate) has_events: bool,
}

impl Store {
    /// Begins a transaction. On SQLite it is the only one that writes, from its beginning on: one that began by reading
    /// could not go on to write once another has.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when no connection, or on SQLite no lock, is to be had in time.
    pub async fn begin(&self) -> Result<Transaction, StoreError> {
        let inner = match self.backend {
            Backend::Sqlite => self.pool.begin_with("BEGIN IMMEDIATE").await?,
            Backend::Postgres => self.pool.begin().await?,
        };
        Ok(Transaction { inner, events_committed: Arc::clone(&self.events_committed), has_events: false })
    }

    /// Begins a transaction that no other of the same `name` overlaps, in any replica: for rules over several rows, such
    /// as "at least one is left".
    ///
    /// # Errors
    /// As [`Store::begin`], also when others hold `name` for too long.
    pub async fn begin_exclusive(&self, name: &str) -> Result<Transaction, StoreError> {
        let mut transaction = self.begin().await?;
        self.take_turns(&mut transaction, name).await?;
        Ok(transaction)
    }

    /// Waits until no other transaction holds `name`, and holds it until the end of this one.
    pub(crate) async fn take_turns(
        &self,
        connection: &mut AnyConnection,
        name: &str,
    ) -> Result<(), StoreError> {
        // On SQLite there is only one writer at a time anyway.
        if self.backend == Backend::Postgres {
            sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
                .bind(format!("kubesage {} {name}", self.schema))
                .execute(connection)
                .await?;
        }
        Ok(())
    }
}

impl Transaction {
    /// Makes the changes last and sends the emitted events on their way.
    ///
    /// # Errors
    /// [`StoreError`]; when the connection broke meanwhile, whether the changes last is not known.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.inner.commit().await?;
        if self.has_events {
            self.events_committed.notify_one();
        }
        Ok(())
    }

    /// Undoes the changes now, and not when the connection is next used.
    ///
    /// # Errors
    /// [`StoreError`] when the connection broke; the changes are undone all the same.
    pub async fn rollback(self) -> Result<(), StoreError> {
        Ok(self.inner.rollback().await?)
    }
}

impl Deref for Transaction {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.inner
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.inner
    }
}
