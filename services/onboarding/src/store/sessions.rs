//! Which replica holds which agent's session: rows of `replicas` and `agent_sessions`.

use std::{collections::HashMap, fmt::Write};

use contracts::Timestamp;
use sqlx::{AssertSqlSafe, FromRow};
use store::StoreError;
use uuid::Uuid;

use super::{Database, is_id};

/// So many sessions are claimed again with one statement: SQLite takes 32,766 values, PostgreSQL 65,535.
const AT_ONCE: usize = 1000;

/// A session's key was not revoked, nor its cluster deleted.
const KEY_IS_USABLE: &str = "EXISTS (SELECT 1 FROM agent_keys k JOIN clusters c ON c.id = k.cluster_id \
     WHERE k.id = $4 AND k.revoked_at IS NULL AND c.deleted_at IS NULL)";

/// A session that is about to be opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewSession<'a> {
    pub(crate) agent_id: &'a str,
    pub(crate) key_id: &'a str,
    /// The agent's process, and the epoch of its last session; `None` before its first.
    pub(crate) instance: Option<Uuid>,
    pub(crate) last_epoch: Option<u64>,
    /// The address of the replica that is to hold it.
    pub(crate) replica: &'a str,
}

/// A session that is this replica's.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct Claimed {
    pub(crate) epoch: i64,
    /// Who held the agent's session before, if anybody did.
    pub(crate) previous_replica: Option<String>,
    /// The agent's process then.
    pub(crate) previous_instance: Option<String>,
    /// Not 1: whoever claimed it then has perhaps not told those who held it earlier.
    pub(crate) was_settled: i64,
}

/// An agent, and who holds its session.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct Whereabouts {
    pub(crate) user_id: String,
    pub(crate) cluster_id: String,
    pub(crate) replica: Option<String>,
}

/// A replica and how many sessions it holds.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct Replica {
    pub(crate) address: String,
    pub(crate) sessions: i64,
}

impl Database {
    /// Makes the agent's session this replica's. `None` when the key was revoked, the replica is not known any more, or another
    /// process of the agent has had a session since this one's last, and still has.
    pub(crate) async fn claim_session(&self, new: NewSession<'_>) -> Result<Option<Claimed>, StoreError> {
        let query = AssertSqlSafe(format!(
            "INSERT INTO agent_sessions (agent_id, epoch, replica, instance, key_id) SELECT $1, 1, $2, $3, $4 \
             WHERE {KEY_IS_USABLE} AND EXISTS (SELECT 1 FROM replicas WHERE address = $2) \
             ON CONFLICT (agent_id) DO UPDATE SET epoch = agent_sessions.epoch + 1, \
             previous_replica = agent_sessions.replica, previous_instance = agent_sessions.instance, \
             was_settled = agent_sessions.is_settled, is_settled = CASE WHEN agent_sessions.replica IS NULL \
             OR agent_sessions.replica = excluded.replica THEN agent_sessions.is_settled ELSE 0 END, \
             replica = excluded.replica, instance = excluded.instance, key_id = excluded.key_id \
             WHERE agent_sessions.replica IS NULL OR agent_sessions.instance IS NULL \
             OR agent_sessions.instance = excluded.instance OR agent_sessions.epoch <= $5 \
             RETURNING epoch, previous_replica, previous_instance, was_settled"
        ));
        // Whoever has had no session yet knows of none that is newer.
        let last_epoch = new.last_epoch.and_then(|epoch| epoch.try_into().ok()).unwrap_or(i64::MAX);
        let claimed = sqlx::query_as(query)
            .bind(new.agent_id)
            .bind(new.replica)
            .bind(new.instance.map(|instance| instance.to_string()))
            .bind(new.key_id)
            .bind(last_epoch)
            .fetch_optional(self.store.pool());
        self.read(claimed).await
    }

    /// No other replica takes a session of the agent for its own, as of this epoch.
    pub(crate) async fn settle_session(&self, agent_id: &str, epoch: i64) -> Result<(), StoreError> {
        let settled =
            sqlx::query("UPDATE agent_sessions SET is_settled = 1 WHERE agent_id = $1 AND epoch = $2")
                .bind(agent_id)
                .bind(epoch)
                .execute(self.store.pool());
        self.read(settled).await.map(drop)
    }

    /// The agent has no session any more, unless it has a newer one.
    pub(crate) async fn release_session(&self, agent_id: &str, epoch: i64) -> Result<(), StoreError> {
        let released =
            sqlx::query("UPDATE agent_sessions SET replica = NULL WHERE agent_id = $1 AND epoch = $2")
                .bind(agent_id)
                .bind(epoch)
                .execute(self.store.pool());
        self.read(released).await.map(drop)
    }

