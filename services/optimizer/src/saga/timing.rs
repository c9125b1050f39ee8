//! How long things take at most, and how often it is looked.

use std::time::Duration;

/// How long things take at most, and how often it is looked.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// So long after the last renewal another process may take a saga on. It is renewed six times as often.
    pub lease: Duration,
    /// So long a call of a cloud or a cluster may take. What was sent takes effect within that time, or never. The calls of a drain may take
    /// longer, and may: what comes late is refused, as an eviction names the pod by its UID, and a cordon the node's version.
    pub call: Duration,
    /// So long a step may take, which is some calls one after the other.
    pub step: Duration,
    /// So long it is tried to undo what was done, or to see that the old instance is ended. A day: whoever has taken a role away, or has a
    /// budget that allows nothing, has time to see to it.
    pub give_up: Duration,
    /// The first pause before something is asked again; each further one is half as long again.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            call: Duration::from_secs(10),
            step: Duration::from_mins(1),
            give_up: Duration::from_hours(24),
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(10),
        }
    }
}
