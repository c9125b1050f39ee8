//! Databases for tests: each is new, its own, and gone afterwards.
//!
//! PostgreSQL is the server that `TEST_DATABASE_URL` names, by default
//! `postgres://postgres@127.0.0.1:5432/postgres`. A test that needs it fails where it is missing.

use std::{env, thread};

use secrecy::SecretString;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor};
use tempfile::TempDir;
use url::Url;
use uuid::Uuid;

use crate::{Backend, Options, Store, StoreError};

const SERVER_VARIABLE: &str = "TEST_DATABASE_URL";
const DEFAULT_SERVER: &str = "postgres://postgres@127.0.0.1:5432/postgres";

/// An empty database; dropping it drops what is in it, and ends the connections to it.
pub struct TestDatabase {
    url: SecretString,
    place: Place,
}

enum Place {
    Sqlite { _directory: TempDir },
    Postgres { server: Url, database: String },
}

impl TestDatabase {
    /// A directory of its own for SQLite files.
    ///
    /// # Panics
    /// When there is no temporary directory.
    pub fn sqlite() -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        Self {
            url: format!("sqlite:{}/", directory.path().display()).into(),
            place: Place::Sqlite { _directory: directory },
        }
    }

    /// A database of its own on the PostgreSQL server for tests.
    ///
    /// # Panics
    /// When the server cannot be used; the message says how to name another.
    pub async fn postgres() -> Self {
        sqlx::any::install_default_drivers();
        let server = env::var(SERVER_VARIABLE).unwrap_or_else(|_| DEFAULT_SERVER.to_owned());
        let server: Url = server
            .parse()
            .unwrap_or_else(|error| panic!("{SERVER_VARIABLE} must be a PostgreSQL URL: {error}"));
        let database = format!("test_{}", Uuid::new_v4().simple());
        if let Err(error) = on_server(&server, format!("CREATE DATABASE {database}")).await {
            panic!(
                "this test needs a PostgreSQL server, named by {SERVER_VARIABLE} (default {DEFAULT_SERVER}): {error}"
            );
        }
        let mut url = server.clone();
        url.set_path(&database);
        Self { url: String::from(url).into(), place: Place::Postgres { server, database } }
    }

    /// What to give as `DATABASE_URL`.
    pub fn url(&self) -> &SecretString {
        &self.url
    }

    /// Which kind it is.
    pub fn backend(&self) -> Backend {
        match self.place {
            Place::Sqlite { .. } => Backend::Sqlite,
            Place::Postgres { .. } => Backend::Postgres,
        }
    }

    /// The database of `service` in it, not migrated.
    ///
    /// # Errors
    /// As [`Store::open_with`].
    pub async fn open(&self, service: &str, options: Options) -> Result<Store, StoreError> {
        Store::open_with(&self.url, service, options).await
    }

    /// Cuts every connection to it, as a restart of the server does. SQLite has no server, and nothing happens.
    ///
    /// # Errors
    /// [`StoreError`] when the server does not answer.
    pub async fn cut_connections(&self) -> Result<(), StoreError> {
        if let Place::Postgres { server, database } = &self.place {
            let cut = format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
            );
            on_server(server, cut).await?;
        }
        Ok(())
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Place::Postgres { server, database } = &self.place else {
            return;
        };
        // A thread, because a runtime cannot be entered from within another.
        thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let drop = on_server(server, format!("DROP DATABASE {database} WITH (FORCE)"));
                // What is left behind on a server for tests is not worth a second panic.
                let _ = runtime.map(|runtime| runtime.block_on(drop));
            });
        });
    }
}

async fn on_server(server: &Url, sql: String) -> Result<(), sqlx::Error> {
    let mut connection = AnyConnection::connect(server.as_str()).await?;
    connection.execute(AssertSqlSafe(sql)).await?;
    connection.close().await
}

/// Makes two tests, `{name}::sqlite` and `{name}::postgres`, of one async function that takes a [`TestDatabase`].
///
/// ```
/// store::test_on_both! {
///     /// An empty database can be opened.
///     async fn opens(database: TestDatabase) -> Result<(), store::StoreError> {
///         database.open("example", store::Options::default()).await?;
///         Ok(())
///     }
/// }
/// ```
#[macro_export]
macro_rules! test_on_both {
    ($($(#[$attribute:meta])* async fn $name:ident($database:ident: TestDatabase) -> $result:ty $body:block)+) => {$(
        $(#[$attribute])*
        mod $name {
            use super::*;

            async fn body($database: $crate::testing::TestDatabase) -> $result $body

            #[tokio::test]
            async fn sqlite() -> $result {
                body($crate::testing::TestDatabase::sqlite()).await
            }

            #[tokio::test]
            async fn postgres() -> $result {
                body($crate::testing::TestDatabase::postgres().await).await
            }
        }
    )+};
}
