//! Events, written in the same transaction as the change that they tell of, and published afterwards.
//!
//! Delivery is at least once. One process relays at a time, by a lease in the database; events are published in the
//! order in which they were written, so those of one row come in order when each is emitted after its change.

use std::{convert::Infallible, fmt::Display, time::Duration};

use contracts::events::Event;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::{Store, StoreError, Transaction};

/// How long another replica waits for one that died while relaying.
const LEASE: Duration = Duration::from_secs(6);
/// The lease is renewed and a publication given up in time for both to fit into [`LEASE`] with room to spare.
const STEP: Duration = Duration::from_secs(2);
/// How soon a process looks again while another holds the lease.
const CONTENDED: Duration = Duration::from_millis(200);
/// How often a process looks without being poked: for what another left behind when it died.
const POLL: Duration = Duration::from_millis(500);
/// The first wait after a failure; it doubles up to [`MAX_RETRY`].
const MIN_RETRY: Duration = Duration::from_millis(100);
const MAX_RETRY: Duration = Duration::from_secs(5);
/// How many events are read at once.
const BATCH: i64 = 100;

impl Transaction {
    /// Writes an event to be published once this transaction is committed, and never if it is not. Emit it after the
    /// change that it tells of.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn emit(&mut self, event: &Event) -> Result<(), StoreError> {
        let text = serde_json::to_string(event).map_err(corrupt)?;
        sqlx::query("INSERT INTO outbox (event) VALUES ($1)").bind(text).execute(&mut **self).await?;
        self.has_events = true;
        Ok(())
    }
}

impl Store {
    /// Publishes what transactions have emitted, for ever: at once after a commit in this process, soon after one
    /// elsewhere. An event is removed after `publish` succeeded; until then it is tried again. Dropping the future is
    /// safe at any time.
    pub async fn relay_events<P, F, E>(&self, publish: P) -> Infallible
    where
        P: Fn(Event) -> F,
        F: Future<Output = Result<(), E>>,
        E: Display,
    {
        let holder = Uuid::new_v4().to_string();
        let mut retry = MIN_RETRY;
        loop {
            match self.drain(&holder, &publish).await {
                Ok(Drain::Empty) => {
                    retry = MIN_RETRY;
                    // Either way it is time to look.
                    let _ = timeout(POLL, self.events_committed.notified()).await;
                }
                Ok(Drain::HeldElsewhere) => sleep(CONTENDED).await,
                Err(error) => {
                    tracing::warn!(%error, retry_in = ?retry, "cannot relay events");
                    sleep(retry).await;
                    retry = (retry * 2).min(MAX_RETRY);
                }
            }
        }
    }

    /// Publishes all that there is.
    async fn drain<P, F, E>(&self, holder: &str, publish: &P) -> Result<Drain, RelayError>
    where
        P: Fn(Event) -> F,
        F: Future<Output = Result<(), E>>,
        E: Display,
    {
        // Without the lease, so that nobody writes while there is nothing to do.
        if self.bounded(self.next_events(1)).await?.is_empty() {
            return Ok(Drain::Empty);
        }
        if !self.bounded(self.take_lease(holder)).await? {
            return Ok(Drain::HeldElsewhere);
        }
        let result = self.publish_all(holder, publish).await;
        // Also after a failure: perhaps another process can reach the broker.
        self.bounded(self.release_lease(holder)).await?;
        result
    }

    async fn publish_all<P, F, E>(&self, holder: &str, publish: &P) -> Result<Drain, RelayError>
    where
        P: Fn(Event) -> F,
        F: Future<Output = Result<(), E>>,
        E: Display,
    {
        let mut leased = Instant::now();
        loop {
            let events = self.bounded(self.next_events(BATCH)).await?;
            if events.is_empty() {
                return Ok(Drain::Empty);
            }
            for (seq, text) in events {
                if leased.elapsed() > STEP {
                    if !self.bounded(self.take_lease(holder)).await? {
                        return Ok(Drain::HeldElsewhere);
                    }
                    leased = Instant::now();
                }
                let event = serde_json::from_str(&text).map_err(corrupt)?;
                timeout(STEP, publish(event))
                    .await
                    .map_err(|_| RelayError::Stalled)?
                    .map_err(|error| RelayError::Publish(error.to_string()))?;
                self.bounded(self.remove_event(seq)).await?;
            }
        }
    }

    async fn next_events(&self, limit: i64) -> Result<Vec<(i64, String)>, StoreError> {
        let events = sqlx::query_as("SELECT seq, event FROM outbox ORDER BY seq LIMIT $1")
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        Ok(events)
    }

    async fn remove_event(&self, seq: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM outbox WHERE seq = $1").bind(seq).execute(&self.pool).await?;
        Ok(())
    }

    /// Takes or renews the lease; false while another process has it.
    async fn take_lease(&self, holder: &str) -> Result<bool, StoreError> {
        let now = self.now().await?;
        let lease = i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX);
        let taken = sqlx::query(
            "UPDATE outbox_lease SET holder = $1, expires_at = $2 WHERE holder = $1 OR expires_at <= $3",
        )
        .bind(holder)
        .bind(now.saturating_add(lease))
        .bind(now)
        .execute(&self.pool)
        .await?;
        Ok(taken.rows_affected() == 1)
    }

    async fn release_lease(&self, holder: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE outbox_lease SET expires_at = 0 WHERE holder = $1")
            .bind(holder)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

enum Drain {
    Empty,
    HeldElsewhere,
}

#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Publish(String),
    #[error("publishing took longer than {STEP:?}")]
    Stalled,
}

fn corrupt(source: serde_json::Error) -> StoreError {
    StoreError::Corrupt { what: "event", source }
}
