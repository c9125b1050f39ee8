//! The objects behind the store's lock, and the two ways in which they change and are read.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use itertools::Itertools;
use serde_json::Value;

use super::history::{Change, Compacted, History};
use super::page::{ContinueToken, LATEST, ListQuery, Page, Snapshot};
use crate::journal::{Found, Journal, StateError};
use crate::kinds::Kind;
use crate::object::{self, Object};
use crate::status::ApiError;

/// `--max-request-bytes` of etcd.
const MAX_OBJECT: usize = 1024 * 1024 * 3 / 2;

type Objects = BTreeMap<String, Arc<Object>>;

/// Everything that changes.
#[derive(Debug)]
pub(super) struct State {
    pub(super) revision: u64,
    /// By plural name, which is unique among the kinds.
    objects: BTreeMap<&'static str, Objects>,
    pub(super) history: History,
    /// Where every change is written.
    journal: Option<Arc<Journal>>,
}

impl State {
    pub(super) fn new(history_capacity: usize) -> State {
        let history = History::new(history_capacity);
        State { revision: 0, objects: BTreeMap::new(), history, journal: None }
    }

    /// Puts the objects of an earlier process there; what they were before nobody knows.
    pub(super) fn restore(&mut self, found: &mut Found) {
        self.revision = found.revision;
        self.history.compact(found.revision);
        for ((plural, key), object) in std::mem::take(&mut found.objects) {
            self.objects.entry(plural).or_default().insert(key, Arc::new(Object::new(object)));
        }
    }

    /// Writes everything to a journal, and every change from now on.
    pub(super) fn persist(&mut self, journal: Arc<Journal>) -> Result<(), StateError> {
        journal.begin(self.revision, self.all())?;
        self.journal = Some(journal);
        Ok(())
    }

    fn all(&self) -> impl Iterator<Item = &Object> {
        self.objects.values().flat_map(BTreeMap::values).map(|object| &**object)
    }

    pub(super) fn get(&self, kind: &Kind, key: &str) -> Option<&Arc<Object>> {
        self.objects.get(kind.plural)?.get(key)
    }

    /// Stores an object at the next revision, which it gets as its resourceVersion.
    ///
    /// # Errors
    /// 500 when it is larger than etcd takes.
    pub(super) fn put(&mut self, kind: &'static Kind, mut object: Value) -> Result<Arc<Object>, ApiError> {
        let revision = self.revision + 1;
        object["metadata"]["resourceVersion"] = revision.to_string().into();
        let key = object::key(kind, object::namespace(&object), object::name(&object));
        let after = Arc::new(Object::new(object));
        if after.exceeds(MAX_OBJECT) {
            return Err(ApiError::unexplained("etcdserver: request is too large"));
        }
        self.revision = revision;
        let before = self.objects.entry(kind.plural).or_default().insert(key.clone(), Arc::clone(&after));
        self.record(kind, key, before, Arc::clone(&after), false);
        Ok(after)
    }

