//! How many bytes of answers a process holds at once.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use web::metrics::Held;

/// Bytes that wait to be sent on, in this process.
const QUEUED: &str = "agent_answer_bytes_queued";

/// Bounds the bytes of answers that are held at once.
pub(crate) struct Budget {
    held: AtomicUsize,
    max: usize,
}

/// Bytes that are held; given back when dropped.
pub(crate) struct Share {
    bytes: usize,
    budget: Arc<Budget>,
    _counted: Held,
}

impl Budget {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { held: AtomicUsize::new(0), max })
    }

    /// Takes its share for so many bytes; `None` when that would be too many.
    pub(super) fn take(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        let held = self.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let counted = Held::new(QUEUED, bytes as f64);
        let share = Share { bytes, budget: Arc::clone(self), _counted: counted };
        (held <= self.max).then_some(share)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
