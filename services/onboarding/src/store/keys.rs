//! Rows of `agent_keys`.

use std::time::Duration;

use contracts::{Timestamp, Token};
use sqlx::{AnyConnection, AssertSqlSafe, FromRow};
use store::{StoreError, Transaction};
use thiserror::Error;
use uuid::Uuid;

use super::{Database, is_id};

/// A key that no agent has used within this time is worth nothing.
pub(crate) const UNUSED_LIFETIME: Duration = Duration::from_hours(24);
/// Two, so that one can replace the other without a gap.
const MAX_KEYS: usize = 2;

/// SQL: that the key of this id was not revoked, nor its cluster deleted.
pub(super) fn is_usable(key_id: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM agent_keys k JOIN clusters c ON c.id = k.cluster_id \
         WHERE k.id = {key_id} AND k.revoked_at IS NULL AND c.deleted_at IS NULL)"
    )
}

pub(crate) struct NewKey<'a> {
    pub(crate) id: &'a str,
    pub(crate) cluster_id: &'a str,
    pub(crate) token: &'a Token,
    pub(crate) now: Timestamp,
    /// When the key ends unless it is used before.
    pub(crate) unused_until: i64,
}

/// A key as its owner sees it.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct AgentKey {
    pub(crate) id: String,
    pub(crate) preview: String,
    pub(crate) created_at: i64,
    pub(crate) unused_until: i64,
    pub(crate) first_used_at: Option<i64>,
}

/// Whose session a key opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AgentIdentity {
    pub(crate) key_id: String,
    pub(crate) agent_id: String,
    pub(crate) cluster_id: String,
    pub(crate) user_id: String,
}

