//! What sessions learn of their clusters, in the rows of `clusters`.

use contracts::Timestamp;
use sqlx::FromRow;
use store::{StoreError, Transaction};

use super::{
    Database, State,
    lifecycle::{Change, Changed},
};

/// What a session has learnt of its cluster; what it has not learnt stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Vitals {
    pub(crate) agent_version: Option<String>,
    pub(crate) kubernetes_version: Option<String>,
    pub(crate) connected_at: Option<Timestamp>,
    pub(crate) last_heartbeat: Option<Timestamp>,
    pub(crate) nodes: Option<u64>,
    pub(crate) pods: Option<u64>,
    pub(crate) detected_provider: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) cpu_millis: Option<u64>,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) simulated: Option<bool>,
    /// The agent was refused.
    pub(crate) refused: Option<Incident>,
    /// A session of the agent has ended.
    pub(crate) ended: Option<Incident>,
}

/// Something that went wrong, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Incident {
    pub(crate) at: Timestamp,
    pub(crate) why: String,
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
        self.detected_provider = newer.detected_provider.or(self.detected_provider.take());
        self.region = newer.region.or(self.region.take());
        self.cpu_millis = newer.cpu_millis.or(self.cpu_millis);
        self.memory_bytes = newer.memory_bytes.or(self.memory_bytes);
        self.simulated = newer.simulated.or(self.simulated);
        self.refused = newer.refused.or(self.refused.take());
        self.ended = newer.ended.or(self.ended.take());
    }

    /// When the agent was there last.
    fn last_heard(&self) -> Option<Timestamp> {
        self.connected_at.max(self.last_heartbeat)
    }
}

/// A row as it is after a write.
#[derive(FromRow)]
struct Written {
    id: String,
    user_id: String,
    name: String,
    agent_id: String,
    last_heartbeat: Option<i64>,
    state: String,
    state_since: i64,
}

impl Database {
    /// Writes what sessions have learnt, all or nothing, and tells of clusters that are connected now and were not.
    pub(crate) async fn record_vitals(
        &self,
        vitals: &[(String, Vitals)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.store.bounded(self.try_record_vitals(vitals, now)).await
    }

    async fn try_record_vitals(&self, vitals: &[(String, Vitals)], now: Timestamp) -> Result<(), StoreError> {
        let mut transaction = self.store.begin().await?;
        for (cluster_id, learnt) in vitals {
            let written = write(&mut transaction, cluster_id, learnt).await?;
            // What was heard before the cluster fell silent, and could not be written then, does not wake it.
            let wakes = |written: &Written| {
                learnt.last_heard().is_some_and(|heard| heard.as_millis() >= written.state_since)
            };
            if let Some(written) = written.filter(wakes) {
                self.note_life(&mut transaction, written, now).await?;
            }
        }
        transaction.commit().await
    }

    /// The cluster is connected from now on, unless it was.
    async fn note_life(
        &self,
        transaction: &mut Transaction,
        Written { id, user_id, name, agent_id, last_heartbeat, state, .. }: Written,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let from = State::read(&state);
        if from == State::Connected {
            return Ok(());
        }
        let changed = Changed { id, user_id, name, agent_id, last_heartbeat };
        let change = Change { from, to: State::Connected, silent_since: None };
        self.change_state(transaction, &changed, change, now).await
    }
}

/// Writes it, and tells of the row, unless it is deleted.
async fn write(
    transaction: &mut Transaction,
    cluster_id: &str,
    learnt: &Vitals,
) -> Result<Option<Written>, StoreError> {
    let count = |count: Option<u64>| count.and_then(|count| i64::try_from(count).ok());
    let (refused, ended) = (learnt.refused.as_ref(), learnt.ended.as_ref());
    let written = sqlx::query_as(
        "UPDATE clusters SET agent_version = COALESCE($2, agent_version), \
         kubernetes_version = COALESCE($3, kubernetes_version), \
         connected_at = CASE WHEN $4 > COALESCE(connected_at, 0) THEN $4 ELSE connected_at END, \
         last_heartbeat = CASE WHEN $5 > COALESCE(last_heartbeat, 0) THEN $5 ELSE last_heartbeat END, \
         nodes = COALESCE($6, nodes), pods = COALESCE($7, pods), simulated = COALESCE($8, simulated), \
         detected_provider = COALESCE($9, detected_provider), region = COALESCE($10, region), \
         refused_at = COALESCE($11, refused_at), refused_why = COALESCE($12, refused_why), \
         ended_at = COALESCE($13, ended_at), ended_why = COALESCE($14, ended_why), \
         cpu_millis = COALESCE($15, cpu_millis), memory_bytes = COALESCE($16, memory_bytes) WHERE id = $1 AND deleted_at IS NULL \
         RETURNING id, user_id, name, agent_id, last_heartbeat, state, COALESCE(state_since, 0) AS state_since",
    )
    .bind(cluster_id)
    .bind(learnt.agent_version.as_deref())
    .bind(learnt.kubernetes_version.as_deref())
    .bind(learnt.connected_at.map(Timestamp::as_millis))
    .bind(learnt.last_heartbeat.map(Timestamp::as_millis))
    .bind(count(learnt.nodes))
    .bind(count(learnt.pods))
    .bind(learnt.simulated.map(i64::from))
    .bind(learnt.detected_provider.as_deref())
    .bind(learnt.region.as_deref())
    .bind(refused.map(|refused| refused.at.as_millis()))
    .bind(refused.map(|refused| refused.why.as_str()))
    .bind(ended.map(|ended| ended.at.as_millis()))
    .bind(ended.map(|ended| ended.why.as_str()))
    .bind(count(learnt.cpu_millis))
    .bind(count(learnt.memory_bytes))
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(written)
}
