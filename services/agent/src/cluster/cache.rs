//! What the agent keeps of its cluster: the views of all objects of a kind, kept current by a watch.
//!
//! List, then watch from the list's version; when a watch ends, the next one goes on from the last version that was
//! seen; when that version has expired (410), list again:
//! <https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes>.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    pin::pin,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, Instant},
};

use backon::BackoffBuilder;
use contracts::ErrorCode;
use futures_util::TryStreamExt;
use kube::{
    Api, Resource, ResourceExt,
    api::{WatchEvent, WatchParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};
use tokio::time::timeout;

use super::{ApiServer, ListQuery, QueryError, list};
use crate::config::Timing;

/// How long after its agreed end a watch is given to end.
const WATCH_GRACE: Duration = Duration::from_secs(10);
/// A watch that ends sooner did not end in the usual way.
const SHORTEST_WATCH: Duration = Duration::from_secs(1);

/// The views of all objects of a kind that has no namespaces, by name; empty until the first list.
pub(crate) struct Cache<V>(RwLock<Option<Kept<V>>>);

struct Kept<V> {
    items: BTreeMap<String, V>,
    /// The items as they are told, once they were told since they last changed.
    written: Option<Arc<RawValue>>,
    /// From here the next watch goes on; absent when that has expired.
    version: Option<String>,
    simulated: bool,
    confirmed: Instant,
}

/// What a cache held at one moment.
pub(crate) struct Snapshot {
    /// All items, as a JSON array.
    pub(crate) items: Arc<RawValue>,
    pub(crate) count: usize,
    /// How long ago the API server last confirmed it.
    pub(crate) age: Duration,
    /// Whether the API server that told it said that it is a simulation.
    pub(crate) simulated: bool,
}

/// One kind at one API server, and what is kept of its objects.
pub(crate) struct Followed<'a, K, V> {
    pub(crate) server: &'a ApiServer,
    pub(crate) api: Api<K>,
    pub(crate) view: fn(K) -> V,
}

impl<V> Default for Cache<V> {
    fn default() -> Self {
        Self(RwLock::new(None))
    }
}

