//! What is too old to be kept.

use contracts::Timestamp;
use store::StoreError;

use super::Database;

/// So many are forgotten in one transaction, which others wait for on SQLite.
const AT_ONCE: i64 = 100;

impl Database {
    /// Forgets some of the operations that were over before that time, with their journals; how many. Not those of which the reaper asks
    /// still, because they have left something behind.
    pub(crate) async fn forget_operations(&self, before: Timestamp) -> Result<usize, StoreError> {
        let forgotten = async {
            let mut transaction = self.store.begin().await?;
            let past: Vec<String> = sqlx::query_scalar(
                "SELECT id FROM sagas WHERE ended_at < $1 \
                 AND id NOT IN (SELECT saga_id FROM orphans WHERE removed_at IS NULL) ORDER BY ended_at, id LIMIT $2",
            )
            .bind(before.as_millis())
            .bind(AT_ONCE)
            .fetch_all(&mut *transaction)
            .await?;
            for id in &past {
                for delete in ["DELETE FROM journal WHERE saga_id = $1", "DELETE FROM sagas WHERE id = $1"] {
                    sqlx::query(delete).bind(id).execute(&mut *transaction).await?;
                }
            }
            transaction.commit().await?;
            Ok(past.len())
        };
        self.store.bounded(forgotten).await
    }

    /// Forgets some of the orphans that were ended before that time, or are not seen since then, because they went by themselves; how many.
    pub(crate) async fn forget_orphans(&self, before: Timestamp) -> Result<u64, StoreError> {
        let some = "DELETE FROM orphans WHERE (account_id, instance_id) IN (SELECT account_id, instance_id FROM orphans \
                    WHERE COALESCE(removed_at, seen_at) < $1 LIMIT $2)";
        let forgotten = sqlx::query(some).bind(before.as_millis()).bind(AT_ONCE).execute(self.store.pool());
        Ok(self.store.read(forgotten).await?.rows_affected())
    }
}
