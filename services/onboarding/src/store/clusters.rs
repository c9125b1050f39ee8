//! Rows of `clusters`.

use contracts::Timestamp;
use sqlx::FromRow;
use store::{StoreError, Transaction};

use super::{Database, is_id};

/// A cluster and what its agent has told last.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct Cluster {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) provider: String,
    pub(crate) agent_id: String,
    pub(crate) created_at: i64,
    pub(crate) agent_version: Option<String>,
    pub(crate) kubernetes_version: Option<String>,
    pub(crate) connected_at: Option<i64>,
    pub(crate) last_heartbeat: Option<i64>,
    pub(crate) nodes: Option<i64>,
    pub(crate) pods: Option<i64>,
    /// 1 when the cluster says that it is a simulated one.
    pub(crate) simulated: i64,
    /// Keys that are neither revoked nor past the time for their first use.
    pub(crate) usable_keys: i64,
}

pub(crate) struct NewCluster<'a> {
    pub(crate) id: &'a str,
    pub(crate) user_id: &'a str,
    pub(crate) name: &'a str,
    pub(crate) provider: &'a str,
    /// JSON.
    pub(crate) features: &'a str,
    pub(crate) agent_id: &'a str,
    pub(crate) now: Timestamp,
}

/// What a session has learnt of its cluster; what it has not learnt stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Vitals {
    pub(crate) agent_version: Option<String>,
    pub(crate) kubernetes_version: Option<String>,
    pub(crate) connected_at: Option<Timestamp>,
    pub(crate) last_heartbeat: Option<Timestamp>,
    pub(crate) nodes: Option<u64>,
    pub(crate) pods: Option<u64>,
    pub(crate) simulated: Option<bool>,
}

impl Vitals {
    /// Takes over what is newer.
    pub(crate) fn update(&mut self, newer: Self) {
        self.agent_version = newer.agent_version.or(self.agent_version.take());
        self.kubernetes_version = newer.kubernetes_version.or(self.kubernetes_version.take());
        self.connected_at = newer.connected_at.or(self.connected_at);
        self.last_heartbeat = newer.last_heartbeat.or(self.last_heartbeat);
        self.nodes = newer.nodes.or(self.nodes);
        self.pods = newer.pods.or(self.pods);
        self.simulated = newer.simulated.or(self.simulated);
    }
}

/// `$1` is the time now.
const SELECT: &str = "SELECT c.id, c.name, c.provider, c.agent_id, c.created_at, c.agent_version, \
     c.kubernetes_version, c.connected_at, c.last_heartbeat, c.nodes, c.pods, c.simulated, \
     (SELECT COUNT(*) FROM agent_keys k WHERE k.cluster_id = c.id AND k.revoked_at IS NULL \
      AND (k.first_used_at IS NOT NULL OR k.unused_until > $1)) AS usable_keys \
     FROM clusters c WHERE c.deleted_at IS NULL";

impl Database {
    pub(crate) async fn insert_cluster(
        &self,
        transaction: &mut Transaction,
        new: &NewCluster<'_>,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO clusters (id, user_id, name, provider, features, agent_id, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(new.id)
        .bind(new.user_id)
        .bind(new.name)
        .bind(new.provider)
        .bind(new.features)
        .bind(new.agent_id)
        .bind(new.now.as_millis())
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }

    /// The user's clusters by name.
    pub(crate) async fn clusters_of(
        &self,
        user_id: &str,
        now: Timestamp,
    ) -> Result<Vec<Cluster>, StoreError> {
        let query = sqlx::AssertSqlSafe(format!("{SELECT} AND c.user_id = $2 ORDER BY c.name"));
        self.read(sqlx::query_as(query).bind(now.as_millis()).bind(user_id).fetch_all(self.store.pool()))
            .await
    }

    /// One of the user's clusters.
    pub(crate) async fn cluster_of(
        &self,
        user_id: &str,
        cluster_id: &str,
        now: Timestamp,
    ) -> Result<Option<Cluster>, StoreError> {
        if !is_id(cluster_id) {
            return Ok(None);
        }
        let query = sqlx::AssertSqlSafe(format!("{SELECT} AND c.user_id = $2 AND c.id = $3"));
        let found = sqlx::query_as(query)
            .bind(now.as_millis())
            .bind(user_id)
            .bind(cluster_id)
            .fetch_optional(self.store.pool());
        self.read(found).await
    }

    /// The user's cluster of that name.
    pub(crate) async fn cluster_named(
        &self,
        user_id: &str,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<Cluster>, StoreError> {
        let query = sqlx::AssertSqlSafe(format!("{SELECT} AND c.user_id = $2 AND c.name = $3"));
        let found = sqlx::query_as(query)
            .bind(now.as_millis())
            .bind(user_id)
            .bind(name)
            .fetch_optional(self.store.pool());
        self.read(found).await
    }

    /// Whose agent that is, and of which cluster: `(user id, cluster id)`.
    pub(crate) async fn agent_owner(&self, agent_id: &str) -> Result<Option<(String, String)>, StoreError> {
        if !is_id(agent_id) {
            return Ok(None);
        }
        let owner =
            sqlx::query_as("SELECT user_id, id FROM clusters WHERE agent_id = $1 AND deleted_at IS NULL")
                .bind(agent_id)
                .fetch_optional(self.store.pool());
        self.read(owner).await
    }

    /// Deletes a cluster and revokes its keys; false when it is deleted already.
    pub(crate) async fn delete_cluster(
        &self,
        transaction: &mut Transaction,
        cluster_id: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let deleted = sqlx::query("UPDATE clusters SET deleted_at = $2 WHERE id = $1 AND deleted_at IS NULL")
            .bind(cluster_id)
            .bind(now.as_millis())
            .execute(&mut **transaction)
            .await?;
        sqlx::query("UPDATE agent_keys SET revoked_at = $2 WHERE cluster_id = $1 AND revoked_at IS NULL")
            .bind(cluster_id)
            .bind(now.as_millis())
            .execute(&mut **transaction)
            .await?;
        Ok(deleted.rows_affected() == 1)
    }

    /// Writes what sessions have learnt, all or nothing.
    pub(crate) async fn record_vitals(&self, vitals: &[(String, Vitals)]) -> Result<(), StoreError> {
        self.store.bounded(self.try_record_vitals(vitals)).await
    }

    async fn try_record_vitals(&self, vitals: &[(String, Vitals)]) -> Result<(), StoreError> {
        let mut transaction = self.store.begin().await?;
        for (cluster_id, learnt) in vitals {
            sqlx::query(
                "UPDATE clusters SET agent_version = COALESCE($2, agent_version), \
                 kubernetes_version = COALESCE($3, kubernetes_version), \
                 connected_at = COALESCE($4, connected_at), last_heartbeat = COALESCE($5, last_heartbeat), \
                 nodes = COALESCE($6, nodes), pods = COALESCE($7, pods), \
                 simulated = COALESCE($8, simulated) WHERE id = $1",
            )
            .bind(cluster_id)
            .bind(learnt.agent_version.as_deref())
            .bind(learnt.kubernetes_version.as_deref())
            .bind(learnt.connected_at.map(Timestamp::as_millis))
            .bind(learnt.last_heartbeat.map(Timestamp::as_millis))
            .bind(learnt.nodes.and_then(|nodes| i64::try_from(nodes).ok()))
            .bind(learnt.pods.and_then(|pods| i64::try_from(pods).ok()))
            .bind(learnt.simulated.map(i64::from))
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await
    }
}
