//! A store of objects with the semantics of the API server's: one growing resourceVersion for everything,
//! consistent pages, and a bounded history that watches resume from.

mod history;
mod page;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

pub use self::history::Change;
use self::history::Compacted;
pub use self::page::{ListQuery, Page, Snapshot};
use self::state::State;
use crate::kinds::{KINDS, Kind};
use crate::status::ApiError;
use crate::{defaults, kinds, names, object};

const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

/// The objects of the simulated cluster. Tests write to it as controllers and kubelets would.
#[derive(Debug)]
pub struct Store {
    state: Mutex<State>,
    revision: watch::Sender<u64>,
}

/// What must hold of an object for it to be deleted.
#[derive(Debug, Default)]
pub struct Preconditions {
    /// Its `metadata.uid`.
    pub uid: Option<String>,
    /// Its `metadata.resourceVersion`.
    pub resource_version: Option<String>,
}

impl Store {
    /// An empty store that keeps the last `history` changes for watches and continued lists.
    #[must_use]
    pub fn new(history: usize) -> Store {
        Store { state: Mutex::new(State::new(history)), revision: watch::Sender::new(0) }
    }

    /// Stores a new object. `apiVersion` and `kind` say what it is; a `creationTimestamp` is kept.
    ///
    /// # Errors
    /// 400 for an unknown kind, 404 for a missing namespace, 409 for a name that is taken, 422 for a bad name.
    pub fn create(&self, mut object: Value) -> Result<Arc<Value>, ApiError> {
        let kind = kind_of(&object)?;
        object::check_shape(kind, &object)?;
        names::generate(&mut object);
        names::validate(kind, object::name(&object))?;
        defaults::apply(kind, &mut object);
        let metadata = &mut object["metadata"];
        metadata["uid"] = Uuid::new_v4().to_string().into();
        if metadata["creationTimestamp"].is_null() {
            metadata["creationTimestamp"] = object::time(Timestamp::now()).into();
        }
        if kind.generation {
            metadata["generation"] = 1.into();
        }

        let mut state = self.lock();
        let (namespace, name) = (object::namespace(&object), object::name(&object));
        if let Some(namespaces) = kinds::by_plural("namespaces").filter(|_| kind.namespaced)
            && state.get(namespaces, namespace).is_none()
        {
            return Err(ApiError::not_found(namespaces, namespace));
        }
        if state.get(kind, &object::key(kind, namespace, name)).is_some() {
            return Err(ApiError::already_exists(kind, name));
        }
        let created = state.put(kind, object);
        self.announce(&state);
        Ok(created)
    }

    /// One object; `namespace` is ignored for kinds that have none.
    ///
    /// # Errors
    /// 404 when it is not there.
    pub fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Result<Arc<Value>, ApiError> {
        let state = self.lock();
        state
            .get(kind, &object::key(kind, namespace, name))
            .cloned()
            .ok_or_else(|| ApiError::not_found(kind, name))
    }

    /// Replaces an object; where the new one has a `resourceVersion` or `uid`, it must be the present one.
    ///
    /// # Errors
    /// 404 when it is not there, 409 when it has changed since.
    pub fn replace(&self, object: Value) -> Result<Arc<Value>, ApiError> {
        let kind = kind_of(&object)?;
        let (namespace, name) = (object::namespace(&object).to_owned(), object::name(&object).to_owned());
        self.update(kind, &namespace, &name, move |present| *present = object)
    }

    /// Applies a JSON merge patch (RFC 7386).
    ///
    /// # Errors
    /// 404 when the object is not there, 409 when the patch names another `resourceVersion`.
    pub fn merge_patch(
        &self,
        kind: &'static Kind,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<Arc<Value>, ApiError> {
        self.update(kind, namespace, name, |object| json_patch::merge(object, patch))
    }

    /// Changes an object in place. What identifies it stays as it was; nothing happens where nothing changes.
    ///
    /// # Errors
    /// 404 when it is not there, 409 when the change sets another `resourceVersion` or `uid`.
    pub fn update(
        &self,
        kind: &'static Kind,
        namespace: &str,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) -> Result<Arc<Value>, ApiError> {
        let mut state = self.lock();
        let key = object::key(kind, namespace, name);
        let present = Arc::clone(state.get(kind, &key).ok_or_else(|| ApiError::not_found(kind, name))?);
        let mut object = Value::clone(&present);
        change(&mut object);
        object::check_shape(kind, &object)?;
        check(kind, &object["metadata"], &present)?;

