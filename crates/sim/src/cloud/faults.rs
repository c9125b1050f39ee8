//! What shall go wrong.

use std::time::Duration;

use cloud::{CloudError, GroupName, InstanceId, Launch};
use serde::{Deserialize, Serialize};

/// A call of the seam.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the method of its name")]
pub enum Operation {
    Instance,
    InstancesTagged,
    Group,
    Offers,
    EksCluster,
    Launch,
    Attach,
    Detach,
    TerminateInGroup,
    Terminate,
}

impl Operation {
    /// Whether it changes anything.
    #[must_use]
    pub fn is_change(self) -> bool {
        match self {
            Self::Instance | Self::InstancesTagged | Self::Group | Self::Offers | Self::EksCluster => false,
            Self::Launch | Self::Attach | Self::Detach | Self::TerminateInGroup | Self::Terminate => true,
        }
    }
}

/// A call that changes something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is the method of its name with its arguments")]
pub enum Change {
    Launch(Launch),
    Attach { group: GroupName, id: InstanceId },
    Detach { group: GroupName, id: InstanceId },
    TerminateInGroup { id: InstanceId },
    Terminate { id: InstanceId },
}

impl Change {
    /// Which call it is.
    #[must_use]
    pub fn operation(&self) -> Operation {
        match self {
            Self::Launch(_) => Operation::Launch,
            Self::Attach { .. } => Operation::Attach,
            Self::Detach { .. } => Operation::Detach,
            Self::TerminateInGroup { .. } => Operation::TerminateInGroup,
            Self::Terminate { .. } => Operation::Terminate,
        }
    }
}

/// Calls that fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Which calls; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// How many of them, from now on.
    #[serde(default = "once")]
    pub times: u32,
    /// How.
    #[serde(flatten)]
    pub kind: FaultKind,
}

fn once() -> u32 {
    1
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum FaultKind {
    /// [`CloudError::Throttled`].
    Throttled,
    /// [`CloudError::Denied`].
    Denied,
    /// [`CloudError::Unknown`], and nothing was done.
    RequestLost,
    /// [`CloudError::Unknown`], and it was done.
    AnswerLost,
    /// [`CloudError::Unknown`], and it will be done.
    DoneLate {
        /// After how many milliseconds.
        millis: u64,
    },
    /// The answer takes long. Only whoever waits for answers can notice: [`World::delay`](super::World::delay).
    Delay {
        /// How many milliseconds.
        millis: u64,
    },
}

/// What is to be done with a call.
#[derive(Debug)]
pub(super) enum Fate {
    /// It is done and answered.
    Answered,
    /// It is not done, and answered so.
    Fails(CloudError),
    /// It is done, and the answer lost.
    AnswerLost,
    /// It will be done, after so long.
    DoneLate(Duration),
}

/// The faults that are still to strike, in their order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Faults(pub(super) Vec<Fault>);

impl Faults {
    /// What is to be done with a call; its fault has struck then.
    pub(super) fn fate(&mut self, operation: Operation) -> Fate {
        match self.next(operation, |kind| !matches!(kind, FaultKind::Delay { .. })) {
            Some(FaultKind::Throttled) => Fate::Fails(CloudError::Throttled),
            Some(FaultKind::Denied) => {
                let message = "You are not authorized to perform this operation.".to_owned();
                Fate::Fails(CloudError::Denied { message })
            }
            Some(FaultKind::RequestLost) => Fate::Fails(no_answer()),
            Some(FaultKind::AnswerLost) => Fate::AnswerLost,
            Some(FaultKind::DoneLate { millis }) => Fate::DoneLate(Duration::from_millis(millis)),
            Some(FaultKind::Delay { .. }) | None => Fate::Answered,
        }
    }

    /// How long the answer to a call takes; that fault has struck then.
    pub(super) fn delay(&mut self, operation: Operation) -> Option<Duration> {
        match self.next(operation, |kind| matches!(kind, FaultKind::Delay { .. }))? {
            FaultKind::Delay { millis } => Some(Duration::from_millis(millis)),
            _ => None,
        }
    }

    fn next(&mut self, operation: Operation, is_meant: impl Fn(FaultKind) -> bool) -> Option<FaultKind> {
        let strikes = |fault: &Fault| {
            fault.times > 0 && fault.operation.is_none_or(|of| of == operation) && is_meant(fault.kind)
        };
        let index = self.0.iter().position(strikes)?;
        let fault = &mut self.0[index];
        let kind = fault.kind;
        fault.times = fault.times.saturating_sub(1);
        if fault.times == 0 {
            self.0.remove(index);
        }
        Some(kind)
    }
}

pub(super) fn no_answer() -> CloudError {
    CloudError::Unknown { message: "no answer came".to_owned() }
}
