//! What a request means for the objects: the registry of the API server (`apiserver/pkg/registry`), without HTTP.
//!
//! Controllers, seeds and the HTTP face all read and write through [`Api`], so that all of them meet the same rules.

mod collection;
mod create;
mod delete;
mod evict;
mod pod_binding;
pub(crate) mod scale;
mod service_addresses;
mod update;

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch::Receiver;

pub use self::delete::{DeleteOptions, Deleted, Preconditions, Propagation};
pub(crate) use self::update::Part;
use crate::clock::{CLOCK, Clock};
use crate::journal::{Found, Journal, StateError};
use crate::kinds::{self, Kind};
use crate::object::{self, Object};
use crate::status::ApiError;
use crate::store::{Change, ListQuery, Page, Store};

/// The objects of the simulated cluster and the rules that they live by.
#[derive(Debug)]
pub struct Api {
    store: Store,
    clock: Clock,
}

/// How a write is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Check everything and answer as if it had been done, but keep nothing (`dryRun=All`).
    pub dry_run: bool,
    /// Who writes, for objects that tell their managers.
    pub(crate) manager: Manager,
    /// The uid that the object must have; any where this is empty.
    pub(crate) uid: String,
}

impl WriteOptions {
    /// Refuses to write to an object of another uid; one that is not there has none (`Preconditions.Check` of
    /// `apiserver/pkg/storage/interfaces.go`).
    fn check_uid(&self, kind: &Kind, namespace: &str, name: &str, actual: &str) -> Result<(), ApiError> {
        let wanted = self.uid.as_str();
        if wanted.is_empty() || wanted == actual {
            return Ok(());
        }
        let key = object::storage_key(kind, namespace, name);
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: \
             Precondition failed: UID in precondition: {wanted}, UID in object meta: {actual}"
        );
        Err(ApiError::conflict(kind, name, &why))
    }
}

/// Who writes a field (`managedFields`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Manager {
    /// A controller or a kubelet.
    #[default]
    Controller,
    /// The client of this name.
    Client(String),
    /// A client that applies: the object tells its managers already.
    Applier,
}

impl Manager {
    /// The name under which an update is noted.
    pub(crate) fn updates_as(&self) -> Option<&str> {
        match self {
            Manager::Controller => Some("kube-controller-manager"),
            Manager::Client(name) => Some(name),
            Manager::Applier => None,
        }
    }
}

impl Api {
    /// A cluster without objects that keeps its last `history` changes for watches and continued lists.
    #[must_use]
    pub fn new(history: usize) -> Api {
        Api { store: Store::new(history), clock: Clock::default() }
    }

    /// The cluster of an earlier process.
    pub(crate) fn restored(history: usize, found: &mut Found) -> Result<Api, StateError> {
        let clock = Clock::ahead_by(found.kept(CLOCK)?.unwrap_or_default());
        Ok(Api { store: Store::restored(history, found), clock })
    }

    /// Writes everything to a journal, and from now on every change before anybody hears of it.
    pub(crate) fn persist(&self, journal: &Arc<Journal>) -> Result<(), StateError> {
        self.clock.persist(Arc::clone(journal));
        self.store.persist(Arc::clone(journal))
    }

    /// The time that the cluster goes by.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// One object; `namespace` is ignored for kinds that have none.
    ///
    /// # Errors
    /// 404 when it is not there.
    pub fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Result<Arc<Object>, ApiError> {
        self.store
            .get(kind, &object::key(kind, namespace, name))
            .ok_or_else(|| ApiError::not_found(kind, name))
    }

    /// The present objects of a kind, of one namespace or of all, in the order of namespace and name.
    #[must_use]
    pub fn objects(&self, kind: &Kind, namespace: Option<&str>) -> Vec<Arc<Object>> {
        self.store.objects(kind, namespace)
    }

    /// A list, or one page of it.
    ///
    /// # Errors
    /// 400 for a malformed continue token, 410 for one whose snapshot is no longer kept, 504 for a
    /// resourceVersion that has not been reached.
    pub fn list(&self, kind: &Kind, query: &ListQuery) -> Result<Page, ApiError> {
        self.store.list(kind, query)
    }

    /// The changes after `revision`, oldest first, of all kinds.
    ///
    /// # Errors
    /// 410 when they are no longer all kept.
    pub fn changes_since(&self, revision: u64) -> Result<Vec<Arc<Change>>, ApiError> {
        self.store.changes_since(revision)
    }

    /// The resourceVersion of the newest change; it tells whoever waits on it of every further one.
    #[must_use]
    pub fn revision(&self) -> Receiver<u64> {
        self.store.revision()
    }

    /// Forgets the history: watches and continued lists from before now are told that they are too old.
    pub fn compact(&self) {
        self.store.compact();
    }
}

/// The kind that an object says it is.
fn kind_of(object: &Value) -> Result<&'static Kind, ApiError> {
    kinds::of(object).ok_or_else(|| {
        let (version, kind) = (object::field(object, "apiVersion"), object::field(object, "kind"));
        ApiError::bad_request(format!("no kind \"{kind}\" is registered for version \"{version}\""))
    })
}
