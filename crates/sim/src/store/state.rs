//! The objects behind the store's lock, and the two ways in which they change and are read.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use itertools::Itertools;
use serde_json::Value;

use super::history::{Change, Compacted, History};
use super::page::{ContinueToken, LATEST, ListQuery, Page, Snapshot};
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
}

impl State {
    pub(super) fn new(history_capacity: usize) -> State {
        State { revision: 0, objects: BTreeMap::new(), history: History::new(history_capacity) }
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
        self.history.record(Arc::new(Change { revision, kind, key, before, object, deleted }));
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

        let objects = self.at(kind, revision, &start).map_err(|Compacted(_)| match &token {
            Some(token) => ApiError::continue_expired(ContinueToken::new(LATEST, &token.start).encode()),
            None => ApiError::list_expired(),
        })?;
        let mut matching = objects
            .into_iter()
            .take_while(|(key, _)| key.starts_with(&prefix))
            .filter(|(_, object)| query.selector.matches(object));

        let limit = if query.limit == 0 { usize::MAX } else { query.limit };
        let shown: Vec<(&str, &Arc<Object>)> = matching.by_ref().take(limit).collect();
        // Counting them is for the answer; where it does not say how many there are, one is enough to know.
        let following = if query.selector.is_empty() { matching.count() } else { matching.take(1).count() };
        let last = shown.last().map(|(key, _)| key[prefix.len()..].to_owned());
        Ok(Page {
            items: shown.into_iter().map(|(_, object)| Arc::clone(object)).collect(),
            revision,
            continue_token: last
                .filter(|_| following > 0)
                .map(|last| ContinueToken::after(revision, &last).encode()),
            remaining: (following > 0 && query.selector.is_empty()).then_some(following),
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

    /// The objects of a kind as they were at `revision`, by key, from `start` on.
    fn at<'a>(
        &'a self,
        kind: &Kind,
        revision: u64,
        start: &str,
    ) -> Result<impl Iterator<Item = (&'a str, &'a Arc<Object>)> + use<'a>, Compacted> {
        let changed = self.history.undo(kind, revision)?;
        let restored: Vec<_> = changed
            .range::<str, _>((Bound::Included(start), Bound::Unbounded))
            .filter_map(|(key, object)| object.map(|object| (*key, object)))
            .collect();
        let objects = self.objects.get(kind.plural).map(|objects| from(objects, start));
        let unchanged = objects
            .into_iter()
            .flatten()
            .map(|(key, object)| (key.as_str(), object))
            .filter(move |(key, _)| !changed.contains_key(key));
        Ok(unchanged.merge_by(restored, |one, other| one.0 < other.0))
    }
}

fn from<'a>(
    objects: &'a Objects,
    start: &str,
) -> impl Iterator<Item = (&'a String, &'a Arc<Object>)> + use<'a> {
    objects.range::<str, _>((Bound::Included(start), Bound::Unbounded))
}
