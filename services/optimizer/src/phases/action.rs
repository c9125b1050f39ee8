//! What a phase does, as data.

use std::time::Duration;

use cloud::{GroupName, InstanceId, Launch};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{Facts, Outcome, attach, cordon, drain, join, scale_out, terminate, verify, volumes};
use crate::reach::{Changes, ReachError, Reads, Tell};

/// Something to be done, with all that it takes to do it again: after a crash somebody else does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Action {
    /// Buy an instance.
    Launch(Launch),
    /// Wait until the bought instance is a node that takes work.
    AwaitNode,
    /// Put the bought instance into this group.
    Attach {
        /// Which.
        group: GroupName,
    },
    /// Let nothing new be put on this node.
    Cordon {
        /// Which.
        node: String,
    },
    /// Have everything leave this node that can run elsewhere.
    Drain {
        /// Which.
        node: String,
    },
    /// Wait until the volumes of what has left this node are let go.
    AwaitVolumes {
        /// Which.
        node: String,
    },
    /// End this instance through its group.
    Terminate {
        /// Which.
        instance: InstanceId,
    },
    /// Wait until everything is as it should be.
    Verify,
}

/// Why an action did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActError {
    /// It may have been done, or may yet be: again.
    Unknown(String),
    /// It was not done; another way may be found.
    Refused(String),
    /// It was not done, and there is no other way.
    Failed(String),
}

impl<E: Into<ReachError>> From<E> for ActError {
    fn from(error: E) -> Self {
        match error.into() {
            ReachError::Unknown(why) => Self::Unknown(why),
            ReachError::Shortage(why) => Self::Refused(why),
            ReachError::Refused(why) | ReachError::NoCluster(why) => Self::Failed(why),
        }
    }
}

/// Whether something has taken effect.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// It has.
    Done(String, Outcome),
    /// Not yet: what is missing.
    NotYet(String),
    /// It never will.
    Failed(String),
}

impl Seen {
    pub(super) fn done(why: impl Into<String>) -> Self {
        Self::Done(why.into(), Outcome::Nothing)
    }
}

impl Action {
    /// Whether there is nothing to do but to wait.
    pub fn only_waits(&self) -> bool {
        matches!(self, Self::AwaitNode | Self::AwaitVolumes { .. } | Self::Verify)
    }

    /// Whether there is something to undo. Pods that have left come back by themselves, or do not have to.
    pub fn can_be_undone(&self) -> bool {
        matches!(self, Self::Launch(_) | Self::Attach { .. } | Self::Cordon { .. })
    }

    /// What is there once it was done, or may have been, for a person. `bought`: the new instance.
    pub fn leaves(&self, bought: &str) -> Option<String> {
        match self {
            Self::Launch(_) => Some(format!(
                "{bought} may be running, and cost money; where it is a node, it may be cordoned"
            )),
            Self::Attach { group } => Some(format!("{bought} may be in group {group}")),
            Self::Cordon { node } => Some(format!("node {node} may be cordoned")),
            Self::Terminate { instance } => Some(format!("{instance} may be ended")),
            Self::AwaitNode | Self::Drain { .. } | Self::AwaitVolumes { .. } | Self::Verify => None,
        }
    }

    /// Whether it is not repeated before it is certain whether it was done: twice would be too much. AWS does not say whether a group is made smaller
    /// once more by another call for an instance that it is ending.
    pub fn is_awaited_before_repeated(&self) -> bool {
        matches!(self, Self::Terminate { .. })
    }

    /// So long after it was done it is to be seen by everybody.
    pub fn shows_within(&self) -> Duration {
        if matches!(self, Self::Launch(_)) { scale_out::SHOWS_WITHIN } else { Duration::ZERO }
    }

    /// Does it, which may take so long. Doing it again changes nothing. `tell` hears what is waited for meanwhile.
    ///
    /// # Errors
    /// [`ActError`].
    pub async fn act(
        &self,
        changes: &Changes,
        facts: &Facts,
        patience: Duration,
        cancel: &CancellationToken,
        tell: Tell<'_>,
    ) -> Result<Outcome, ActError> {
        match self {
            Self::Launch(launch) => scale_out::act(changes, launch).await,
            Self::Attach { group } => attach::act(changes, facts, group).await,
            Self::Cordon { node } => cordon::act(changes, node).await,
            Self::Drain { node } => drain::act(changes, node, patience, cancel, tell).await,
            Self::Terminate { instance } => terminate::act(changes, facts, instance).await,
            Self::AwaitNode | Self::AwaitVolumes { .. } | Self::Verify => Ok(Outcome::Nothing),
        }
    }

    /// Whether it has taken effect.
    ///
    /// # Errors
    /// [`ReachError`] when that cannot be read.
    pub async fn observe(&self, reads: &Reads, facts: &Facts) -> Result<Seen, ReachError> {
        match self {
            Self::Launch(launch) => scale_out::observe(reads, facts, launch).await,
            Self::AwaitNode => join::observe(reads, facts).await,
            Self::Attach { group } => attach::observe(reads, facts, group).await,
            Self::Cordon { node } => cordon::observe(reads, facts, node).await,
            Self::Drain { node } => drain::observe(reads, node).await,
            Self::AwaitVolumes { node } => volumes::observe(reads, node).await,
            Self::Terminate { instance } => terminate::observe(reads, instance).await,
            Self::Verify => verify::observe(reads, facts).await,
        }
    }

    /// Undoes it, or what of it there is, and tells whether that has taken effect. To be called until it has.
    ///
    /// # Errors
    /// [`ReachError`].
    pub async fn undo(&self, changes: &Changes, facts: &Facts) -> Result<Seen, ReachError> {
        match self {
            Self::Launch(_) => scale_out::undo(changes, facts).await,
            Self::Attach { group } => attach::undo(changes, facts, group).await,
            Self::Cordon { node } => cordon::undo(changes, facts, node).await,
            Self::AwaitNode
            | Self::Drain { .. }
            | Self::AwaitVolumes { .. }
            | Self::Terminate { .. }
            | Self::Verify => Ok(Seen::done("there is nothing to undo")),
        }
    }
}