    /// Removes an object whose last state is `last`; the answer is that at the revision of the removal.
    pub(super) fn remove(&mut self, kind: &'static Kind, key: &str, mut last: Value) -> Option<Arc<Object>> {
        let before = self.objects.get_mut(kind.plural)?.remove(key)?;
        self.revision += 1;
        last["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let last = Arc::new(Object::new(last));
        self.record(kind, key.to_owned(), Some(before), Arc::clone(&last), true);
        Some(last)
    }

    fn record(
        &mut self,
        kind: &'static Kind,
        key: String,
        before: Option<Arc<Object>>,
        object: Arc<Object>,
        deleted: bool,
    ) {
        let revision = self.revision;
        let change = Arc::new(Change { revision, kind, key, before, object, deleted });
        if let Some(journal) = self.journal.as_ref().filter(|journal| journal.note(&change)) {
            journal.begin_anew(revision, self.all());
        }
        self.history.record(change);
    }

    /// The objects of a kind, of one namespace or of all, in the order of their keys.
    pub(super) fn objects(&self, kind: &Kind, namespace: Option<&str>) -> Vec<Arc<Object>> {
        let prefix = namespace.map(|name| format!("{name}/")).unwrap_or_default();
        let objects = self.objects.get(kind.plural).into_iter().flat_map(|objects| from(objects, &prefix));
        objects
            .take_while(|(key, _)| key.starts_with(&prefix))
            .map(|(_, object)| Arc::clone(object))
            .collect()
    }

    pub(super) fn list(&self, kind: &Kind, query: &ListQuery) -> Result<Page, ApiError> {
        let prefix = query.namespace.as_deref().map(|name| format!("{name}/")).unwrap_or_default();
        let token = query.continue_token.as_deref().map(ContinueToken::decode).transpose()?;
        let revision = self.snapshot_of(query, token.as_ref())?;
        let start = token.as_ref().map_or(prefix.clone(), |token| format!("{prefix}{}", token.start));

        let changed = self.history.undo(kind, revision).map_err(|Compacted(_)| match &token {
            Some(token) => ApiError::continue_expired(ContinueToken::new(LATEST, &token.start).encode()),
            None => ApiError::list_expired(),
        })?;
        let mut matching = self
            .at(kind, &changed, &start)
            .take_while(|(key, _)| key.starts_with(&prefix))
            .filter(|(_, object)| query.selector.matches(object));

        let limit = if query.limit == 0 { usize::MAX } else { query.limit };
        let shown: Vec<(&str, &Arc<Object>)> = matching.by_ref().take(limit).collect();
        let more = matching.next().is_some();
        let last = shown.last().map(|(key, _)| *key).filter(|_| more);
        Ok(Page {
            items: shown.into_iter().map(|(_, object)| Arc::clone(object)).collect(),
            revision,
            continue_token: last.map(|last| ContinueToken::after(revision, &last[prefix.len()..]).encode()),
            remaining: last
                .filter(|_| query.selector.is_empty())
                .map(|last| self.count_after(kind, &changed, last, &prefix)),
        })
    }

    fn snapshot_of(&self, query: &ListQuery, token: Option<&ContinueToken>) -> Result<u64, ApiError> {
        let asked = match (token, query.at) {
            (Some(token), Snapshot::Latest) => u64::try_from(token.rv).unwrap_or(self.revision),
            (Some(_), _) => {
                let message = "specifying resource version is not allowed when using continue";
                return Err(ApiError::bad_request(message));
            }
            (None, Snapshot::Latest) => self.revision,
            (None, Snapshot::NotOlderThan(least)) => least.max(self.revision),
            (None, Snapshot::Exact(revision)) => revision,
        };
        if asked > self.revision {
            return Err(ApiError::revision_in_future(asked, self.revision));
        }
        Ok(asked)
    }

    /// The objects of a kind as they were before they were `changed`, by key, from `start` on.
    fn at<'a>(
        &'a self,
        kind: &Kind,
        changed: &'a Changed<'a>,
        start: &str,
    ) -> impl Iterator<Item = (&'a str, &'a Arc<Object>)> + use<'a> {
        let restored = changed
            .range::<str, _>((Bound::Included(start), Bound::Unbounded))
            .filter_map(|(key, object)| object.map(|object| (*key, object)));
        let objects = self.objects.get(kind.plural).map(|objects| from(objects, start));
        let unchanged = objects
            .into_iter()
            .flatten()
            .map(|(key, object)| (key.as_str(), object))
            .filter(|(key, _)| !changed.contains_key(key));
        unchanged.merge_by(restored, |one, other| one.0 < other.0)
    }

    /// How many objects there were after the one with the key `last`: as many as there are, but for what has changed. To go
    /// through all of them as [`at`](Self::at) does would take ten times as long.
    fn count_after(&self, kind: &Kind, changed: &Changed<'_>, last: &str, prefix: &str) -> usize {
        let after = (Bound::Excluded(last), Bound::Unbounded);
        // Without a prefix no key is read, which is most of the time.
        let within = |key: &str| prefix.is_empty() || key.starts_with(prefix);
        let empty = Objects::new();
        let objects = self.objects.get(kind.plural).unwrap_or(&empty);
        let present = objects.range::<str, _>(after).take_while(|(key, _)| within(key)).count();
        let changed = || changed.range::<str, _>(after).take_while(|(key, _)| within(key));
        let were = changed().filter(|(_, before)| before.is_some()).count();
        let are = changed().filter(|(key, _)| objects.contains_key(**key)).count();
        present + were - are
    }
}

/// What objects were before they changed, by key; `None` where there was none.
type Changed<'a> = BTreeMap<&'a str, Option<&'a Arc<Object>>>;

fn from<'a>(
    objects: &'a Objects,
    start: &str,
) -> impl Iterator<Item = (&'a String, &'a Arc<Object>)> + use<'a> {
    objects.range::<str, _>((Bound::Included(start), Bound::Unbounded))
}
