//! Rows of `install_tokens`.

use contracts::{Timestamp, Token};
use sqlx::{AnyConnection, FromRow};
use store::{StoreError, Transaction};

use super::Database;

/// A token that was found, and whose agent it installs.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct InstallToken {
    pub(crate) cluster_id: String,
    pub(crate) agent_id: String,
    pub(crate) user_id: String,
    pub(crate) provider: String,
    /// JSON.
    pub(crate) features: String,
    pub(crate) expires_at: i64,
    /// Of the key that its use has made.
    pub(crate) key_hash: Option<String>,
}

impl Database {
    /// Keeps a new token; earlier ones of the cluster that were not used end.
    pub(crate) async fn insert_install_token(
        &self,
        transaction: &mut Transaction,
        cluster_id: &str,
        token: &Token,
        now: Timestamp,
        expires_at: i64,
    ) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM install_tokens WHERE cluster_id = $1 AND used_at IS NULL")
            .bind(cluster_id)
            .execute(&mut **transaction)
            .await?;
        sqlx::query(
            "INSERT INTO install_tokens (hash, cluster_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
        )
        .bind(token.hash())
        .bind(cluster_id)
        .bind(now.as_millis())
        .bind(expires_at)
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }

    /// The token, unless its cluster was deleted.
    pub(crate) async fn install_token(
        &self,
        connection: &mut AnyConnection,
        token: &Token,
    ) -> Result<Option<InstallToken>, StoreError> {
        let found = sqlx::query_as(
            "SELECT c.id AS cluster_id, c.agent_id, c.user_id, c.provider, c.features, t.expires_at, k.hash AS key_hash FROM install_tokens t JOIN clusters c ON c.id = t.cluster_id \
             LEFT JOIN agent_keys k ON k.id = t.key_id WHERE t.hash = $1 AND c.deleted_at IS NULL",
        )
        .bind(token.hash())
        .fetch_optional(connection)
        .await?;
        Ok(found)
    }

    /// Notes that the token has made this key; false when it is gone or has made one before.
    pub(crate) async fn use_install_token(
        &self,
        transaction: &mut Transaction,
        token: &Token,
        key_id: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let used = "UPDATE install_tokens SET used_at = $2, key_id = $3 WHERE hash = $1 AND used_at IS NULL";
        let written = sqlx::query(used)
            .bind(token.hash())
            .bind(now.as_millis())
            .bind(key_id)
            .execute(&mut **transaction)
            .await?;
        Ok(written.rows_affected() == 1)
    }
}
