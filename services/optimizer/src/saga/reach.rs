//! What a saga is carried on with.

use thiserror::Error;

use super::RunMode;
use crate::reach::{Changes, Reads};

/// What a saga is carried on with.
#[derive(Clone)]
pub enum Reach {
    /// Nothing can be changed with it.
    Shadow(Reads),
    /// Everything that the pipeline needs.
    Live(Changes),
}

/// A saga that changes something was given what reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a saga that is to change something was given only what reads")]
pub struct NotLive;

impl Reach {
    /// No more than the mode allows: so a saga in shadow mode never has what changes anything, whoever carries it on.
    pub(super) fn of(self, mode: RunMode) -> Result<Self, NotLive> {
        match (mode, self) {
            (RunMode::Shadow, reach) => Ok(Self::Shadow(reach.reads())),
            (RunMode::Live, reach @ Self::Live(_)) => Ok(reach),
            (RunMode::Live, Self::Shadow(_)) => Err(NotLive),
        }
    }

    pub(super) fn reads(&self) -> Reads {
        match self {
            Self::Shadow(reads) => reads.clone(),
            Self::Live(changes) => changes.reads(),
        }
    }
}
