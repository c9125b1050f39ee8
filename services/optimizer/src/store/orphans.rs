//! Instances that operations have left behind.

use std::{collections::HashMap, time::Duration};

use contracts::{Timestamp, events::Event};
use store::StoreError;

use super::Database;
use crate::saga::SagaId;

impl Database {
    /// Takes the turn to look for orphans: no other replica does for so long.
    pub(crate) async fn take_reaping(&self, turn: Duration) -> Result<bool, StoreError> {
        let now = self.now();
        let taken = sqlx::query("UPDATE reaping SET next_at = $2 WHERE next_at <= $1")
            .bind(now.as_millis())
            .bind(now.plus(turn).as_millis())
            .execute(self.store.pool());
        Ok(self.store.read(taken).await?.rows_affected() > 0)
    }

    /// Keeps the turn, for so long from now.
    pub(crate) async fn keep_reaping(&self, turn: Duration) -> Result<(), StoreError> {
        let kept = sqlx::query("UPDATE reaping SET next_at = $1 WHERE next_at < $1")
            .bind(self.now().plus(turn).as_millis())
            .execute(self.store.pool());
        self.store.read(kept).await.map(drop)
    }

    /// Notes an instance that nobody owns, with the event that tells of it when it is a new one; answers since when it is known.
    pub(crate) async fn note_orphan(
        &self,
        account_id: &str,
        instance_id: &str,
        saga: SagaId,
        event: &Event,
    ) -> Result<Timestamp, StoreError> {
        let now = self.now();
        let noted = async {
            let mut transaction = self.store.begin().await?;
            let inserted = sqlx::query(
                "INSERT INTO orphans (account_id, instance_id, saga_id, found_at, seen_at) \
                 VALUES ($1, $2, $3, $4, $4) ON CONFLICT (account_id, instance_id) DO NOTHING",
            )
            .bind(account_id)
            .bind(instance_id)
            .bind(saga.to_string())
            .bind(now.as_millis())
            .execute(&mut *transaction)
            .await?;
            if inserted.rows_affected() == 1 {
                transaction.emit(event).await?;
            }
            let found_at = sqlx::query_scalar::<_, i64>(
                "UPDATE orphans SET seen_at = $3 WHERE account_id = $1 AND instance_id = $2 RETURNING found_at",
            )
            .bind(account_id)
            .bind(instance_id)
            .bind(now.as_millis())
            .fetch_one(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok(Timestamp::from_millis(found_at).unwrap_or(now))
        };
        self.store.bounded(noted).await
    }

    /// The orphans of an account that are not ended, as far as is known, and when each was seen last.
    pub(crate) async fn orphans_of(&self, account_id: &str) -> Result<HashMap<String, i64>, StoreError> {
        let known = sqlx::query_as::<_, (String, i64)>(
            "SELECT instance_id, seen_at FROM orphans WHERE account_id = $1 AND removed_at IS NULL",
        )
        .bind(account_id)
        .fetch_all(self.store.pool());
        Ok(self.store.read(known).await?.into_iter().collect())
    }

    /// How many orphans that were found before that time are there all the same, as was seen within `lately`.
    pub(crate) async fn orphans_since(
        &self,
        found_before: Timestamp,
        seen_after: Timestamp,
    ) -> Result<i64, StoreError> {
        let count = sqlx::query_scalar(
            "SELECT COUNT(*) FROM orphans WHERE removed_at IS NULL AND found_at < $1 AND seen_at > $2",
        )
        .bind(found_before.as_millis())
        .bind(seen_after.as_millis())
        .fetch_one(self.store.pool());
        self.store.read(count).await
    }

    /// An instance is no orphan any more.
    pub(crate) async fn forget_orphan(&self, account_id: &str, instance_id: &str) -> Result<(), StoreError> {
        let forgotten = sqlx::query(
            "DELETE FROM orphans WHERE account_id = $1 AND instance_id = $2 AND removed_at IS NULL",
        )
        .bind(account_id)
        .bind(instance_id)
        .execute(self.store.pool());
        self.store.read(forgotten).await.map(drop)
    }

    /// Notes that an orphan was ended, with the event that tells of it, once; answers whether that is new.
    pub(crate) async fn note_removal(
        &self,
        account_id: &str,
        instance_id: &str,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let noted = sqlx::query(
            "UPDATE orphans SET removed_at = $3 \
             WHERE account_id = $1 AND instance_id = $2 AND removed_at IS NULL",
        )
        .bind(account_id)
        .bind(instance_id)
        .bind(self.now().as_millis());
        self.change(noted, event).await
    }
}
