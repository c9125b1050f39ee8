//! How far the journals have come that somebody follows here.
//!
//! What this process writes is known at once. For what others write, all that are followed are looked at together, however many follow
//! them.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use store::StoreError;
use tokio::{sync::watch, time::sleep};
use uuid::Uuid;

use super::Database;
use crate::saga::SagaId;

/// How often it is looked for what others have written.
const LOOK: Duration = Duration::from_secs(1);
/// So many journals are looked at by one statement.
const AT_ONCE: usize = 100;

/// The numbers of entries of those journals.
#[derive(Default)]
pub(super) struct Tails(Mutex<HashMap<SagaId, watch::Sender<u32>>>);

impl Tails {
    fn follow(&self, saga: SagaId) -> watch::Receiver<u32> {
        self.lock().entry(saga).or_default().subscribe()
    }

    /// A journal has at least so many entries.
    pub(super) fn tell(&self, saga: SagaId, entries: u32) {
        if let Some(tail) = self.lock().get(&saga) {
            tail.send_if_modified(|known| {
                let is_more = entries > *known;
                *known = entries.max(*known);
                is_more
            });
        }
    }

    fn followed(&self) -> Vec<SagaId> {
        let mut tails = self.lock();
        tails.retain(|_, tail| tail.receiver_count() > 0);
        tails.keys().copied().collect()
    }

    /// No code panics while it holds the lock, so a poisoned one is still good.
    fn lock(&self) -> MutexGuard<'_, HashMap<SagaId, watch::Sender<u32>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Database {
    /// How many entries a journal has, now and from now on.
    pub(crate) async fn follow(&self, saga: SagaId) -> Result<watch::Receiver<u32>, StoreError> {
        let tail = self.tails.follow(saga);
        self.look_at(&[saga]).await?;
        Ok(tail)
    }

    /// Looks for what others write, for ever.
    pub(crate) async fn keep_following(&self) -> Infallible {
        loop {
            sleep(LOOK).await;
            for sagas in self.tails.followed().chunks(AT_ONCE) {
                if let Err(error) = self.look_at(sagas).await {
                    tracing::debug!(%error, "journals cannot be looked at right now");
                }
            }
        }
    }

    async fn look_at(&self, sagas: &[SagaId]) -> Result<(), StoreError> {
        let places: Vec<String> = (1..=sagas.len()).map(|place| format!("${place}")).collect();
        let ends = sqlx::AssertSqlSafe(format!(
            "SELECT saga_id, MAX(seq) FROM journal WHERE saga_id IN ({}) GROUP BY saga_id",
            places.join(", ")
        ));
        let mut ends = sqlx::query_as::<_, (String, i64)>(ends);
        for saga in sagas {
            ends = ends.bind(saga.to_string());
        }
        for (saga, last) in self.store.read(ends.fetch_all(self.store.pool())).await? {
            if let (Ok(saga), Ok(last)) = (Uuid::try_parse(&saga), u32::try_from(last)) {
                self.tails.tell(saga, last.saturating_add(1));
            }
        }
        Ok(())
    }
}
