//! Bringing the tables up to date.

use std::time::Duration;

use sqlx::{
    AnyConnection, AssertSqlSafe, Connection, Executor,
    migrate::{MigrateError, Migrator},
};

use crate::{Backend, Store, StoreError};

/// How long one replica waits while another migrates.
const PATIENCE: Duration = Duration::from_secs(60);

impl Store {
    /// Runs the store's own migrations (the outbox) and then the service's, each once, all or none. Several replicas may
    /// do so at the same time. Then the database's [clock](Self::clock) is read.
    ///
    /// # Errors
    /// [`StoreError::Newer`] when the database has a migration that is later than all of `migrator`,
    /// [`StoreError::Migration`] when one fails or was changed after it ran, [`StoreError::Unavailable`].
    pub async fn migrate(&self, migrator: &Migrator) -> Result<(), StoreError> {
        // A connection that does not return to the pool: its session has other timeouts, and what the migrator locks
        // and does not unlock when it fails ends with it.
        let mut connection = self.pool.acquire().await?.detach();
        let result = self.migrate_on(&mut connection, migrator).await;
        // Only a farewell: what was to be done is done, or not.
        drop(connection.close().await);
        result?;
        // Whatever it takes: the machine's may be wrong by hours.
        self.read_clock(Duration::MAX).await
    }

    async fn migrate_on(&self, connection: &mut AnyConnection, service: &Migrator) -> Result<(), StoreError> {
        let patience = PATIENCE.as_millis();
        let (begin, session, mut own) = match self.backend {
            Backend::Sqlite => (
                "BEGIN IMMEDIATE",
                format!("PRAGMA busy_timeout = {patience}"),
                sqlx::migrate!("migrations/sqlite"),
            ),
            Backend::Postgres => (
                "BEGIN",
                format!("SET lock_timeout = {patience}; SET statement_timeout = 0"),
                sqlx::migrate!("migrations/postgres"),
            ),
        };
        own.dangerous_set_table_name("_store_migrations");

        connection.execute(AssertSqlSafe(session)).await?;
        let mut transaction = connection.begin_with(begin).await?;
        self.take_turns(&mut transaction, "migrations").await?;
        for migrator in [&own, service] {
            migrator.run(&mut *transaction).await.map_err(|error| explain(error, migrator))?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

fn explain(error: MigrateError, migrator: &Migrator) -> StoreError {
    let latest = migrator.iter().map(|migration| migration.version).max();
    match error {
        MigrateError::VersionMissing(migration) if Some(migration) > latest => {
            StoreError::Newer { migration }
        }
        MigrateError::Execute(cause) => cause.into(),
        other => StoreError::Migration(other),
    }
}