impl<V: Serialize + PartialEq + Send + 'static> Cache<V> {
    /// Everything, if it was confirmed within `max_age`.
    pub(crate) fn snapshot(&self, max_age: Duration) -> Option<Snapshot> {
        let snapshot = |kept: &Kept<V>| {
            let age = kept.confirmed.elapsed();
            let items = kept.written.clone().filter(|_| age <= max_age)?;
            Some(Snapshot { items, count: kept.items.len(), age, simulated: kept.simulated })
        };
        let known = self.read().as_ref().and_then(snapshot);
        known.or_else(|| {
            let mut kept = self.write();
            let kept = kept.as_mut()?;
            if kept.written.is_none() {
                let items: Vec<&V> = kept.items.values().collect();
                kept.written = to_raw_value(&items).ok().map(Arc::from);
            }
            snapshot(kept)
        })
    }

    /// How many objects there are, if that was confirmed within `max_age`.
    pub(crate) fn count(&self, max_age: Duration) -> Option<usize> {
        let kept = self.read();
        let current = kept.as_ref().filter(|kept| kept.confirmed.elapsed() <= max_age)?;
        Some(current.items.len())
    }

    /// What `look` sees in the objects by their names, if they were confirmed within `max_age`.
    pub(crate) fn look<T>(
        &self,
        max_age: Duration,
        look: impl FnOnce(&BTreeMap<String, V>) -> T,
    ) -> Option<T> {
        let kept = self.read();
        let current = kept.as_ref().filter(|kept| kept.confirmed.elapsed() <= max_age)?;
        Some(look(&current.items))
    }

    /// Keeps the cache current; ends only by being dropped.
    pub(crate) async fn follow<K>(&self, followed: Followed<'_, K, V>, timing: &Timing)
    where
        K: Resource + Clone + DeserializeOwned + Debug + 'static,
    {
        let mut backoff = timing.watch_retry.build();
        loop {
            let started = Instant::now();
            let version = self.read().as_ref().and_then(|kept| kept.version.clone());
            let is_list = version.is_none();
            let result = match version {
                None => self.fill(&followed).await,
                Some(version) => self.watch(&followed, &version, timing.watch).await,
            };
            match &result {
                Ok(()) if is_list => continue,
                Ok(()) => {}
                Err(error) if error.code == ErrorCode::Expired => self.forget_version(),
                Err(error) => tracing::warn!(resource = followed.api.resource_url(), %error, "watch failed"),
            }
            let lasted = !is_list && started.elapsed() >= SHORTEST_WATCH;
            if lasted {
                backoff = timing.watch_retry.build();
            }
            if result.is_err() || !lasted {
                tokio::time::sleep(backoff.next().unwrap_or_default()).await;
            }
        }
    }

    async fn fill<K>(&self, followed: &Followed<'_, K, V>) -> Result<(), QueryError>
    where
        K: Resource + Clone + DeserializeOwned + Debug + 'static,
    {
        let simulated = followed.server.identity().await?.simulated;
        let confirmed = Instant::now();
        let view = followed.view;
        let named = move |object: K| (object.name_any(), view(object));
        let listed = list(followed.server, &followed.api, &ListQuery::default(), named).await?;
        *self.write() = Some(Kept {
            items: listed.items.into_views().collect(),
            written: None,
            version: Some(listed.resource_version),
            simulated,
            confirmed,
        });
        Ok(())
    }

    /// One watch, from its opening to its agreed end.
    async fn watch<K>(
        &self,
        followed: &Followed<'_, K, V>,
        version: &str,
        duration: Duration,
    ) -> Result<(), QueryError>
    where
        K: Resource + Clone + DeserializeOwned + Debug,
    {
        let seconds = u32::try_from(duration.as_secs().max(1)).unwrap_or(u32::MAX);
        let params = WatchParams::default().timeout(seconds);
        let events = followed.server.call(followed.api.watch(&params, version)).await?;
        let mut events = pin!(events);
        // The version is still served, so that whatever changed since is on its way.
        self.update(|_| ());
        loop {
            let next = timeout(duration + WATCH_GRACE, events.try_next()).await;
            let Some(event) = next.map_err(|_| QueryError::unreachable("the watch fell silent"))?? else {
                return Ok(());
            };
            followed.server.note_answer();
            self.apply(event, followed.view)?;
        }
    }

    fn apply<K>(&self, event: WatchEvent<K>, view: fn(K) -> V) -> Result<(), QueryError>
    where
        K: Resource,
    {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => self.update(|kept| {
                kept.version = object.resource_version();
                let (name, view) = (object.name_any(), view(object));
                // Most changes, such as a kubelet's sign of life, are none of what is told.
                if kept.items.get(&name) != Some(&view) {
                    kept.written = None;
                }
                kept.items.insert(name, view);
            }),
            WatchEvent::Deleted(object) => self.update(|kept| {
                kept.version = object.resource_version();
                kept.items.remove(&object.name_any());
                kept.written = None;
            }),
            WatchEvent::Bookmark(bookmark) => self.update(|kept| {
                kept.version = Some(bookmark.metadata.resource_version);
            }),
            WatchEvent::Error(status) => return Err(kube::Error::Api(status).into()),
        }
        Ok(())
    }

    /// What the API server just said: changed or not, it is confirmed.
    fn update(&self, change: impl FnOnce(&mut Kept<V>)) {
        if let Some(kept) = self.write().as_mut() {
            change(kept);
            kept.confirmed = Instant::now();
        }
    }

    fn forget_version(&self) {
        if let Some(kept) = self.write().as_mut() {
            kept.version = None;
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Option<Kept<V>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Option<Kept<V>>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
