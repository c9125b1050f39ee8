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

/// A bounded run of changes without gaps.
#[derive(Debug)]
pub(super) struct History {
    changes: VecDeque<Arc<Change>>,
    capacity: usize,
    /// The newest revision whose change has been forgotten: nothing older can be shown any more.
    compacted: u64,
}

/// The revision asked for lies before the kept history, which begins after this one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Compacted(pub(super) u64);

impl History {
    pub(super) fn new(capacity: usize) -> History {
        History { changes: VecDeque::new(), capacity, compacted: 0 }
    }

    pub(super) fn record(&mut self, change: Arc<Change>) {
        self.changes.push_back(change);
        if self.changes.len() > self.capacity {
            self.compacted = self.changes.pop_front().map_or(self.compacted, |oldest| oldest.revision);
        }
    }

    /// Forgets everything up to and including `revision`.
    pub(super) fn compact(&mut self, revision: u64) {
        self.changes.retain(|change| change.revision > revision);
        self.compacted = self.compacted.max(revision);
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
