//! Rows of `audit`.

use contracts::{Timestamp, events::Event};
use serde_json::Value;
use sqlx::FromRow;
use store::StoreError;

use super::Database;

/// So many entries are forgotten with one statement.
const FORGOTTEN_AT_ONCE: i64 = 1000;

/// What has happened.
#[derive(FromRow)]
pub(crate) struct Entry {
    pub(crate) event_id: String,
    pub(crate) occurred_at: i64,
    /// The event, JSON.
    pub(crate) event: String,
}

/// Where a page ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) occurred_at: i64,
    pub(crate) event_id: String,
}

/// Which entries are asked for.
#[derive(Default)]
pub(crate) struct Wanted {
    /// Of the cluster of this id or name.
    pub(crate) cluster: Option<String>,
    pub(crate) event_type: Option<String>,
    /// Not older than this.
    pub(crate) since: Option<i64>,
    /// Older than this one.
    pub(crate) before: Option<Position>,
    pub(crate) limit: i64,
}

impl Database {
    /// Keeps these events, each once. One that the database takes in no way is left out, and said in the log.
    pub(crate) async fn keep(&self, events: &[Event]) -> Result<(), StoreError> {
        match self.keep_all(events).await {
            Ok(()) => Ok(()),
            Err(error @ StoreError::Unavailable(_)) => Err(error),
            Err(error) if events.len() == 1 => {
                tracing::error!(event = ?events[0].event_type, %error, "an event is not in the audit log");
                Ok(())
            }
            Err(_) => {
                for event in events {
                    Box::pin(self.keep(std::slice::from_ref(event))).await?;
                }
                Ok(())
            }
        }
    }

    async fn keep_all(&self, events: &[Event]) -> Result<(), StoreError> {
        let kept = async {
            let mut transaction = self.store.begin().await?;
            for event in events {
                let event_type = serde_json::to_value(&event.event_type).unwrap_or_default();
                sqlx::query(
                    "INSERT INTO audit (event_id, user_id, event_type, cluster_id, cluster_name, occurred_at, event) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (event_id) DO NOTHING",
                )
                .bind(without_nul(&event.event_id))
                .bind(without_nul(&event.user_id))
                .bind(without_nul(event_type.as_str().unwrap_or_default()))
                .bind(event.data.get("cluster_id").and_then(id))
                .bind(event.text("cluster_name").map(without_nul))
                .bind(event.occurred_at.as_millis())
                .bind(serde_json::to_string(event).unwrap_or_default())
                .execute(&mut *transaction)
                .await?;
            }
            transaction.commit().await
        };
        self.store.bounded(kept).await
    }

    /// The user's entries, newest first.
    pub(crate) async fn audit_of(&self, user_id: &str, wanted: &Wanted) -> Result<Vec<Entry>, StoreError> {
        let newest = Position { occurred_at: i64::MAX, event_id: String::new() };
        let before = wanted.before.as_ref().unwrap_or(&newest);
        let page = sqlx::query_as(
            "SELECT event_id, occurred_at, event FROM audit WHERE user_id = $1 \
             AND (occurred_at < $2 OR (occurred_at = $2 AND event_id < $3)) AND occurred_at >= $4 \
             AND ($5 = '' OR event_type = $5) AND ($6 = '' OR cluster_id = $6 OR cluster_name = $6) \
             ORDER BY occurred_at DESC, event_id DESC LIMIT $7",
        )
        .bind(user_id)
        .bind(before.occurred_at)
        .bind(&before.event_id)
        .bind(wanted.since.unwrap_or(i64::MIN))
        .bind(wanted.event_type.as_deref().unwrap_or_default())
        .bind(wanted.cluster.as_deref().unwrap_or_default())
        .bind(wanted.limit)
        .fetch_all(self.store.pool());
        self.store.read(page).await
    }

    /// Forgets some of what is older; how many entries those were, none when there are no more.
    pub(crate) async fn forget_before(&self, time: Timestamp) -> Result<u64, StoreError> {
        let some = "DELETE FROM audit WHERE event_id IN \
                    (SELECT event_id FROM audit WHERE occurred_at < $1 ORDER BY occurred_at LIMIT $2)";
        let forgotten =
            sqlx::query(some).bind(time.as_millis()).bind(FORGOTTEN_AT_ONCE).execute(self.store.pool());
        Ok(self.store.read(forgotten).await?.rows_affected())
    }
}

/// A cluster's id, as a text.
fn id(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(without_nul(text)),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// PostgreSQL takes no NUL in a text, and events come from outside.
fn without_nul(text: &str) -> String {
    text.replace('\0', "")
}
