//! When each key was last used: noted beside the verification, which need not wait for it and must not fail by it.

use std::{collections::HashMap, time::Duration};

use contracts::Timestamp;
use store::Store;
use tokio::sync::mpsc;

use crate::{model::ApiKey, store::keys};

/// How far behind the note may be: a key in constant use is written this often.
const RESOLUTION: Duration = Duration::from_secs(60);
/// So many uses wait to be noted.
pub(crate) const MAX_WAITING: usize = 1024;

/// A key was used.
#[derive(Clone, Debug)]
pub(crate) struct Use {
    pub(crate) key_id: String,
    pub(crate) at: Timestamp,
}

/// Whether what is noted of the key is too far behind.
pub(crate) fn is_due(key: &ApiKey, now: Timestamp) -> bool {
    key.last_used_at.is_none_or(|noted| noted < before(now))
}

/// Notes uses until nobody can report one any more.
pub(crate) async fn record(store: Store, mut uses: mpsc::Receiver<Use>) {
    let mut batch = Vec::new();
    while uses.recv_many(&mut batch, MAX_WAITING).await > 0 {
        // Many requests with one key come before the first of them is noted.
        let latest: HashMap<String, Timestamp> = batch.drain(..).map(|used| (used.key_id, used.at)).collect();
        for (id, at) in latest {
            let noted = store.bounded(keys::mark_used(store.pool(), &id, at, before(at)));
            if let Err(error) = noted.await {
                tracing::warn!(%error, key_id = id, "cannot note the use of a key");
            }
        }
    }
}

fn before(now: Timestamp) -> Timestamp {
    let resolution = i64::try_from(RESOLUTION.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_sub(resolution)).unwrap_or(now)
}
