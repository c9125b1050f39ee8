//! SQL, and nothing else.

pub(crate) mod keys;
pub(crate) mod users;

use contracts::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Row, any::AnyRow, error::BoxDynError, migrate::Migrator};
use uuid::Uuid;

use crate::Error;

/// The tables.
pub(crate) static MIGRATIONS: Migrator = sqlx::migrate!();

/// A part of a list in the order of its ids, which is the order in which the things were made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    /// What comes after the thing of this id; absent: from the first one.
    pub(crate) after: Option<Uuid>,
    /// At most so many.
    pub(crate) limit: u32,
}

impl Page {
    fn after(&self) -> String {
        self.after.map(|id| id.to_string()).unwrap_or_default()
    }
}

/// A column of JSON.
fn json<T: DeserializeOwned>(row: &AnyRow, column: &str) -> sqlx::Result<T> {
    let text: String = row.try_get(column)?;
    serde_json::from_str(&text).map_err(|error| unreadable(column, error.into()))
}

fn to_json<T: Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Store(sqlx::Error::Encode(error.into()).into()))
}

/// A column of epoch milliseconds.
fn time(row: &AnyRow, column: &str) -> sqlx::Result<Timestamp> {
    to_time(row.try_get(column)?, column)
}

fn optional_time(row: &AnyRow, column: &str) -> sqlx::Result<Option<Timestamp>> {
    let millis: Option<i64> = row.try_get(column)?;
    millis.map(|millis| to_time(millis, column)).transpose()
}

fn to_time(millis: i64, column: &str) -> sqlx::Result<Timestamp> {
    Timestamp::from_millis(millis).ok_or_else(|| unreadable(column, "not a time".into()))
}

fn unreadable(column: &str, source: BoxDynError) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source }
}
