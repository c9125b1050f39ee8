//! The recent changes of the store: what watches resume from and snapshots are rebuilt with.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::kinds::Kind;
use crate::object::{self, Object};

/// One change of one object.
#[derive(Debug)]
pub struct Change {
    /// The resourceVersion that the change made.
    pub revision: u64,
    /// Kind of the object.
    pub kind: &'static Kind,
    /// `name`, or `namespace/name`.
    pub key: String,
    /// The object before; absent when it was created.
    pub before: Option<Arc<Object>>,
    /// The object after; when it was deleted, its last state.
    pub object: Arc<Object>,
    /// Whether the change was the object's deletion.
    pub deleted: bool,
}

impl Change {
    /// The change that would create an object that is there.
    pub(crate) fn creation(kind: &'static Kind, object: Arc<Object>) -> Change {
        let key = object::key(kind, object::namespace(&object), object::name(&object));
        Change { revision: 0, kind, key, before: None, object, deleted: false }
    }

    /// The change by which an object went of which nothing else is known.
    pub(crate) fn deletion(kind: &'static Kind, object: Arc<Object>) -> Change {
        Change { before: Some(Arc::clone(&object)), deleted: true, ..Change::creation(kind, object) }
    }

    /// The object after the change, where there still is one.
    #[must_use]
    pub fn after(&self) -> Option<&Arc<Object>> {
        (!self.deleted).then_some(&self.object)
    }
}

/// About how many bytes of objects are kept at most: large objects that change often push out the history sooner.
const MOST_BYTES: usize = 256 * 1024 * 1024;

/// A bounded run of changes without gaps.
#[derive(Debug)]
pub(super) struct History {
    changes: VecDeque<Arc<Change>>,
    capacity: usize,
    most_bytes: usize,
    /// About what the objects of `changes` take.
    bytes: usize,
    /// The newest revision whose change has been forgotten: nothing older can be shown any more.
    compacted: u64,
}

/// The revision asked for lies before the kept history, which begins after this one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Compacted(pub(super) u64);

impl History {
    pub(super) fn new(capacity: usize) -> History {
        History { changes: VecDeque::new(), capacity, most_bytes: MOST_BYTES, bytes: 0, compacted: 0 }
    }

    pub(super) fn record(&mut self, change: Arc<Change>) {
        self.bytes += change.object.size();
        self.changes.push_back(change);
        while self.changes.len() > self.capacity || self.bytes > self.most_bytes {
            self.forget_oldest();
        }
    }

    /// Forgets everything up to and including `revision`.
    pub(super) fn compact(&mut self, revision: u64) {
        while self.changes.front().is_some_and(|oldest| oldest.revision <= revision) {
            self.forget_oldest();
        }
        self.compacted = self.compacted.max(revision);
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.changes.pop_front() {
            self.bytes -= oldest.object.size();
            self.compacted = oldest.revision;
        }
    }

    /// The changes after `revision`, oldest first.
    pub(super) fn since(
        &self,
        revision: u64,
    ) -> Result<impl DoubleEndedIterator<Item = &Arc<Change>>, Compacted> {
        if revision < self.compacted {
            return Err(Compacted(self.compacted));
        }
        let first = self.changes.partition_point(|change| change.revision <= revision);
        Ok(self.changes.range(first..))
    }

    /// The objects of a kind that looked different at `revision`, as they were then (`None`: not there).
    pub(super) fn undo(
        &self,
        kind: &Kind,
        revision: u64,
    ) -> Result<BTreeMap<&str, Option<&Arc<Object>>>, Compacted> {
        let newest_first = self.since(revision)?.rev().filter(|change| std::ptr::eq(change.kind, kind));
        Ok(newest_first.map(|change| (change.key.as_str(), change.before.as_ref())).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds;

    #[test]
    fn large_objects_push_out_the_history_sooner() {
        let mut history = History { most_bytes: 100_000, ..History::new(1_000) };
        for revision in 1..=10 {
            let object = json!({ "metadata": { "name": "a" }, "data": { "text": "x".repeat(30_000) } });
            let creation =
                Change::creation(kinds::by_plural("configmaps").unwrap(), Arc::new(Object::new(object)));
            history.record(Arc::new(Change { revision, ..creation }));
        }
        assert_eq!(history.since(7).ok().map(Iterator::count), Some(3));
        assert_eq!(history.since(6).err(), Some(Compacted(7)));
    }
}
