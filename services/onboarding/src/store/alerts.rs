//! Rows of `alerts`.

use std::time::Duration;

use contracts::{Timestamp, events::Event};
use serde_json::json;
use sqlx::FromRow;
use store::{StoreError, Transaction};

use super::{Database, is_id};

/// Whoever has taken an alert has so long to deliver it; then another one may.
const CLAIM: Duration = Duration::from_secs(60);
/// For so long an alert is kept once it was delivered or is dead.
const KEPT: Duration = Duration::from_hours(30 * 24);
/// So many are listed at most, the newest.
const MAX_LISTED: i64 = 200;

/// An alert as it stands.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct Alert {
    pub(crate) id: String,
    pub(crate) cluster_id: String,
    pub(crate) kind: String,
    pub(crate) body: String,
    pub(crate) created_at: i64,
    /// With the one that is under way.
    pub(crate) attempts: i64,
    pub(crate) next_attempt_at: i64,
    pub(crate) delivered_at: Option<i64>,
    pub(crate) dead_at: Option<i64>,
    pub(crate) last_error: Option<String>,
}

const COLUMNS: &str =
    "id, cluster_id, kind, body, created_at, attempts, next_attempt_at, delivered_at, dead_at, last_error";

impl Database {
    /// Writes an alert of what has happened to a cluster, if anybody is to be called.
    pub(super) async fn alert(
        &self,
        transaction: &mut Transaction,
        cluster_id: &str,
        event: &Event,
    ) -> Result<(), StoreError> {
        if !self.alerts {
            return Ok(());
        }
        let kind = event.routing_key();
        let body = json!({ "type": kind, "timestamp": event.occurred_at, "data": event.data });
        sqlx::query(
            "INSERT INTO alerts (id, cluster_id, user_id, kind, body, created_at, next_attempt_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $6)",
        )
        .bind(&event.event_id)
        .bind(cluster_id)
        .bind(&event.user_id)
        .bind(&kind)
        .bind(body.to_string())
        .bind(event.occurred_at.as_millis())
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }

    /// Takes the alert that has been due for longest, for a while, and counts the attempt.
    pub(crate) async fn claim_alert(&self, now: Timestamp) -> Result<Option<Alert>, StoreError> {
        let claim = i64::try_from(CLAIM.as_millis()).unwrap_or(i64::MAX);
        let query = sqlx::AssertSqlSafe(format!(
            "UPDATE alerts SET attempts = attempts + 1, next_attempt_at = $2 \
             WHERE id = (SELECT id FROM alerts WHERE delivered_at IS NULL AND dead_at IS NULL AND next_attempt_at <= $1 \
             ORDER BY next_attempt_at LIMIT 1) AND next_attempt_at <= $1 RETURNING {COLUMNS}"
        ));
        let claimed = sqlx::query_as(query)
            .bind(now.as_millis())
            .bind(now.as_millis().saturating_add(claim))
            .fetch_optional(self.store.pool());
        self.store.read(claimed).await
    }

    pub(crate) async fn alert_delivered(&self, id: &str, now: Timestamp) -> Result<(), StoreError> {
        let written = sqlx::query("UPDATE alerts SET delivered_at = $2, last_error = NULL WHERE id = $1")
            .bind(id)
            .bind(now.as_millis())
            .execute(self.store.pool());
        self.store.read(written).await.map(drop)
    }

    /// Notes why it was not taken; without a pause there is no further try.
    pub(crate) async fn alert_failed(
        &self,
        id: &str,
        reason: &str,
        pause: Option<Duration>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let millis = pause.map(|pause| i64::try_from(pause.as_millis()).unwrap_or(i64::MAX));
        let next = millis.map_or(i64::MAX, |millis| now.as_millis().saturating_add(millis));
        let written = sqlx::query(
            "UPDATE alerts SET last_error = $2, next_attempt_at = $3, dead_at = $4 WHERE id = $1",
        )
        .bind(id)
        .bind(reason)
        .bind(next)
        .bind(pause.is_none().then_some(now.as_millis()))
        .execute(self.store.pool());
        self.store.read(written).await.map(drop)
    }

    /// Forgets alerts that are settled for long.
    pub(crate) async fn forget_alerts(&self, now: Timestamp) -> Result<(), StoreError> {
        let deleted = sqlx::query("DELETE FROM alerts WHERE delivered_at < $1 OR dead_at < $1")
            .bind(now.minus(KEPT).as_millis())
            .execute(self.store.pool());
        self.store.read(deleted).await.map(drop)
    }

    /// The user's newest alerts; only dead ones where those are asked for.
    pub(crate) async fn alerts_of(&self, user_id: &str, only_dead: bool) -> Result<Vec<Alert>, StoreError> {
        let query = sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM alerts WHERE user_id = $1 AND ($2 = 0 OR dead_at IS NOT NULL) \
             ORDER BY created_at DESC, id LIMIT $3"
        ));
        let listed = sqlx::query_as(query)
            .bind(user_id)
            .bind(i64::from(only_dead))
            .bind(MAX_LISTED)
            .fetch_all(self.store.pool());
        self.store.read(listed).await
    }

    /// Has a dead alert tried again from the beginning; false when the user has no such one.
    pub(crate) async fn revive_alert(
        &self,
        user_id: &str,
        id: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        if !is_id(id) {
            return Ok(false);
        }
        let written = sqlx::query(
            "UPDATE alerts SET dead_at = NULL, attempts = 0, next_attempt_at = $3 \
             WHERE id = $1 AND user_id = $2 AND dead_at IS NOT NULL",
        )
        .bind(id)
        .bind(user_id)
        .bind(now.as_millis())
        .execute(self.store.pool());
        Ok(self.store.read(written).await?.rows_affected() == 1)
    }
}
