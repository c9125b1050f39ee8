//! What etcd and the watch cache are to the API server: objects by key, one growing resourceVersion for
//! everything, consistent pages, and a bounded history that watches resume from. It knows nothing of what the
//! objects mean.

mod history;
mod page;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

pub use self::history::Change;
use self::history::Compacted;
pub use self::page::{ListQuery, Page, Snapshot};
use self::state::State;
use crate::journal::{Found, Journal, StateError};
use crate::kinds::Kind;
use crate::object::Object;
use crate::status::ApiError;

/// The objects of the cluster.
#[derive(Debug)]
pub(crate) struct Store {
    state: Mutex<State>,
    revision: watch::Sender<u64>,
}

/// The store while one writer has it for itself.
pub(crate) struct Transaction<'a> {
    state: MutexGuard<'a, State>,
    revision: &'a watch::Sender<u64>,
}

impl Store {
    /// An empty store that keeps the last `history` changes for watches and continued lists.
    pub(crate) fn new(history: usize) -> Store {
        Store { state: Mutex::new(State::new(history)), revision: watch::Sender::new(0) }
    }

    /// A store with the objects of an earlier process.
    pub(crate) fn restored(history: usize, found: &mut Found) -> Store {
        let store = Store { revision: watch::Sender::new(found.revision), ..Store::new(history) };
        store.lock().restore(found);
        store
    }

    /// Writes everything to a journal, and from now on every change before anybody hears of it.
    pub(crate) fn persist(&self, journal: Arc<Journal>) -> Result<(), StateError> {
        self.lock().persist(journal)
    }

    /// The object with this key, where there is one.
    pub(crate) fn get(&self, kind: &Kind, key: &str) -> Option<Arc<Object>> {
        self.lock().get(kind, key).cloned()
    }

    /// The objects of a kind, of one namespace or of all, in the order of their keys.
    pub(crate) fn objects(&self, kind: &Kind, namespace: Option<&str>) -> Vec<Arc<Object>> {
        self.lock().objects(kind, namespace)
    }

    /// A list, or one page of it.
    ///
    /// # Errors
    /// 400 for a malformed continue token, 410 for one whose snapshot is no longer kept, 504 for a
    /// resourceVersion that has not been reached.
    pub(crate) fn list(&self, kind: &Kind, query: &ListQuery) -> Result<Page, ApiError> {
        self.lock().list(kind, query)
    }

    /// The changes after `revision`, oldest first, of all kinds.
    ///
    /// # Errors
    /// 410 when they are no longer all kept.
    pub(crate) fn changes_since(&self, revision: u64) -> Result<Vec<Arc<Change>>, ApiError> {
        let state = self.lock();
        let changes = state
            .history
            .since(revision)
            .map_err(|Compacted(oldest)| ApiError::watch_expired(revision, oldest))?;
        Ok(changes.cloned().collect())
    }

    /// The resourceVersion of the newest change; it tells whoever waits on it of every further one.
    pub(crate) fn revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Forgets the history: watches and continued lists from before now are told that they are too old.
    pub(crate) fn compact(&self) {
        let mut state = self.lock();
        let revision = state.revision;
        state.history.compact(revision);
    }

    /// Shuts everybody else out until the transaction is dropped.
    pub(crate) fn begin(&self) -> Transaction<'_> {
        Transaction { state: self.lock(), revision: &self.revision }
    }

    /// A panic elsewhere cannot leave the state half changed: every change is made by one call that does not panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transaction<'_> {
    /// The object with this key, where there is one.
    pub(crate) fn get(&self, kind: &Kind, key: &str) -> Option<&Arc<Object>> {
        self.state.get(kind, key)
    }

    /// The objects of a kind, of one namespace or of all, in the order of their keys.
    pub(crate) fn objects(&self, kind: &Kind, namespace: Option<&str>) -> Vec<Arc<Object>> {
        self.state.objects(kind, namespace)
    }

    /// Stores an object at the next revision, which it gets as its resourceVersion.
    ///
    /// # Errors
    /// 500 when it is larger than etcd takes.
    pub(crate) fn put(&mut self, kind: &'static Kind, object: Value) -> Result<Arc<Object>, ApiError> {
        self.state.put(kind, object)
    }

    /// Removes an object whose last state is `last`; the answer is that at the revision of the removal.
    pub(crate) fn remove(&mut self, kind: &'static Kind, key: &str, last: Value) -> Option<Arc<Object>> {
        self.state.remove(kind, key, last)
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        let revision = self.state.revision;
        self.revision.send_if_modified(|newest| std::mem::replace(newest, revision) != revision);
    }
}
