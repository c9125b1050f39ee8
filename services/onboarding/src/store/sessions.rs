//! Which replica holds which agent's session: rows of `replicas` and `agent_sessions`.

use std::collections::{HashMap, HashSet};

use contracts::Timestamp;
use sqlx::{AssertSqlSafe, FromRow};
use store::StoreError;
use uuid::Uuid;

use super::{Database, is_id, keys::is_usable};

/// So many sessions are claimed again or released with one statement: SQLite takes 32,766 values, PostgreSQL 65,535.
pub(crate) const AT_ONCE: usize = 1000;
/// No agent has had so many sessions; one that says so is not believed.
const MAX_EPOCH: u64 = 1 << 40;
/// Values of each.
const COLUMNS: usize = 4;

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

/// A session that a replica holds.
#[derive(Clone, Debug)]
pub(crate) struct HeldSession {
    pub(crate) agent_id: String,
    pub(crate) epoch: i64,
    pub(crate) key_id: String,
    pub(crate) instance: Option<Uuid>,
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
            "INSERT INTO agent_sessions (agent_id, epoch, replica, instance, key_id, heard_at) \
             SELECT $1, $6 + 1, $2, $3, $4, $7 \
             WHERE {} AND EXISTS (SELECT 1 FROM replicas WHERE address = $2) \
             ON CONFLICT (agent_id) DO UPDATE SET epoch = CASE WHEN $6 > agent_sessions.epoch THEN $6 \
             ELSE agent_sessions.epoch END + 1, previous_replica = agent_sessions.replica, previous_instance = agent_sessions.instance, \
             was_settled = agent_sessions.is_settled, is_settled = CASE WHEN agent_sessions.replica IS NULL \
             OR agent_sessions.replica = excluded.replica THEN agent_sessions.is_settled ELSE 0 END, \
             replica = excluded.replica, instance = excluded.instance, key_id = excluded.key_id, \
             heard_at = excluded.heard_at WHERE agent_sessions.replica IS NULL OR agent_sessions.instance IS NULL \
             OR agent_sessions.instance = excluded.instance OR agent_sessions.epoch <= $5 \
             RETURNING epoch, previous_replica, previous_instance, was_settled",
            is_usable("$4")
        ));
        let last_epoch =
            new.last_epoch.filter(|epoch| *epoch < MAX_EPOCH).and_then(|epoch| i64::try_from(epoch).ok());
        let claimed = sqlx::query_as(query)
            .bind(new.agent_id)
            .bind(new.replica)
            .bind(new.instance.map(|instance| instance.to_string()))
            .bind(new.key_id)
            // Whoever has had no session yet knows of none that is newer.
            .bind(last_epoch.unwrap_or(i64::MAX))
            // The database may be a copy of an earlier day, and know of fewer sessions than the agent.
            .bind(last_epoch.unwrap_or(0))
            .bind(self.now().as_millis())
            .fetch_optional(self.store.pool());
        self.store.read(claimed).await
    }

    /// No other replica takes a session of the agent for its own, as of this epoch.
    pub(crate) async fn settle_session(&self, agent_id: &str, epoch: i64) -> Result<(), StoreError> {
        let settled =
            sqlx::query("UPDATE agent_sessions SET is_settled = 1 WHERE agent_id = $1 AND epoch = $2")
                .bind(agent_id)
                .bind(epoch)
                .execute(self.store.pool());
        self.store.read(settled).await.map(drop)
    }

    /// These agents have no session any more, unless they have one that is newer than of this epoch.
    pub(crate) async fn release_sessions(&self, ended: &[(String, i64)]) -> Result<(), StoreError> {
        for some in ended.chunks(AT_ONCE) {
            let rows: Vec<String> =
                (0..some.len()).map(|number| format!("(${}, ${})", 2 * number + 1, 2 * number + 2)).collect();
            let query = AssertSqlSafe(format!(
                "UPDATE agent_sessions SET replica = NULL WHERE (agent_id, epoch) IN (VALUES {})",
                rows.join(", ")
            ));
            let mut query = sqlx::query(query).persistent(false);
            for (agent_id, epoch) in some {
                query = query.bind(agent_id).bind(epoch);
            }
            self.store.read(query.execute(self.store.pool())).await?;
        }
        Ok(())
    }

    /// Makes those sessions this replica's (again) that have no newer one and whose keys were not revoked; answers whose they are. Also
    /// those that the database does not know of, or not yet: it may be a copy of an earlier day.
    pub(crate) async fn reclaim_sessions(
        &self,
        replica: &str,
        sessions: &[HeldSession],
    ) -> Result<HashSet<String>, StoreError> {
        let mut reclaimed = HashSet::with_capacity(sessions.len());
        for some in sessions.chunks(AT_ONCE) {
            let row = |number: usize| {
                let first = COLUMNS * number + 3;
                format!("(${first}, ${}, ${}, ${})", first + 1, first + 2, first + 3)
            };
            let rows: Vec<String> = (0..some.len()).map(row).collect();
            let query = AssertSqlSafe(format!(
                "INSERT INTO agent_sessions (agent_id, epoch, replica, heard_at, key_id, instance) \
                 SELECT v.column1, v.column2, $1, $2, v.column3, NULLIF(v.column4, '') FROM (VALUES {}) AS v WHERE {} \
                 ON CONFLICT (agent_id) DO UPDATE SET replica = excluded.replica, epoch = excluded.epoch, \
                 key_id = excluded.key_id, instance = excluded.instance, heard_at = excluded.heard_at \
                 WHERE agent_sessions.epoch <= excluded.epoch RETURNING agent_id",
                rows.join(", "),
                is_usable("v.column3")
            ));
            let mut query =
                sqlx::query_scalar(query).persistent(false).bind(replica).bind(self.now().as_millis());
            for HeldSession { agent_id, epoch, key_id, instance } in some {
                let instance = instance.map_or_else(String::new, |instance| instance.to_string());
                query = query.bind(agent_id).bind(epoch).bind(key_id).bind(instance);
            }
            let agents: Vec<String> = self.store.read(query.fetch_all(self.store.pool())).await?;
            reclaimed.extend(agents);
        }
        Ok(reclaimed)
    }

    /// The epochs of the sessions that are this replica's, by agent; without those whose keys were revoked.
    pub(crate) async fn sessions_of(&self, replica: &str) -> Result<HashMap<String, i64>, StoreError> {
        let query = AssertSqlSafe(format!(
            "SELECT agent_id, epoch FROM agent_sessions WHERE replica = $1 AND {}",
            is_usable("agent_sessions.key_id")
        ));
        let rows = sqlx::query_as(query).bind(replica).fetch_all(self.store.pool());
        let rows: Vec<(String, i64)> = self.store.read(rows).await?;
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
        self.store.read(found).await
    }

    /// The ids of the user's agents that have a session, sorted.
    pub(crate) async fn connected_agents(&self, user_id: &str) -> Result<Vec<String>, StoreError> {
        let agents = sqlx::query_scalar(
            "SELECT c.agent_id FROM clusters c JOIN agent_sessions s ON s.agent_id = c.agent_id \
             WHERE c.user_id = $1 AND c.deleted_at IS NULL AND s.replica IS NOT NULL ORDER BY c.agent_id",
        )
        .bind(user_id)
        .fetch_all(self.store.pool());
        self.store.read(agents).await
    }

    /// A replica can be reached from now on.
    pub(crate) async fn add_replica(&self, address: &str, now: Timestamp) -> Result<(), StoreError> {
        let added = sqlx::query(
            "INSERT INTO replicas (address, joined_at) VALUES ($1, $2) ON CONFLICT (address) DO NOTHING",
        )
        .bind(address)
        .bind(now.as_millis())
        .execute(self.store.pool());
        self.store.read(added).await.map(drop)
    }

    /// A replica cannot be reached any more, and has no sessions; answers how many it had, unless it was taken out already.
    pub(crate) async fn remove_replica(&self, address: &str) -> Result<Option<u64>, StoreError> {
        self.store
            .bounded(async {
                let mut transaction = self.store.begin().await?;
                // In this order, so that no session is claimed for it afterwards.
                let removed = sqlx::query("DELETE FROM replicas WHERE address = $1")
                    .bind(address)
                    .execute(&mut *transaction)
                    .await?;
                let released =
                    sqlx::query("UPDATE agent_sessions SET replica = NULL, heard_at = $2 WHERE replica = $1")
                        .bind(address)
                        .bind(self.now().as_millis())
                        .execute(&mut *transaction)
                        .await?;
                transaction.commit().await?;
                Ok((removed.rows_affected() == 1).then_some(released.rows_affected()))
            })
            .await
    }

    /// Releases the sessions of replicas that are not known: one was claimed in the moment in which its replica was taken out.
    pub(crate) async fn release_orphans(&self) -> Result<(), StoreError> {
        let released = sqlx::query(
            "UPDATE agent_sessions SET replica = NULL, heard_at = $1 WHERE replica IS NOT NULL \
             AND NOT EXISTS (SELECT 1 FROM replicas r WHERE r.address = agent_sessions.replica)",
        )
        .bind(self.now().as_millis())
        .execute(self.store.pool());
        self.store.read(released).await.map(drop)
    }

    /// The addresses of the replicas that can be reached, as far as is known.
    pub(crate) async fn replica_addresses(&self) -> Result<Vec<String>, StoreError> {
        let addresses = sqlx::query_scalar("SELECT address FROM replicas ORDER BY address");
        self.store.read(addresses.fetch_all(self.store.pool())).await
    }

    /// The replicas that can be reached, as far as is known, and how many sessions each holds.
    pub(crate) async fn replicas(&self) -> Result<Vec<Replica>, StoreError> {
        let replicas = sqlx::query_as(
            "SELECT r.address, COUNT(s.agent_id) AS sessions FROM replicas r \
             LEFT JOIN agent_sessions s ON s.replica = r.address GROUP BY r.address ORDER BY r.address",
        )
        .fetch_all(self.store.pool());
        self.store.read(replicas).await
    }
}
