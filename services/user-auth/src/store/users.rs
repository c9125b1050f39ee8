//! The table `users`.

use contracts::Timestamp;
use sqlx::{Any, Executor, FromRow, Row, any::AnyRow};
use store::StoreError;

use super::{Page, json, optional_time, time, to_json};
use crate::{Error, model::User};

impl FromRow<'_, AnyRow> for User {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            username: row.try_get("username")?,
            email: row.try_get("email")?,
            roles: json(row, "roles")?,
            created_at: time(row, "created_at")?,
            deactivated_at: optional_time(row, "deactivated_at")?,
        })
    }
}

pub(crate) async fn insert(db: impl Executor<'_, Database = Any>, user: &User) -> Result<(), Error> {
    let inserted = sqlx::query(
        "INSERT INTO users (id, username, email, roles, created_at, deactivated_at) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&user.id)
    .bind(&user.username)
    .bind(&user.email)
    .bind(to_json(&user.roles)?)
    .bind(user.created_at.as_millis())
    .bind(user.deactivated_at.map(Timestamp::as_millis))
    .execute(db)
    .await;
    match inserted.map_err(StoreError::from) {
        Ok(_) => Ok(()),
        Err(error) if error.is_duplicate("username") => Err(Error::Conflict("this username is taken")),
        Err(error) => Err(error.into()),
    }
}

pub(crate) async fn find(db: impl Executor<'_, Database = Any>, id: &str) -> Result<User, Error> {
    let user = sqlx::query_as("SELECT * FROM users WHERE id = $1")
        .bind(id)
        .fetch_optional(db)
        .await
        .map_err(StoreError::from)?;
    user.ok_or(Error::NotFound("there is no such user"))
}

pub(crate) async fn list(
    db: impl Executor<'_, Database = Any>,
    page: &Page,
) -> Result<Vec<User>, StoreError> {
    let users = sqlx::query_as("SELECT * FROM users WHERE id > $1 ORDER BY id LIMIT $2")
        .bind(page.after())
        .bind(i64::from(page.limit))
        .fetch_all(db)
        .await?;
    Ok(users)
}

pub(crate) async fn update(db: impl Executor<'_, Database = Any>, user: &User) -> Result<(), Error> {
    sqlx::query("UPDATE users SET roles = $1, deactivated_at = $2 WHERE id = $3")
        .bind(to_json(&user.roles)?)
        .bind(user.deactivated_at.map(Timestamp::as_millis))
        .bind(&user.id)
        .execute(db)
        .await
        .map_err(StoreError::from)?;
    Ok(())
}

/// Whether there is no user at all.
pub(crate) async fn is_empty(db: impl Executor<'_, Database = Any>) -> Result<bool, StoreError> {
    let any = sqlx::query("SELECT id FROM users LIMIT 1").fetch_optional(db).await?;
    Ok(any.is_none())
}

/// The administrator who has been here longest, leaving out the user of this id.
pub(crate) async fn first_active_admin(
    db: impl Executor<'_, Database = Any>,
    leaving_out: &str,
) -> Result<Option<User>, StoreError> {
    // A role's name holds no character that JSON escapes, so that the text matches exactly.
    let admin = sqlx::query_as(
        r#"SELECT * FROM users WHERE deactivated_at IS NULL AND roles LIKE '%"admin"%' AND id <> $1 ORDER BY id LIMIT 1"#,
    )
    .bind(leaving_out)
    .fetch_optional(db)
    .await?;
    Ok(admin)
}
