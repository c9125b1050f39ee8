//! Users and keys: the service's state, which HTTP, the queues and the bootstrap share.

use contracts::Timestamp;
use store::Store;
use tokio::sync::mpsc;

use crate::last_used::{self, Use};

/// Users and keys. Cheap to clone.
#[derive(Clone)]
pub struct Accounts {
    pub(crate) store: Store,
    uses: mpsc::Sender<Use>,
}

impl Accounts {
    /// The accounts in a migrated store, and where the uses of keys are to be read from by [`last_used::record`].
    pub(crate) fn new(store: Store) -> (Self, mpsc::Receiver<Use>) {
        let (uses, received) = mpsc::channel(last_used::MAX_WAITING);
        (Self { store, uses }, received)
    }

    /// The time that all replicas agree on.
    pub(crate) fn now(&self) -> Timestamp {
        self.store.clock().now()
    }

    /// Has it noted that a key was used. While too many wait this one is passed over; the next comes soon.
    pub(crate) fn used(&self, key: Use) {
        if self.uses.try_send(key).is_err() {
            tracing::debug!("too many uses of keys wait to be noted");
        }
    }
}
