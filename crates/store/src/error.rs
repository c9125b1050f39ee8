//! What can go wrong with a database.

use sqlx::{
    error::{DatabaseError, ErrorKind},
    postgres::PgDatabaseError,
    sqlite::SqliteError,
};
use thiserror::Error;

/// What went wrong with the database. It never holds the URL's password.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The URL or the service's name cannot be used; the text says what it must be.
    #[error("{0}")]
    Configuration(String),
    /// The database is gone, locked, overloaded or restarting, or the transaction lost against another one. The same
    /// may succeed later.
    #[error("the database cannot be used now: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// A row with the same values is there already.
    #[error("a row with the same {} exists", columns.join(", "))]
    Duplicate {
        /// The columns that must be unique together; empty where the database does not say.
        columns: Vec<String>,
    },
    /// There is no such row.
    #[error("no such row")]
    NotFound,
    /// A newer version of the service has been at this database.
    #[error(
        "the database was migrated by a newer version of this service (migration {migration}): run that version or a later one"
    )]
    Newer {
        /// The migration that this version does not have.
        migration: i64,
    },
    /// A migration failed or was changed after it ran.
    #[error("the database cannot be migrated: {0}")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// What is stored is not what this version writes.
    #[error("a stored {what} cannot be read: {source}")]
    Corrupt {
        /// What it was to be.
        what: &'static str,
        /// How it is not.
        source: serde_json::Error,
    },
    /// A fault of ours: SQL that the database does not accept.
    #[error("the database refused a statement: {0}")]
    Other(#[source] sqlx::Error),
}

impl StoreError {
    /// Whether a row with the same `column` is there already.
    pub fn is_duplicate(&self, column: &str) -> bool {
        matches!(self, Self::Duplicate { columns } if columns.iter().any(|c| c == column))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        match error {
            E::RowNotFound => Self::NotFound,
            E::Io(_) | E::Tls(_) | E::Protocol(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed => {
                Self::Unavailable(error)
            }
            E::Database(ref cause) if cause.kind() == ErrorKind::UniqueViolation => {
                Self::Duplicate { columns: unique_columns(cause.as_ref()) }
            }
            E::Database(ref cause) if is_transient(cause.as_ref()) => Self::Unavailable(error),
            other => Self::Other(other),
        }
    }
}

/// Whether the same statement may succeed later.
fn is_transient(error: &dyn DatabaseError) -> bool {
    let code = error.code().unwrap_or_default();
    if error.try_downcast_ref::<SqliteError>().is_some() {
        // The low byte of an extended result code is the primary one (https://www.sqlite.org/rescode.html):
        // BUSY, LOCKED, IOERR, FULL, CANTOPEN, PROTOCOL.
        return code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 10 | 13 | 14 | 15));
    }
    // SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html). Classes: 08 connection, 40 transaction
    // rolled back, 53 resources, 57 operator intervention. 55P03: lock_timeout; 25006: a standby, during a failover;
    // 25P03: idle in transaction for too long.
    matches!(code.get(..2), Some("08" | "40" | "53" | "57")) || matches!(&*code, "55P03" | "25006" | "25P03")
}

/// The names of the columns, without the table and the values.
fn unique_columns(error: &dyn DatabaseError) -> Vec<String> {
    let names = if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
        // Key (username, tenant)=(ada, 1) already exists.
        error.detail().and_then(|detail| {
            let (_, rest) = detail.split_once('(')?;
            rest.split_once(")=(").map(|(names, _)| names)
        })
    } else {
        // UNIQUE constraint failed: users.username, users.tenant
        error.message().split_once(": ").map(|(_, names)| names)
    };
    let unqualified = |name: &str| name.rsplit('.').next().unwrap_or(name).trim().to_owned();
    names.map(|names| names.split(',').map(unqualified).collect()).unwrap_or_default()
}
