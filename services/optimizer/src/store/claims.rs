//! Which saga is taken on next, and by whom.

use std::time::Duration;

use contracts::Timestamp;
use store::StoreError;

use super::{Database, sagas::read};
use crate::{
    counted,
    saga::{Claimed, Lease, NewSaga, Owner},
};

impl Database {
    /// Takes on a saga that nobody carries on: of the user with the fewest that are, the oldest.
    pub(super) async fn claim_next(
        &self,
        owner: &Owner,
        lease: Duration,
    ) -> Result<Option<Claimed>, StoreError> {
        loop {
            let now = self.now();
            let Some(id) = self.next_to_claim(now).await? else { return Ok(None) };
            let Some((saga, epoch, unattended)) = self.take_lease(&id, owner, now, lease).await? else {
                // Another process was faster; there may be another saga.
                continue;
            };
            match self.claimed(&saga, epoch, unattended).await {
                // It keeps the lease, so that others have their turn before it is tried again. A later version may have written it.
                Err(error @ StoreError::Corrupt { .. }) => {
                    counted::unreadable();
                    tracing::error!(operation = id, %error, "an operation cannot be carried on");
                }
                claimed => return claimed.map(Some),
            }
        }
    }

    async fn next_to_claim(&self, now: Timestamp) -> Result<Option<String>, StoreError> {
        let next = sqlx::query_scalar(
            "SELECT id FROM sagas WHERE ended_at IS NULL AND lease_until <= $1 ORDER BY \
             (SELECT COUNT(*) FROM sagas AS held WHERE held.user_id = sagas.user_id AND held.ended_at IS NULL \
             AND held.lease_until > $1), created_at, id LIMIT 1",
        );
        self.store.read(next.bind(now.as_millis()).fetch_optional(self.store.pool())).await
    }

    /// What the saga began with, its new epoch, and for how many milliseconds nobody had it; `None` when somebody else has it.
    async fn take_lease(
        &self,
        id: &str,
        owner: &Owner,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Option<(String, i64, i64)>, StoreError> {
        let taken = sqlx::query_as(
            // Earlier versions wrote 0 for a lease that was let go.
            "UPDATE sagas SET owner = $1, epoch = epoch + 1, lease_until = $2, \
             unattended = unattended + CASE WHEN lease_until > 0 THEN $4 - lease_until ELSE 0 END \
             WHERE id = $3 AND ended_at IS NULL AND lease_until <= $4 RETURNING saga, epoch, unattended",
        )
        .bind(&owner.0)
        .bind(now.plus(lease).as_millis())
        .bind(id)
        .bind(now.as_millis())
        .fetch_optional(self.store.pool());
        self.store.read(taken).await
    }

    async fn claimed(&self, saga: &str, epoch: i64, unattended: i64) -> Result<Claimed, StoreError> {
        let saga: NewSaga = read(saga)?;
        let journal = self.journal_of(saga.id, 0).await?;
        let unattended = Duration::from_millis(u64::try_from(unattended).unwrap_or_default());
        Ok(Claimed { lease: Lease { saga: saga.id, epoch }, saga, journal, unattended })
    }
}
