//! How long things take at most, and how often it is looked.

use std::time::Duration;

/// How long things take at most, and how often it is looked.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// So long after the last renewal another process may take a saga on. It is renewed six times as often.
    pub lease: Duration,
    /// So long a call of a cloud or a cluster may take. What was sent takes effect within that time, or never.
    pub call: Duration,
    /// So long a step may take, which is some calls one after the other.
    pub step: Duration,
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
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(10),
        }
    }
}
