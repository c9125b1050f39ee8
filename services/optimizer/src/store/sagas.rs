//! The journals of sagas, and their leases.

use std::time::Duration;

use async_trait::async_trait;
use contracts::{
    Timestamp,
    events::{Event as Told, EventType},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use sqlx::AnyConnection;
use store::{StoreError, Transaction};

use super::{Database, marked};
use crate::{
    counted,
    phases::Subject,
    saga::{Claimed, Entry, Event, Lease, Log, LogError, NewSaga, Owner, RunMode, SagaId},
};

#[async_trait]
impl Log for Database {
    fn now(&self) -> Timestamp {
        self.now()
    }

    async fn begin(&self, saga: &NewSaga, subjects: &[Subject]) -> Result<(), LogError> {
        let begun = async {
            let mut transaction = self.store.begin().await?;
            self.begin_in(&mut transaction, saga, false, subjects).await?;
            Ok(transaction.commit().await?)
        };
        self.store.bounded(begun).await
    }

    async fn claim(&self, owner: &Owner, lease: Duration) -> Result<Option<Claimed>, LogError> {
        Ok(self.claim_next(owner, lease).await?)
    }

    async fn renew(&self, lease: Lease, duration: Duration) -> Result<bool, LogError> {
        let renewed = sqlx::query_scalar::<_, i64>(
            "UPDATE sagas SET lease_until = $1 WHERE id = $2 AND epoch = $3 \
             RETURNING CAST(CASE WHEN cancel_requested_at IS NULL THEN 0 ELSE 1 END AS BIGINT)",
        )
        .bind(self.now().plus(duration).as_millis())
        .bind(lease.saga.to_string())
        .bind(lease.epoch)
        .fetch_optional(self.store.pool());
        self.store.read(renewed).await?.map(|cancel| cancel == 1).ok_or(LogError::Fenced)
    }

    async fn append(&self, lease: Lease, entry: &Entry) -> Result<(), LogError> {
        self.store.bounded(self.append_entry(lease, entry)).await
    }

    async fn release(&self, lease: Lease) -> Result<(), LogError> {
        let released = sqlx::query("UPDATE sagas SET lease_until = $1 WHERE id = $2 AND epoch = $3")
            .bind(self.now().as_millis())
            .bind(lease.saga.to_string())
            .bind(lease.epoch)
            .execute(self.store.pool());
        self.store.read(released).await?;
        Ok(())
    }
}

impl Database {
    /// Begins a saga in a transaction of the caller's.
    pub(super) async fn begin_in(
        &self,
        transaction: &mut Transaction,
        saga: &NewSaga,
        is_simulated: bool,
        subjects: &[Subject],
    ) -> Result<(), LogError> {
        let now = self.now();
        let inserted = sqlx::query(
            "INSERT INTO sagas (id, user_id, saga, is_simulated, created_at, epoch, lease_until) \
             VALUES ($1, $2, $3, $4, $5, 0, $5) ON CONFLICT (id) DO NOTHING",
        )
        .bind(saga.id.to_string())
        .bind(&saga.user_id)
        .bind(written(saga))
        .bind(i64::from(is_simulated))
        .bind(now.as_millis())
        .execute(&mut **transaction)
        .await
        .map_err(StoreError::from)?;
        if inserted.rows_affected() == 0 {
            // It was begun, and the answer was lost.
            return Ok(());
        }
        take(transaction, saga.id, subjects).await?;
        let entry = Entry { seq: 0, at: now, epoch: 0, event: Event::Started { mode: saga.mode } };
        insert(transaction, saga.id, &entry).await?;
        transaction.emit(&told(EventType::OperationStarted, saga, is_simulated, now, json!({}))).await?;
        Ok(())
    }

    async fn append_entry(&self, lease: Lease, entry: &Entry) -> Result<(), LogError> {
        let mut transaction = self.store.begin().await?;
        let is_cancelled = hold(&mut transaction, lease).await?;
        if !insert(&mut transaction, lease.saga, entry).await? {
            // It was written, and the answer was lost; or it is not ours to write.
            let there =
                sqlx::query_scalar::<_, String>("SELECT entry FROM journal WHERE saga_id = $1 AND seq = $2")
                    .bind(lease.saga.to_string())
                    .bind(i64::from(entry.seq))
                    .fetch_one(&mut *transaction)
                    .await
                    .map_err(StoreError::from)?;
            return if there == written(entry) { Ok(()) } else { Err(LogError::Fenced) };
        }
        if is_cancelled && entry.event.is_point_of_no_return() {
            return Err(LogError::Cancelled);
        }
        match &entry.event {
            Event::Planned { subjects, .. } => take(&mut transaction, lease.saga, subjects).await?,
            Event::Ended { ending, why } => {
                let (saga, is_simulated) = end(&mut transaction, lease.saga, entry.at).await?;
                let more = json!({"ending": ending, "why": why});
                let event = told(EventType::OperationEnded, &saga, is_simulated, entry.at, more);
                transaction.emit(&event).await?;
            }
            _ => {}
        }
        transaction.commit().await?;
        self.tails.tell(lease.saga, entry.seq.saturating_add(1));
        if let Event::Ended { ending, .. } = entry.event {
            counted::ended(ending);
        }
        Ok(())
    }

    /// The entries of a journal from this place on, in order.
    pub(crate) async fn journal_of(&self, saga: SagaId, from: u32) -> Result<Vec<Entry>, StoreError> {
        self.store
            .bounded(async { journal_in(&mut *self.store.pool().acquire().await?, saga, from).await })
            .await
    }
}

/// The same, as a transaction sees it.
pub(super) async fn journal_in(
    connection: &mut AnyConnection,
    saga: SagaId,
    from: u32,
) -> Result<Vec<Entry>, StoreError> {
    let rows = sqlx::query_scalar::<_, String>(
        "SELECT entry FROM journal WHERE saga_id = $1 AND seq >= $2 ORDER BY seq",
    );
    let rows = rows.bind(saga.to_string()).bind(i64::from(from)).fetch_all(connection).await?;
    rows.iter().map(|entry| read(entry)).collect()
}

/// Sees that the lease is still this one, and keeps it so until the end of the transaction, as well as whether the saga is to be cancelled, which it
/// answers.
async fn hold(connection: &mut AnyConnection, lease: Lease) -> Result<bool, LogError> {
    let held = sqlx::query_scalar::<_, i64>(
        "UPDATE sagas SET epoch = epoch WHERE id = $1 AND epoch = $2 \
         RETURNING CAST(CASE WHEN cancel_requested_at IS NULL THEN 0 ELSE 1 END AS BIGINT)",
    )
    .bind(lease.saga.to_string())
    .bind(lease.epoch)
    .fetch_optional(connection)
    .await
    .map_err(StoreError::from)?;
    held.map(|cancel| cancel == 1).ok_or(LogError::Fenced)
}

/// Whether the place in the journal was free.
async fn insert(connection: &mut AnyConnection, saga: SagaId, entry: &Entry) -> Result<bool, StoreError> {
    let inserted = sqlx::query(
        "INSERT INTO journal (saga_id, seq, entry) VALUES ($1, $2, $3) ON CONFLICT (saga_id, seq) DO NOTHING",
    )
    .bind(saga.to_string())
    .bind(i64::from(entry.seq))
    .bind(written(entry))
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// In the order of their names, so that two sagas that take the same do not wait for each other.
async fn take(connection: &mut AnyConnection, saga: SagaId, subjects: &[Subject]) -> Result<(), LogError> {
    let mut subjects: Vec<&Subject> = subjects.iter().collect();
    subjects.sort();
    for subject in subjects {
        let owner = sqlx::query_scalar::<_, String>(
            "INSERT INTO subjects (subject, saga_id) VALUES ($1, $2) \
             ON CONFLICT (subject) DO UPDATE SET saga_id = subjects.saga_id RETURNING saga_id",
        )
        .bind(&subject.0)
        .bind(saga.to_string())
        .fetch_one(&mut *connection)
        .await
        .map_err(StoreError::from)?;
        if owner != saga.to_string() {
            let by = owner.parse().unwrap_or_default();
            return Err(LogError::Taken { subject: subject.clone(), by });
        }
    }
    Ok(())
}

/// Writes that a saga is over; answers it, and whether it is in the simulated account.
async fn end(
    connection: &mut AnyConnection,
    saga: SagaId,
    at: Timestamp,
) -> Result<(NewSaga, bool), StoreError> {
    sqlx::query("DELETE FROM subjects WHERE saga_id = $1")
        .bind(saga.to_string())
        .execute(&mut *connection)
        .await?;
    let (saga, is_simulated) = sqlx::query_as::<_, (String, i64)>(
        "UPDATE sagas SET ended_at = $1, lease_until = 0 WHERE id = $2 RETURNING saga, is_simulated",
    )
    .bind(at.as_millis())
    .bind(saga.to_string())
    .fetch_one(connection)
    .await?;
    Ok((read(&saga)?, is_simulated == 1))
}

/// What others are told of a saga, with `more` of its type.
pub(super) fn told(
    event_type: EventType,
    saga: &NewSaga,
    is_simulated: bool,
    at: Timestamp,
    more: Value,
) -> Told {
    let mut data = json!({
        "operation_id": saga.id,
        "account_id": saga.target.account_id,
        "instance_id": saga.target.instance_id,
        "is_shadow_mode": saga.mode == RunMode::Shadow,
    });
    if let (Some(data), Value::Object(more)) = (data.as_object_mut(), more) {
        data.extend(more);
    }
    Told::new(event_type, &saga.user_id, &saga.username, at, marked(data, is_simulated))
}

fn written(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("it has no map whose keys are not text")
}

pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|source| StoreError::Corrupt { what: "saga", source })
}
