//! What a store promises, on SQLite and on PostgreSQL.

mod faults;
mod migrations;
mod outbox;
mod statements;

use std::time::Duration;

use sqlx::{
    AssertSqlSafe, SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
};
use store::{Options, Store, StoreError, testing::TestDatabase};

const SERVICE: &str = "test-service";

/// Migrations 1, 2, … of these statements.
fn migrator(statements: &[&str]) -> Migrator {
    let migrations = (1..).zip(statements).map(|(version, sql)| {
        let sql = AssertSqlSafe((*sql).to_owned()).into_sql_str();
        Migration::new(version, "test".into(), MigrationType::Simple, sql, false)
    });
    Migrator::with_migrations(migrations.collect())
}

const USERS: &str =
    "CREATE TABLE users (id TEXT PRIMARY KEY, username TEXT NOT NULL UNIQUE, seen BIGINT, photo BYTEA,
                     score DOUBLE PRECISION, UNIQUE (seen, score))";

/// A store with a table of users.
async fn store_with_users(database: &TestDatabase) -> Result<Store, StoreError> {
    let store = database.open(SERVICE, Options::default()).await?;
    store.migrate(&migrator(&[USERS])).await?;
    Ok(store)
}

/// Bounds under which a test of a fault is quick.
fn impatient() -> Options {
    Options {
        timeout: Duration::from_millis(200),
        statement_timeout: Duration::from_secs(1),
        ..Options::default()
    }
}

async fn add_user(store: &Store, id: &str) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO users (id, username) VALUES ($1, $1)").bind(id).execute(store.pool()).await?;
    Ok(())
}

async fn count_users(store: &Store) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar("SELECT COUNT(*) FROM users").fetch_one(store.pool()).await?)
}
