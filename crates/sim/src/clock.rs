//! The cluster's clock: the machine's, which tests and the administrator can move forward.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use crate::journal::Journal;

/// By how much the cluster is ahead of the machine, in a journal.
pub(crate) const CLOCK: &str = "clock";

/// Tells the time to everything in the cluster.
#[derive(Debug)]
pub struct Clock {
    /// By how much the cluster is ahead of the machine.
    ahead: watch::Sender<SignedDuration>,
    journal: OnceLock<Arc<Journal>>,
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::ahead_by(SignedDuration::ZERO)
    }
}

impl Clock {
    /// A clock that was moved forward before.
    pub(crate) fn ahead_by(ahead: SignedDuration) -> Clock {
        Clock { ahead: watch::Sender::new(ahead), journal: OnceLock::new() }
    }

    /// Has every move be known to the next process.
    pub(crate) fn persist(&self, journal: Arc<Journal>) {
        self.journal.get_or_init(|| journal);
    }

    /// What time it is in the cluster.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        now.saturating_add(*self.ahead.borrow()).unwrap_or(now)
    }

    /// Moves the clock forward: whatever waits for a time up to the new one happens at once.
    pub fn advance(&self, by: Duration) {
        let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
        self.ahead.send_modify(|ahead| {
            *ahead = ahead.saturating_add(by);
            if let Some(journal) = self.journal.get() {
                journal.keep(CLOCK, ahead);
            }
        });
    }

    /// Waits until the cluster's time has reached `at`.
    pub async fn sleep_until(&self, at: Timestamp) {
        let mut ahead = self.ahead.subscribe();
        loop {
            let Ok(left) = Duration::try_from(at.duration_since(self.now())) else {
                return;
            };
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                // The sender is this clock's own: it cannot be gone.
                _ = ahead.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleeper_wakes_when_the_clock_is_moved() {
        let clock = Clock::default();
        let at = clock.now().saturating_add(SignedDuration::from_hours(1)).unwrap();
        let sleeping = clock.sleep_until(at);
        tokio::pin!(sleeping);
        let early = tokio::time::timeout(Duration::from_millis(1), &mut sleeping).await;
        assert!(early.is_err(), "an hour has not passed");
        clock.advance(Duration::from_hours(1));
        sleeping.await;
        assert!(clock.now() >= at);
    }
}