    /// Makes those sessions this replica's (again) that have no newer one and whose keys were not revoked; answers whose they are.
    pub(crate) async fn reclaim_sessions(
        &self,
        replica: &str,
        sessions: &[(String, i64)],
    ) -> Result<Vec<String>, StoreError> {
        let mut reclaimed = Vec::with_capacity(sessions.len());
        for some in sessions.chunks(AT_ONCE) {
            let mut query = String::from(
                "UPDATE agent_sessions SET replica = $1 WHERE EXISTS (SELECT 1 FROM agent_keys k \
                 JOIN clusters c ON c.id = k.cluster_id WHERE k.id = agent_sessions.key_id \
                 AND k.revoked_at IS NULL AND c.deleted_at IS NULL) AND (agent_id, epoch) IN (VALUES ",
            );
            for number in 0..some.len() {
                let separator = if number == 0 { "" } else { ", " };
                let first = 2 * number + 2;
                // A string takes all that is written to it.
                let _ = write!(query, "{separator}(${first}, ${})", first + 1);
            }
            query.push_str(") RETURNING agent_id");
            let mut query = sqlx::query_scalar(AssertSqlSafe(query)).persistent(false).bind(replica);
            for (agent_id, epoch) in some {
                query = query.bind(agent_id).bind(epoch);
            }
            let agents: Vec<String> = self.read(query.fetch_all(self.store.pool())).await?;
            reclaimed.extend(agents);
        }
        Ok(reclaimed)
    }

    /// The epochs of the sessions that are this replica's, by agent.
    pub(crate) async fn sessions_of(&self, replica: &str) -> Result<HashMap<String, i64>, StoreError> {
        let rows = sqlx::query_as("SELECT agent_id, epoch FROM agent_sessions WHERE replica = $1")
            .bind(replica)
            .fetch_all(self.store.pool());
        let rows: Vec<(String, i64)> = self.read(rows).await?;
        Ok(rows.into_iter().collect())
    }

    /// Whose agent it is, of which cluster, and who holds its session.
    pub(crate) async fn whereabouts(&self, agent_id: &str) -> Result<Option<Whereabouts>, StoreError> {
        if !is_id(agent_id) {
            return Ok(None);
        }
        let found = sqlx::query_as(
            "SELECT c.user_id, c.id AS cluster_id, s.replica FROM clusters c \
             LEFT JOIN agent_sessions s ON s.agent_id = c.agent_id \
             WHERE c.agent_id = $1 AND c.deleted_at IS NULL",
        )
        .bind(agent_id)
        .fetch_optional(self.store.pool());
        self.read(found).await
    }

    /// The ids of the user's agents that have a session, sorted.
    pub(crate) async fn connected_agents(&self, user_id: &str) -> Result<Vec<String>, StoreError> {
        let agents = sqlx::query_scalar(
            "SELECT c.agent_id FROM clusters c JOIN agent_sessions s ON s.agent_id = c.agent_id \
             WHERE c.user_id = $1 AND c.deleted_at IS NULL AND s.replica IS NOT NULL ORDER BY c.agent_id",
        )
        .bind(user_id)
        .fetch_all(self.store.pool());
        self.read(agents).await
    }

    /// A replica can be reached from now on.
    pub(crate) async fn add_replica(&self, address: &str, now: Timestamp) -> Result<(), StoreError> {
        let added = sqlx::query(
            "INSERT INTO replicas (address, joined_at) VALUES ($1, $2) ON CONFLICT (address) DO NOTHING",
        )
        .bind(address)
        .bind(now.as_millis())
        .execute(self.store.pool());
        self.read(added).await.map(drop)
    }

    /// A replica cannot be reached any more, and has no sessions; answers how many it had.
    pub(crate) async fn remove_replica(&self, address: &str) -> Result<u64, StoreError> {
        // In this order, so that no session is claimed for it afterwards.
        let removed =
            sqlx::query("DELETE FROM replicas WHERE address = $1").bind(address).execute(self.store.pool());
        self.read(removed).await?;
        let released = sqlx::query("UPDATE agent_sessions SET replica = NULL WHERE replica = $1")
            .bind(address)
            .execute(self.store.pool());
        Ok(self.read(released).await?.rows_affected())
    }

    /// The addresses of the replicas that can be reached, as far as is known.
    pub(crate) async fn replica_addresses(&self) -> Result<Vec<String>, StoreError> {
        let addresses = sqlx::query_scalar("SELECT address FROM replicas ORDER BY address");
        self.read(addresses.fetch_all(self.store.pool())).await
    }

    /// The replicas that can be reached, as far as is known, and how many sessions each holds.
    pub(crate) async fn replicas(&self) -> Result<Vec<Replica>, StoreError> {
        let replicas = sqlx::query_as(
            "SELECT r.address, COUNT(s.agent_id) AS sessions FROM replicas r \
             LEFT JOIN agent_sessions s ON s.replica = r.address GROUP BY r.address ORDER BY r.address",
        )
        .fetch_all(self.store.pool());
        self.read(replicas).await
    }
}
