//! What `/metrics` tells of operations.

use crate::saga::Ending;

/// Operations that this process carries on.
pub(crate) const RUNNING: &str = "operations_running";

const BEGUN: &str = "operations_begun_total";
const ENDED: &str = "operations_ended_total";
const UNREADABLE: &str = "operations_unreadable_total";
const ORPHANS_REMOVED: &str = "orphans_removed_total";
const ORPHANS_OVERDUE: &str = "orphans_overdue";

/// Has them all there from the beginning, so that the first of each is a growth.
pub(crate) fn prepare() {
    metrics::counter!(BEGUN).absolute(0);
    metrics::counter!(UNREADABLE).absolute(0);
    metrics::counter!(ORPHANS_REMOVED).absolute(0);
    metrics::gauge!(ORPHANS_OVERDUE).set(0.0);
    for ending in [Ending::Succeeded, Ending::Kept, Ending::Cancelled, Ending::Failed] {
        metrics::counter!(ENDED, "ending" => label(ending)).absolute(0);
    }
}

pub(crate) fn begun() {
    metrics::counter!(BEGUN).increment(1);
}

pub(crate) fn ended(ending: Ending) {
    metrics::counter!(ENDED, "ending" => label(ending)).increment(1);
}

/// Once for each time that an operation was taken on which cannot be read.
pub(crate) fn unreadable() {
    metrics::counter!(UNREADABLE).increment(1);
}

pub(crate) fn orphan_removed() {
    metrics::counter!(ORPHANS_REMOVED).increment(1);
}

/// So many orphans are there though they should have been ended a while ago.
#[expect(clippy::cast_precision_loss, reason = "there are never so many")]
pub(crate) fn orphans_overdue(overdue: i64) {
    metrics::gauge!(ORPHANS_OVERDUE).set(overdue as f64);
}

fn label(ending: Ending) -> &'static str {
    match ending {
        Ending::Succeeded => "succeeded",
        Ending::Kept => "kept",
        Ending::Cancelled => "cancelled",
        Ending::Failed => "failed",
    }
}
