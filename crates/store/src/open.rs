//! Opening a store.

use std::{mem, sync::Arc, time::Duration};

use secrecy::SecretString;
use sqlx::{
    Any, AnyConnection, AssertSqlSafe, ConnectOptions, Connection, Executor, Pool,
    any::{AnyConnectOptions, AnyPoolOptions},
};
use tokio::time::timeout;

use crate::{Backend, Clock, Store, StoreError, location::Location};

/// The bounds of a store.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long to wait for a connection, and inside a statement for a lock.
    pub timeout: Duration,
    /// How long a statement, or what [`Store::bounded`] is given, may take.
    pub statement_timeout: Duration,
    /// How many connections at most.
    pub max_connections: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(3),
            statement_timeout: Duration::from_secs(10),
            max_connections: 10,
        }
    }
}

/// PostgreSQL rolls back for a client that began a transaction and fell silent.
const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

impl Store {
    /// Opens the database of `service` at `url`, with the default [`Options`].
    ///
    /// - `sqlite:path`: the file of that path, or `{service}.db` in it if it is a directory or ends with `/`. What is
    ///   missing is made, for its owner alone.
    /// - `postgres://…`: the schema called `service` (with `_` for `-`) in that database; it is made if it is missing.
    ///
    /// # Errors
    /// [`StoreError::Configuration`] for another URL, [`StoreError::Unavailable`] when the database does not answer in
    /// time.
    pub async fn open(url: &SecretString, service: &str) -> Result<Self, StoreError> {
        Self::open_with(url, service, Options::default()).await
    }

    /// Opens the database with bounds of the caller's choice; see [`Store::open`].
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_with(url: &SecretString, service: &str, options: Options) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let schema = schema_name(service)?;
        let location = Location::parse(url, service)?;
        let connect = AnyConnectOptions::from_url(&location.connect_url()?)?;
        if location.backend() == Backend::Postgres {
            timeout(options.timeout, create_schema(&connect, &schema))
                .await
                .map_err(|_| sqlx::Error::PoolTimedOut)??;
        }
        let session = session_settings(location.backend(), &schema, &options);
        let pool: Pool<Any> = AnyPoolOptions::new()
            .max_connections(options.max_connections)
            .acquire_timeout(options.timeout)
            .after_connect(move |connection, _| {
                let session = session.clone();
                Box::pin(async move {
                    connection.execute(AssertSqlSafe(session)).await?;
                    Ok(())
                })
            })
            .after_release(move |connection, _| {
                // The pool's own test of a released connection waits for ever on one that is half open.
                Box::pin(async move {
                    match timeout(options.timeout, connection.ping()).await {
                        Ok(pong) => pong.map(|()| true),
                        Err(_) => {
                            drop(mem::replace(connection, harmless().await?));
                            Err(sqlx::Error::PoolTimedOut)
                        }
                    }
                })
            })
            .connect_with(connect)
            .await?;
        Ok(Self {
            pool,
            limit: options.statement_timeout,
            backend: location.backend(),
            file: location.file().map(Into::into),
            schema: schema.into(),
            events_committed: Arc::default(),
            clock: Clock::new(),
        })
    }
}

/// A connection that can be closed in the place of one that is half open: over TLS the pool waits for ever for the farewell of whoever is
/// not there any more, and keeps the place of that connection as long.
async fn harmless() -> Result<AnyConnection, sqlx::Error> {
    AnyConnection::connect("sqlite::memory:").await
}

/// A schema's name goes into SQL as it is, so only harmless characters pass.
fn schema_name(service: &str) -> Result<String, StoreError> {
    let harmless = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if service.starts_with(|c: char| c.is_ascii_lowercase())
        && service.len() <= 40
        && service.chars().all(harmless)
    {
        Ok(service.replace('-', "_"))
    } else {
        Err(StoreError::Configuration(format!(
            "{service:?} cannot name a schema: up to 40 lower-case letters, digits, - and _"
        )))
    }
}

/// Makes the service's schema if it is missing.
async fn create_schema(connect: &AnyConnectOptions, schema: &str) -> Result<(), StoreError> {
    let mut connection = AnyConnection::connect_with(connect).await?;
    let mut transaction = connection.begin().await?;
    // Replicas that start together take turns: IF NOT EXISTS alone fails for the slower one.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(format!("kubesage schema {schema}"))
        .execute(&mut *transaction)
        .await?;
    // Asked first, because IF NOT EXISTS needs the right to create even where there is nothing to be created.
    let exists = sqlx::query("SELECT 1 FROM pg_namespace WHERE nspname = $1")
        .bind(schema)
        .fetch_optional(&mut *transaction)
        .await?;
    if exists.is_none() {
        transaction.execute(AssertSqlSafe(format!("CREATE SCHEMA \"{schema}\""))).await?;
    }
    transaction.commit().await?;
    // Only a farewell: what was to be done is done.
    drop(connection.close().await);
    Ok(())
}

/// What every connection is told first.
fn session_settings(backend: Backend, schema: &str, options: &Options) -> String {
    let lock_timeout = options.timeout.as_millis();
    match backend {
        Backend::Sqlite => format!(
            "PRAGMA busy_timeout = {lock_timeout}; PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON;"
        ),
        Backend::Postgres => format!(
            "SET search_path TO \"{schema}\"; SET lock_timeout = {lock_timeout}; SET statement_timeout = {}; \
             SET idle_in_transaction_session_timeout = {};",
            options.statement_timeout.as_millis(),
            IDLE_IN_TRANSACTION_TIMEOUT.as_millis(),
        ),
    }
}
