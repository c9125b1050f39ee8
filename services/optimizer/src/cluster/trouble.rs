//! Why a cluster did not do what it was asked, and what that means for a saga.

use cluster_access::{
    AccessError,
    drain::{DrainError, InstanceError},
};

use super::words;
use crate::reach::ReachError;

/// What a call of a cluster has failed for.
#[derive(Debug)]
pub(super) enum Trouble {
    /// There is no such node.
    NoSuchNode(String),
    /// A drain was not started: it cannot end well.
    Hopeless(Vec<String>),
    /// What there is cannot be made sense of.
    Unclear(String),
    /// The cluster cannot be asked, or refuses.
    Access(AccessError),
    /// There is no way in.
    NoEntry(ReachError),
}

impl From<ReachError> for Trouble {
    fn from(error: ReachError) -> Self {
        Self::NoEntry(error)
    }
}

impl From<AccessError> for Trouble {
    fn from(error: AccessError) -> Self {
        Self::Access(error)
    }
}

impl From<InstanceError> for Trouble {
    fn from(error: InstanceError) -> Self {
        match error {
            InstanceError::Ambiguous { .. } => Self::Unclear(error.to_string()),
            InstanceError::Access(error) => Self::Access(error),
        }
    }
}

impl From<DrainError> for Trouble {
    fn from(error: DrainError) -> Self {
        match error {
            DrainError::NoSuchNode(node) => Self::NoSuchNode(node),
            DrainError::Hopeless(forecast) => Self::Hopeless(words::hindrances(&forecast)),
            DrainError::Access(error) => Self::Access(error),
        }
    }
}

impl Trouble {
    /// Whether the cluster does not know who asks, as when a token has ended.
    pub(super) fn is_unknown_token(&self) -> bool {
        matches!(self, Self::Access(AccessError::Refused { status: 401, .. }))
    }

    /// Whether nobody was there who could be believed to be the cluster: it may be elsewhere by now.
    pub(super) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Access(AccessError::Unreachable(_)))
    }

    /// `was_known`: whether the cluster has known us before.
    pub(super) fn into_reach_error(self, was_known: bool) -> ReachError {
        match self {
            Self::NoSuchNode(node) => ReachError::Refused(format!("there is no node {node}")),
            Self::Hopeless(why) => ReachError::Refused(why.join("; ")),
            Self::Unclear(why) => ReachError::Refused(why),
            Self::Access(error) => of_access(&error, was_known),
            Self::NoEntry(error) => error,
        }
    }
}

fn of_access(error: &AccessError, was_known: bool) -> ReachError {
    let text = error.to_string();
    match error {
        // It asks STS who that is, which fails at times: a cluster that has known us may know us again.
        AccessError::Refused { status: 401, .. } if was_known => ReachError::Unknown(text),
        AccessError::Refused { status: 401, .. } => ReachError::Refused(format!(
            "the cluster does not know the role that asks: it may have no access entry for it ({text})"
        )),
        AccessError::Refused { status: 408 | 409 | 425 | 429 | 500..=599, .. }
        | AccessError::Unreachable(_)
        | AccessError::TimedOut(_)
        | AccessError::Unreadable(_)
        | AccessError::Busy => ReachError::Unknown(text),
        AccessError::Refused { .. } | AccessError::TooLarge | AccessError::Credentials(_) => {
            ReachError::Refused(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_work_later_is_unknown() {
        let answered = |status, was_known| {
            let error = AccessError::Refused { status, message: "said".to_owned() };
            matches!(Trouble::Access(error).into_reach_error(was_known), ReachError::Unknown(_))
        };
        for status in [408, 409, 425, 429, 500, 503, 599] {
            assert!(answered(status, false), "{status}");
        }
        for status in [400, 403, 404, 405, 422] {
            assert!(!answered(status, true), "{status}");
        }
        assert!(answered(401, true) && !answered(401, false));
        let lost = Trouble::Access(AccessError::Unreachable("reset".to_owned()));
        assert!(matches!(lost.into_reach_error(false), ReachError::Unknown(_)));
    }
}