        object["apiVersion"] = kind.api_version().into();
        object["kind"] = kind.kind.into();
        for field in ["name", "namespace", "uid", "creationTimestamp", "resourceVersion", "generation"] {
            match &present["metadata"][field] {
                Value::Null => {
                    drop(object["metadata"].as_object_mut().map(|metadata| metadata.remove(field)))
                }
                value => object["metadata"][field] = value.clone(),
            }
        }
        if object == *present {
            return Ok(present);
        }
        if kind.generation && object["spec"] != present["spec"] {
            object["metadata"]["generation"] = next_generation(&present);
        }
        let updated = state.put(kind, object);
        self.announce(&state);
        Ok(updated)
    }

    /// Deletes an object and, with a namespace, all that is in it. The answer is its last state.
    ///
    /// There are no controllers and kubelets to wait for: what a real cluster does over seconds
    /// (terminating, then gone) happens at once, as two changes.
    ///
    /// # Errors
    /// 404 when it is not there, 409 when a precondition does not hold.
    pub fn delete(
        &self,
        kind: &'static Kind,
        namespace: &str,
        name: &str,
        preconditions: &Preconditions,
    ) -> Result<Value, ApiError> {
        let mut state = self.lock();
        let key = object::key(kind, namespace, name);
        let present = Arc::clone(state.get(kind, &key).ok_or_else(|| ApiError::not_found(kind, name))?);
        let metadata = json!({ "uid": preconditions.uid, "resourceVersion": preconditions.resource_version });
        check(kind, &metadata, &present)?;

        let terminating = kind.graceful.then(|| state.put(kind, terminating(kind, &present)));
        if kind.plural == "namespaces" {
            for kind in KINDS.iter().filter(|kind| kind.namespaced) {
                for key in state.keys_in(kind, name) {
                    state.remove(kind, &key);
                }
            }
        }
        let gone = state.remove(kind, &key).ok_or_else(|| ApiError::not_found(kind, name))?;
        self.announce(&state);
        Ok(terminating.map_or(gone, |object| Value::clone(&object)))
    }

    /// A list, or one page of it.
    ///
    /// # Errors
    /// 400 for a malformed continue token, 410 for one whose snapshot is no longer kept, 504 for a
    /// resourceVersion that has not been reached.
    pub fn list(&self, kind: &Kind, query: &ListQuery) -> Result<Page, ApiError> {
        self.lock().list(kind, query)
    }

    /// The changes after `revision`, oldest first, of all kinds.
    ///
    /// # Errors
    /// 410 when they are no longer all kept.
    pub fn changes_since(&self, revision: u64) -> Result<Vec<Arc<Change>>, ApiError> {
        let state = self.lock();
        let changes = state
            .history
            .since(revision)
            .map_err(|Compacted(oldest)| ApiError::watch_expired(revision, oldest))?;
        Ok(changes.cloned().collect())
    }

    /// The resourceVersion of the newest change; it tells whoever waits on it of every further one.
    #[must_use]
    pub fn revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Forgets the history: watches and continued lists from before now are told that they are too old.
    pub fn compact(&self) {
        let mut state = self.lock();
        let revision = state.revision;
        state.history.compact(revision);
    }

    fn announce(&self, state: &State) {
        self.revision.send_replace(state.revision);
    }

    /// A panic elsewhere cannot leave the state half changed: every change is made by one call that does not panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn kind_of(object: &Value) -> Result<&'static Kind, ApiError> {
    kinds::of(object).ok_or_else(|| {
        let (version, kind) = (object::field(object, "apiVersion"), object::field(object, "kind"));
        ApiError::bad_request(format!("no kind \"{kind}\" is registered for version \"{version}\""))
    })
}

/// Refuses when `wanted` names another uid or resourceVersion than the present object has.
fn check(kind: &Kind, wanted: &Value, present: &Value) -> Result<(), ApiError> {
    let name = object::name(present);
    if let Some(uid) = wanted["uid"].as_str()
        && present["metadata"]["uid"] != uid
    {
        let actual = object::field(present, "metadata.uid");
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {actual}");
        return Err(ApiError::conflict(kind, name, &why));
    }
    match wanted["resourceVersion"].as_str() {
        Some(version) if present["metadata"]["resourceVersion"] != version => {
            Err(ApiError::conflict(kind, name, MODIFIED))
        }
        Some(_) | None => Ok(()),
    }
}

/// The object as it is while it waits to be gone.
fn terminating(kind: &Kind, present: &Value) -> Value {
    let mut object = present.clone();
    object["metadata"]["deletionTimestamp"] = object::time(Timestamp::now()).into();
    if kind.plural == "namespaces" {
        object["status"]["phase"] = "Terminating".into();
    } else {
        object["metadata"]["deletionGracePeriodSeconds"] =
            present["spec"]["terminationGracePeriodSeconds"].clone();
    }
    if kind.generation {
        object["metadata"]["generation"] = next_generation(present);
    }
    object
}

fn next_generation(present: &Value) -> Value {
    (present["metadata"]["generation"].as_u64().unwrap_or_default() + 1).into()
}