/// Why a key opens no session.
#[derive(Debug, Error)]
pub(crate) enum Refusal {
    #[error("no agent has this key")]
    Unknown,
    #[error("this agent key has been revoked, or its cluster was deleted")]
    Revoked { cluster_id: String },
    #[error("this agent key was not used within 24 hours and has expired; make a new one")]
    Expired { cluster_id: String },
    #[error("this agent key belongs to another agent id")]
    OtherAgent { cluster_id: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal {
    /// Whose key it was, where that is known.
    pub(crate) fn cluster_id(&self) -> Option<&str> {
        match self {
            Self::Revoked { cluster_id } | Self::Expired { cluster_id } | Self::OtherAgent { cluster_id } => {
                Some(cluster_id)
            }
            Self::Unknown | Self::Store(_) => None,
        }
    }
}

#[derive(FromRow)]
struct KeyRow {
    id: String,
    unused_until: i64,
    first_used_at: Option<i64>,
    revoked_at: Option<i64>,
    agent_id: String,
    cluster_id: String,
    user_id: String,
}

impl Database {
    /// Begins a change of a cluster's keys: two at once must not both find room for one more.
    pub(crate) async fn begin_keys(&self, cluster_id: &str) -> Result<Transaction, StoreError> {
        self.store.begin_exclusive(&format!("agent keys {cluster_id}")).await
    }

    /// Adds a key, in a transaction of [`Self::begin_keys`]. False if the cluster has as many as it may have already.
    pub(crate) async fn insert_key(
        &self,
        transaction: &mut Transaction,
        new: &NewKey<'_>,
    ) -> Result<bool, StoreError> {
        if self.usable_keys(transaction, new.cluster_id, new.now).await?.len() >= MAX_KEYS {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO agent_keys (id, cluster_id, hash, preview, created_at, unused_until) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(new.id)
        .bind(new.cluster_id)
        .bind(new.token.hash())
        .bind(new.token.preview())
        .bind(new.now.as_millis())
        .bind(new.unused_until)
        .execute(&mut **transaction)
        .await?;
        Ok(true)
    }

    /// The cluster's usable keys, oldest first.
    pub(crate) async fn usable_keys(
        &self,
        connection: &mut AnyConnection,
        cluster_id: &str,
        now: Timestamp,
    ) -> Result<Vec<AgentKey>, StoreError> {
        let keys = sqlx::query_as(
            "SELECT id, preview, created_at, unused_until, first_used_at FROM agent_keys \
             WHERE cluster_id = $1 AND revoked_at IS NULL AND (first_used_at IS NOT NULL OR unused_until > $2) \
             ORDER BY created_at, id",
        )
        .bind(cluster_id)
        .bind(now.as_millis())
        .fetch_all(connection)
        .await?;
        Ok(keys)
    }

    /// Revokes one of the cluster's keys; false when it has no such key that is not revoked yet.
    pub(crate) async fn revoke_key(
        &self,
        transaction: &mut Transaction,
        cluster_id: &str,
        key_id: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        if !is_id(key_id) {
            return Ok(false);
        }
        let revoked = sqlx::query(
            "UPDATE agent_keys SET revoked_at = $3 WHERE cluster_id = $1 AND id = $2 AND revoked_at IS NULL",
        )
        .bind(cluster_id)
        .bind(key_id)
        .bind(now.as_millis())
        .execute(&mut **transaction)
        .await?;
        self.end_sessions(transaction, key_id).await?;
        Ok(revoked.rows_affected() == 1)
    }

    /// The sessions that a key has opened are nobody's from now on; whoever has one hears of it by an event.
    async fn end_sessions(&self, transaction: &mut Transaction, key_id: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE agent_sessions SET replica = NULL WHERE key_id = $1")
            .bind(key_id)
            .execute(&mut **transaction)
            .await?;
        Ok(())
    }

    /// Revokes every other key of the cluster; this one is its only one, and does not expire unused.
    pub(crate) async fn use_only_key(
        &self,
        transaction: &mut Transaction,
        cluster_id: &str,
        token: &Token,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE agent_keys SET revoked_at = $3 WHERE cluster_id = $1 AND hash <> $2 AND revoked_at IS NULL",
        )
        .bind(cluster_id)
        .bind(token.hash())
        .bind(now.as_millis())
        .execute(&mut **transaction)
        .await?;
        sqlx::query(
            "INSERT INTO agent_keys (id, cluster_id, hash, preview, created_at, unused_until, first_used_at) \
             VALUES ($1, $2, $3, $4, $5, $5, $5) \
             ON CONFLICT (hash) DO UPDATE SET revoked_at = NULL, first_used_at = $5",
        )
        .bind(Uuid::new_v4().to_string())
        .bind(cluster_id)
        .bind(token.hash())
        .bind(token.preview())
        .bind(now.as_millis())
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }

    /// Finds out whose session `token` opens for `agent_id`, and notes its first use.
    pub(crate) async fn admit(
        &self,
        token: &Token,
        agent_id: &str,
        now: Timestamp,
    ) -> Result<AgentIdentity, Refusal> {
        self.store.bounded(self.try_admit(token, agent_id, now)).await
    }

    async fn try_admit(
        &self,
        token: &Token,
        agent_id: &str,
        now: Timestamp,
    ) -> Result<AgentIdentity, Refusal> {
        let found: Option<KeyRow> = sqlx::query_as(
            "SELECT k.id, k.unused_until, k.first_used_at, COALESCE(k.revoked_at, c.deleted_at) AS revoked_at, \
             c.agent_id, c.id AS cluster_id, c.user_id \
             FROM agent_keys k JOIN clusters c ON c.id = k.cluster_id WHERE k.hash = $1",
        )
        .bind(token.hash())
        .fetch_optional(self.store().pool())
        .await
        .map_err(StoreError::from)?;
        let key = found.ok_or(Refusal::Unknown)?;
        if key.revoked_at.is_some() {
            return Err(Refusal::Revoked { cluster_id: key.cluster_id });
        }
        if key.agent_id != agent_id {
            return Err(Refusal::OtherAgent { cluster_id: key.cluster_id });
        }
        if key.first_used_at.is_none() {
            if key.unused_until <= now.as_millis() {
                return Err(Refusal::Expired { cluster_id: key.cluster_id });
            }
            self.note_first_use(&key.id, now).await?;
        }
        Ok(AgentIdentity {
            key_id: key.id,
            agent_id: key.agent_id,
            cluster_id: key.cluster_id,
            user_id: key.user_id,
        })
    }

    /// Whether a key was revoked, or its cluster deleted.
    pub(crate) async fn is_revoked(&self, key_id: &str) -> Result<bool, StoreError> {
        let query = AssertSqlSafe(format!("SELECT 1 WHERE {}", is_usable("$1")));
        let usable = sqlx::query(query).bind(key_id).fetch_optional(self.store.pool());
        Ok(self.store.read(usable).await?.is_none())
    }

    async fn note_first_use(&self, key_id: &str, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query("UPDATE agent_keys SET first_used_at = $2 WHERE id = $1 AND first_used_at IS NULL")
            .bind(key_id)
            .bind(now.as_millis())
            .execute(self.store().pool())
            .await?;
        Ok(())
    }
}
