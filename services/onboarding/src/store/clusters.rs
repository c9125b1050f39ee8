//! Rows of `clusters`.

use contracts::Timestamp;
use sqlx::FromRow;
use store::{StoreError, Transaction};

use super::{Database, Vitals, is_id};
use crate::costs::{Money, Rates};

/// A cluster and what its agent has told last.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct Cluster {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) provider: String,
    /// JSON.
    pub(crate) features: String,
    pub(crate) agent_id: String,
    pub(crate) created_at: i64,
    /// As [`State`](super::State) writes it.
    pub(crate) state: String,
    pub(crate) state_since: Option<i64>,
    pub(crate) agent_version: Option<String>,
    pub(crate) kubernetes_version: Option<String>,
    pub(crate) connected_at: Option<i64>,
    pub(crate) last_heartbeat: Option<i64>,
    pub(crate) nodes: Option<i64>,
    pub(crate) pods: Option<i64>,
    pub(crate) detected_provider: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) refused_at: Option<i64>,
    pub(crate) refused_why: Option<String>,
    pub(crate) ended_at: Option<i64>,
    pub(crate) ended_why: Option<String>,
    pub(crate) cpu_cost_per_hour: Option<i64>,
    pub(crate) memory_cost_per_hour: Option<i64>,
    pub(crate) storage_cost_per_hour: Option<i64>,
    pub(crate) ingress_cost: Option<i64>,
    pub(crate) egress_cost: Option<i64>,
    pub(crate) costs_entered_at: Option<i64>,
    pub(crate) aws_role_arn: Option<String>,
    /// What the nodes have together.
    pub(crate) cpu_millis: Option<i64>,
    pub(crate) memory_bytes: Option<i64>,
    /// When the newest install script ends, or has ended, unless it was run; and when it was run.
    pub(crate) script_expires_at: Option<i64>,
    pub(crate) script_run_at: Option<i64>,
    /// 1 when the cluster says that it is a simulated one.
    pub(crate) simulated: i64,
    /// How many replicas hold the agent's session: 1 or 0.
    pub(crate) sessions: i64,
    /// Keys that are neither revoked nor past the time for their first use.
    pub(crate) usable_keys: i64,
    /// Keys that were revoked.
    pub(crate) revoked_keys: i64,
    /// Keys that have ended unused.
    pub(crate) expired_keys: i64,
}

impl Cluster {
    /// What its resources cost, as its user has entered it.
    pub(crate) fn rates(&self) -> Rates {
        Rates {
            cpu_cost: self.cpu_cost_per_hour.map(Money),
            memory_cost: self.memory_cost_per_hour.map(Money),
            ingress_cost: self.ingress_cost.map(Money),
            egress_cost: self.egress_cost.map(Money),
            storage_cost: self.storage_cost_per_hour.map(Money),
        }
    }

    /// The row with what a session has learnt since it was written.
    pub(crate) fn with(self, learnt: Vitals) -> Self {
        let count = |count: Option<u64>| count.and_then(|count| i64::try_from(count).ok());
        Self {
            agent_version: learnt.agent_version.or(self.agent_version),
            kubernetes_version: learnt.kubernetes_version.or(self.kubernetes_version),
            connected_at: learnt.connected_at.map(Timestamp::as_millis).or(self.connected_at),
            last_heartbeat: learnt.last_heartbeat.map(Timestamp::as_millis).or(self.last_heartbeat),
            nodes: count(learnt.nodes).or(self.nodes),
            pods: count(learnt.pods).or(self.pods),
            detected_provider: learnt.detected_provider.or(self.detected_provider),
            region: learnt.region.or(self.region),
            cpu_millis: count(learnt.cpu_millis).or(self.cpu_millis),
            memory_bytes: count(learnt.memory_bytes).or(self.memory_bytes),
            simulated: learnt.simulated.map_or(self.simulated, i64::from),
            ..self
        }
    }
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

/// `$1` is the time now.
const SELECT: &str = "SELECT c.id, c.name, c.provider, c.features, c.agent_id, c.created_at, c.state, c.state_since, \
     c.agent_version, c.kubernetes_version, c.connected_at, c.last_heartbeat, c.nodes, c.pods, c.detected_provider, \
     c.region, c.refused_at, c.refused_why, c.ended_at, c.ended_why, c.simulated, c.cpu_cost_per_hour, \
     c.memory_cost_per_hour, c.storage_cost_per_hour, c.ingress_cost, c.egress_cost, c.costs_entered_at, c.aws_role_arn, \
     c.cpu_millis, c.memory_bytes, \
     (SELECT COUNT(*) FROM agent_sessions s WHERE s.agent_id = c.agent_id AND s.replica IS NOT NULL) AS sessions, \
     (SELECT MAX(t.expires_at) FROM install_tokens t WHERE t.cluster_id = c.id) AS script_expires_at, \
     (SELECT MAX(t.used_at) FROM install_tokens t WHERE t.cluster_id = c.id) AS script_run_at, \
     (SELECT COUNT(*) FROM agent_keys k WHERE k.cluster_id = c.id AND k.revoked_at IS NULL \
      AND (k.first_used_at IS NOT NULL OR k.unused_until > $1)) AS usable_keys, \
     (SELECT COUNT(*) FROM agent_keys k WHERE k.cluster_id = c.id AND k.revoked_at IS NOT NULL) AS revoked_keys, \
     (SELECT COUNT(*) FROM agent_keys k WHERE k.cluster_id = c.id AND k.revoked_at IS NULL \
      AND k.first_used_at IS NULL AND k.unused_until <= $1) AS expired_keys \
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
        self.store
            .read(sqlx::query_as(query).bind(now.as_millis()).bind(user_id).fetch_all(self.store.pool()))
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
        self.store.read(found).await
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
        self.store.read(found).await
    }

    pub(crate) async fn change_cluster(
        &self,
        transaction: &mut Transaction,
        cluster_id: &str,
        provider: &str,
        features: &str,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE clusters SET provider = $2, features = $3 WHERE id = $1")
            .bind(cluster_id)
            .bind(provider)
            .bind(features)
            .execute(&mut **transaction)
            .await?;
        Ok(())
    }

    /// Writes what the cluster's resources cost.
    pub(crate) async fn set_rates(
        &self,
        transaction: &mut Transaction,
        cluster_id: &str,
        rates: &Rates,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let units = |rate: Option<Money>| rate.map(|Money(units)| units);
        sqlx::query(
            "UPDATE clusters SET cpu_cost_per_hour = $2, memory_cost_per_hour = $3, storage_cost_per_hour = $4, \
             ingress_cost = $5, egress_cost = $6, costs_entered_at = $7 WHERE id = $1",
        )
        .bind(cluster_id)
        .bind(units(rates.cpu_cost))
        .bind(units(rates.memory_cost))
        .bind(units(rates.storage_cost))
        .bind(units(rates.ingress_cost))
        .bind(units(rates.egress_cost))
        .bind(now.as_millis())
        .execute(&mut **transaction)
        .await?;
        Ok(())
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
}
