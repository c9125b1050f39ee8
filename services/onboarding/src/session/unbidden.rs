//! Frames that nobody asked for: heartbeats, pings, answers to no question.

use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::posed::WINDOW;

/// A healthy agent sends a heartbeat and two pings in 30 seconds.
const PER_SECOND: NonZeroU32 = NonZeroU32::new(10).unwrap();
/// After a pause of the connection, many may come at once.
const BURST: NonZeroU32 = NonZeroU32::new(200).unwrap();

/// How many such frames are taken from one agent.
pub(super) struct Unbidden {
    allowance: DefaultDirectRateLimiter,
    /// Frames that may still come of questions that were cancelled: the agent had sent them already.
    late: usize,
    /// Those that never come are not saved up for a flood: no more than the answers to as many questions as it may be asked at once.
    most_late: usize,
}

impl Unbidden {
    /// Of an agent that is asked so many questions at once.
    pub(super) fn new(max_questions: usize) -> Self {
        let quota = Quota::per_second(PER_SECOND).allow_burst(BURST);
        Self { allowance: RateLimiter::direct(quota), late: 0, most_late: max_questions * WINDOW }
    }

    /// A question is cancelled; the agent may have begun to answer.
    pub(super) fn expect_late_answer(&mut self) {
        self.late = (self.late + WINDOW).min(self.most_late);
    }

    /// Whether one more answer to no question is acceptable.
    pub(super) fn take_answer(&mut self) -> bool {
        metrics::counter!("agent_unasked_answers_total").increment(1);
        match self.late.checked_sub(1) {
            Some(late) => {
                self.late = late;
                true
            }
            None => self.take(),
        }
    }

    /// Whether one more frame of another kind is acceptable.
    pub(super) fn take(&self) -> bool {
        self.allowance.check().is_ok()
    }
}
