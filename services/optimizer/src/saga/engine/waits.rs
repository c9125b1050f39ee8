//! What is told of a wait.

use std::time::Duration;

use tokio::time::Instant;

/// So many things are told of one wait as they come. What comes and goes for hours must not fill a journal.
const FREELY: u32 = 30;
/// After that there is so much silence, and each time twice as much.
const SILENCE: Duration = Duration::from_secs(10);
/// But not more.
const LONGEST_SILENCE: Duration = Duration::from_hours(1);

/// What was told of a wait.
#[derive(Default)]
pub(super) struct Waits {
    last: String,
    told: u32,
    silent_until: Option<Instant>,
}

impl Waits {
    /// Whether this is to be told, which it is then: it is something else than before, and not too much of it.
    pub(super) fn is_worth_telling(&mut self, why: &str) -> bool {
        let now = Instant::now();
        if self.last == why || self.silent_until.is_some_and(|until| now < until) {
            return false;
        }
        why.clone_into(&mut self.last);
        if self.told >= FREELY {
            let silence = SILENCE.saturating_mul(1 << (self.told - FREELY).min(16));
            self.silent_until = Some(now + silence.min(LONGEST_SILENCE));
        }
        self.told += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_comes_and_goes_for_a_day_does_not_fill_a_journal() {
        let (mut waits, end) = (Waits::default(), Instant::now() + Duration::from_hours(24));
        let (mut told, mut flips) = (0, 0);
        while Instant::now() < end {
            told += u32::from(waits.is_worth_telling(if flips % 2 == 0 { "throttled" } else { "no answer" }));
            flips += 1;
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        assert!((FREELY + 20..FREELY + 40).contains(&told), "{told} of {flips}");
        assert!(!waits.is_worth_telling(&waits.last.clone()));
    }
}
