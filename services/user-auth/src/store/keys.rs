//! The table `api_keys`.

use contracts::{Timestamp, Token};
use sqlx::{Any, Executor, FromRow, Row, any::AnyRow};
use store::StoreError;

use super::{Page, json, optional_time, time, to_json};
use crate::{
    Error,
    model::{ApiKey, KeyOfUser, User},
};

impl FromRow<'_, AnyRow> for ApiKey {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            user_id: row.try_get("user_id")?,
            name: row.try_get("name")?,
            preview: row.try_get("preview")?,
            scopes: json(row, "scopes")?,
            created_at: time(row, "created_at")?,
            expires_at: optional_time(row, "expires_at")?,
            revoked_at: optional_time(row, "revoked_at")?,
            last_used_at: optional_time(row, "last_used_at")?,
            replaced_by: row.try_get("replaced_by")?,
        })
    }
}

impl FromRow<'_, AnyRow> for KeyOfUser {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let key = ApiKey::from_row(row)?;
        let user = User {
            id: key.user_id.clone(),
            username: row.try_get("username")?,
            email: row.try_get("email")?,
            roles: json(row, "roles")?,
            created_at: time(row, "user_created_at")?,
            deactivated_at: optional_time(row, "deactivated_at")?,
        };
        Ok(Self { key, user })
    }
}

pub(crate) async fn insert(
    db: impl Executor<'_, Database = Any>,
    key: &ApiKey,
    token: &Token,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO api_keys (id, user_id, name, hash, preview, scopes, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(&key.id)
    .bind(&key.user_id)
    .bind(&key.name)
    .bind(token.hash())
    .bind(&key.preview)
    .bind(to_json(&key.scopes)?)
    .bind(key.created_at.as_millis())
    .bind(key.expires_at.map(Timestamp::as_millis))
    .execute(db)
    .await
    .map_err(StoreError::from)?;
    Ok(())
}

/// The key with this secret, and whose it is.
pub(crate) async fn find_by_token(
    db: impl Executor<'_, Database = Any>,
    token: &Token,
) -> Result<Option<KeyOfUser>, StoreError> {
    let found = sqlx::query_as(
        "SELECT api_keys.*, username, email, roles, users.created_at AS user_created_at, deactivated_at
         FROM api_keys JOIN users ON users.id = user_id WHERE hash = $1",
    )
    .bind(token.hash())
    .fetch_optional(db)
    .await?;
    Ok(found)
}

pub(crate) async fn find(
    db: impl Executor<'_, Database = Any>,
    id: &str,
) -> Result<Option<ApiKey>, StoreError> {
    let key = sqlx::query_as("SELECT * FROM api_keys WHERE id = $1").bind(id).fetch_optional(db).await?;
    Ok(key)
}

pub(crate) async fn list(
    db: impl Executor<'_, Database = Any>,
    user_id: &str,
    page: &Page,
) -> Result<Vec<ApiKey>, StoreError> {
    let keys = sqlx::query_as("SELECT * FROM api_keys WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3")
        .bind(user_id)
        .bind(page.after())
        .bind(i64::from(page.limit))
        .fetch_all(db)
        .await?;
    Ok(keys)
}

/// How many keys the user has that are neither revoked nor expired.
pub(crate) async fn count_usable(
    db: impl Executor<'_, Database = Any>,
    user_id: &str,
    now: Timestamp,
) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar(
        "SELECT COUNT(*) FROM api_keys
         WHERE user_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
    )
    .bind(user_id)
    .bind(now.as_millis())
    .fetch_one(db)
    .await?;
    Ok(count)
}

/// Writes what may change in a key.
pub(crate) async fn update(db: impl Executor<'_, Database = Any>, key: &ApiKey) -> Result<(), StoreError> {
    sqlx::query("UPDATE api_keys SET expires_at = $1, revoked_at = $2, replaced_by = $3 WHERE id = $4")
        .bind(key.expires_at.map(Timestamp::as_millis))
        .bind(key.revoked_at.map(Timestamp::as_millis))
        .bind(key.replaced_by.as_deref())
        .bind(&key.id)
        .execute(db)
        .await?;
    Ok(())
}

/// Notes that the key was used, unless a use since `not_since` is noted already.
pub(crate) async fn mark_used(
    db: impl Executor<'_, Database = Any>,
    id: &str,
    at: Timestamp,
    not_since: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE api_keys SET last_used_at = $1 WHERE id = $2 AND (last_used_at IS NULL OR last_used_at < $3)",
    )
    .bind(at.as_millis())
    .bind(id)
    .bind(not_since.as_millis())
    .execute(db)
    .await?;
    Ok(())
}
