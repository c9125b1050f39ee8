//! The bounds of sessions.

use std::{sync::Arc, time::Duration};

use super::Budget;

/// For how long sessions wait.
#[derive(Clone, Copy, Debug)]
pub struct SessionTiming {
    /// How long an agent may take to say `hello`.
    pub hello_within: Duration,
    /// How long a frame may take to be written before the agent counts as gone.
    pub write_within: Duration,
    /// How long the answers under way are waited for once either side has said that it goes away.
    pub drain_within: Duration,
    /// How long the last frames may take, and the agent to close its side.
    pub close_within: Duration,
    /// Agents are told to come back after a random time up to this when this process stops.
    pub reconnect_within: Duration,
}

impl Default for SessionTiming {
    /// A process that stops needs `write_within`, `drain_within` and `close_within` at most, one after the other: together
    /// less than the 30 s that it has.
    fn default() -> Self {
        Self {
            hello_within: Duration::from_secs(10),
            write_within: Duration::from_secs(10),
            drain_within: Duration::from_secs(10),
            close_within: Duration::from_secs(5),
            reconnect_within: Duration::from_secs(5),
        }
    }
}

/// The times of sessions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionSettings {
    /// How often agents are to send a heartbeat.
    pub(crate) heartbeat: Duration,
    pub(crate) timing: SessionTiming,
}

/// The bounds of sessions, all of this process together where nothing else is said.
#[derive(Clone)]
pub(crate) struct Bounds {
    pub(crate) max_sessions: usize,
    /// Questions of one session that may wait for their answers.
    pub(crate) max_questions: usize,
    /// Whether those who ask the same at the same time share an answer.
    pub(crate) shares_answers: bool,
    /// Bytes of answers that may wait to be sent on.
    pub(crate) budget: Arc<Budget>,
}

impl SessionSettings {
    /// For how long an agent may be silent: 42 s by default, so that a dead connection is noticed within 45.
    pub(super) fn silence(&self) -> Duration {
        self.heartbeat * 7 / 5
    }

    /// How often the agent is to send a heartbeat, as `welcome` says it.
    pub(super) fn heartbeat_seconds(&self) -> u32 {
        u32::try_from(self.heartbeat.as_secs()).unwrap_or(u32::MAX).max(1)
    }
}
