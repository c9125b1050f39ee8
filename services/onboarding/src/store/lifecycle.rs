//! The states of clusters, in the rows of `clusters`.

use contracts::{
    Timestamp,
    events::{Event, EventType},
};
use serde_json::json;
use sqlx::FromRow;
use store::{StoreError, Transaction};

use super::Database;

/// So many clusters change at once at most, so that a transaction is short.
const MAX_CHANGES: i64 = 500;

/// When it was last heard of the agent: an agent that has just come back has not sent a heartbeat yet.
const LAST_HEARD: &str = "CASE WHEN last_heartbeat IS NULL OR connected_at > last_heartbeat THEN connected_at \
     ELSE last_heartbeat END";

/// What has been heard of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing yet.
    Pending,
    /// Something, not long ago.
    Connected,
    /// Nothing for a while.
    Stale,
    /// Nothing for long.
    Disconnected,
}

impl State {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Connected => "connected",
            Self::Stale => "stale",
            Self::Disconnected => "disconnected",
        }
    }

    /// What [`as_str`](Self::as_str) has written.
    pub(crate) fn read(text: &str) -> Self {
        match text {
            "connected" => Self::Connected,
            "stale" => Self::Stale,
            "disconnected" => Self::Disconnected,
            _ => Self::Pending,
        }
    }

    /// What is told of a cluster that comes into this state.
    fn event(self) -> Option<EventType> {
        match self {
            Self::Pending => None,
            Self::Connected => Some(EventType::ClusterConnected),
            Self::Stale => Some(EventType::ClusterStale),
            Self::Disconnected => Some(EventType::ClusterDisconnected),
        }
    }
}

/// How a cluster changes its state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) from: State,
    pub(crate) to: State,
    /// Only if nothing was heard of it since then.
    pub(crate) silent_since: Option<Timestamp>,
}

/// A cluster whose state changes.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct Changed {
    pub(crate) id: String,
    pub(crate) user_id: String,
    pub(crate) name: String,
    pub(crate) agent_id: String,
    pub(crate) last_heartbeat: Option<i64>,
}

impl Database {
    /// Changes the state of those that were silent, some at a time, and tells of each once, whichever replica is first.
    /// Answers how many there were.
    ///
    /// An agent whose session one of `others` holds is not silent: that replica ends the session of an agent that is, and may only be
    /// unable to write what it hears.
    pub(crate) async fn note_silence(
        &self,
        change: Change,
        others: &[String],
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        self.store
            .bounded(async {
                let mut transaction = self.store.begin().await?;
                let held: Vec<String> = (0..others.len()).map(|number| format!(", ${}", number + 4)).collect();
                // No replica's address is empty.
                let query = sqlx::AssertSqlSafe(format!(
                    "SELECT id, user_id, name, agent_id, last_heartbeat FROM clusters WHERE state = $1 \
                     AND {LAST_HEARD} < $2 AND deleted_at IS NULL AND NOT EXISTS (SELECT 1 FROM agent_sessions s \
                     WHERE s.agent_id = clusters.agent_id AND (s.heard_at >= $2 OR s.replica IN (''{}))) \
                     ORDER BY id LIMIT $3",
                    held.concat()
                ));
                let mut query = sqlx::query_as(query)
                    .persistent(false)
                    .bind(change.from.as_str())
                    .bind(change.silent_since.map_or(i64::MAX, Timestamp::as_millis))
                    .bind(MAX_CHANGES);
                for other in others {
                    query = query.bind(other);
                }
                let silent: Vec<Changed> = query.fetch_all(&mut *transaction).await?;
                for changed in &silent {
                    self.change_state(&mut transaction, changed, change, now).await?;
                }
                transaction.commit().await?;
                Ok(silent.len())
            })
            .await
    }

    /// Changes the state and tells of it, unless somebody else has meanwhile.
    pub(super) async fn change_state(
        &self,
        transaction: &mut Transaction,
        changed: &Changed,
        Change { from, to, silent_since }: Change,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let query = sqlx::AssertSqlSafe(format!(
            "UPDATE clusters SET state = $3, state_since = $4 WHERE id = $1 AND state = $2 \
             AND COALESCE({LAST_HEARD}, 0) < $5"
        ));
        let written = sqlx::query(query)
            .bind(&changed.id)
            .bind(from.as_str())
            .bind(to.as_str())
            .bind(now.as_millis())
            .bind(silent_since.map_or(i64::MAX, Timestamp::as_millis))
            .execute(&mut **transaction)
            .await?;
        let Some(event_type) = to.event().filter(|_| written.rows_affected() == 1) else { return Ok(()) };
        let data = json!({
            "cluster_id": changed.id,
            "agent_id": changed.agent_id,
            "cluster_name": changed.name,
            "state_before": from.as_str(),
            "last_heartbeat": changed.last_heartbeat.and_then(Timestamp::from_millis),
        });
        // Nobody has done this, so there is no name.
        let event = Event::new(event_type, &changed.user_id, "", now, data);
        // Nobody is called because a cluster is there for the first time.
        if from != State::Pending {
            self.alert(transaction, &changed.id, &event).await?;
        }
        transaction.emit(&event).await
    }
}
