//! The phases that sagas are made of, and what is done in them.
//!
//! A phase is decided by `plan`, which only reads. What it decides to do is an [`Action`], plain data, which is written down before it is
//! done, done as often as it takes, looked at until it has taken effect, and undone when a later phase fails.

mod access;
mod action;
mod attach;
mod cordon;
mod drain;
mod facts;
mod join;
mod scale_out;
mod terminate;
mod verify;
mod volumes;

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::reach::{ReachError, Reads};

pub use action::{ActError, Action, Seen};
pub use facts::{Facts, Outcome, SeenGroup, Target};
pub(crate) use scale_out::stays;
pub use scale_out::{Considered, SAGA_TAG};

/// A step of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The instance, its group and its node are found, and whether the node can be drained.
    Access,
    /// A cheaper instance is chosen and bought.
    ScaleOut,
    /// The new node takes work: it is Ready, schedulable, and its DaemonSets are up.
    Join,
    /// The new instance is put into the group, where that has room for one more.
    Attach,
    /// Nothing new is put on the old node.
    Cordon,
    /// What can run elsewhere leaves the old node.
    Drain,
    /// The volumes of what has left are let go.
    Volumes,
    /// The old instance is ended through its group.
    Terminate,
    /// The new instance is put into the group, where there was no room before.
    AttachLate,
    /// Everything is as it should be.
    Verify,
}

/// What replaces a node of a Kubernetes cluster.
pub const KUBERNETES: &[Phase] = &[
    Phase::Access,
    Phase::ScaleOut,
    Phase::Join,
    Phase::Attach,
    Phase::Cordon,
    Phase::Drain,
    Phase::Volumes,
    Phase::Terminate,
    Phase::AttachLate,
    Phase::Verify,
];

/// What a saga may have for itself alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Subject(pub String);

impl Subject {
    /// An instance of an account.
    pub fn instance(account: &str, instance: &cloud::InstanceId) -> Self {
        Self(format!("instance {account}/{instance}"))
    }

    /// A group of an account.
    pub fn group(account: &str, group: &cloud::GroupName) -> Self {
        Self(format!("group {account}/{group}"))
    }

    /// A node of a cluster.
    pub fn node(account: &str, cluster: &cloud::ClusterName, node: &str) -> Self {
        Self(format!("node {account}/{cluster}/{node}"))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What was decided in a phase.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The decision, for a person.
    pub why: String,
    /// The numbers that it was made with.
    pub numbers: Value,
    /// What is to be done; `None` when nothing is.
    pub action: Option<Action>,
    /// What was learned.
    pub outcome: Outcome,
    /// What no other saga may touch meanwhile.
    pub subjects: Vec<Subject>,
}

/// Why nothing was decided.
#[derive(Clone, Debug)]
pub enum PlanError {
    /// There is no reason to go on.
    Kept(String, Value),
    /// There is a reason not to.
    Failed(String, Value),
    /// It cannot be read just now.
    Unreadable(String),
    /// We may not read it, or what was named is not there.
    Refused(String),
}

impl PlanError {
    fn failed(why: impl Into<String>) -> Self {
        Self::Failed(why.into(), Value::Null)
    }
}

impl<E: Into<ReachError>> From<E> for PlanError {
    fn from(error: E) -> Self {
        match error.into() {
            ReachError::Unknown(why) => Self::Unreadable(why),
            ReachError::Shortage(why) | ReachError::Refused(why) | ReachError::NoCluster(why) => {
                Self::Refused(why)
            }
        }
    }
}

impl Phase {
    /// Decides what is to be done, and changes nothing.
    ///
    /// # Errors
    /// [`PlanError`].
    pub async fn plan(self, reads: &Reads, facts: &Facts) -> Result<Plan, PlanError> {
        match self {
            Self::Access => access::plan(reads, facts).await,
            Self::ScaleOut => scale_out::plan(reads, facts).await,
            Self::Join => Ok(join::plan()),
            Self::Attach => attach::plan(reads, facts).await,
            Self::Cordon => cordon::plan(reads, facts).await,
            Self::Drain => drain::plan(reads, facts).await,
            Self::Volumes => volumes::plan(facts),
            Self::Terminate => terminate::plan(reads, facts).await,
            Self::AttachLate => attach::plan_late(reads, facts).await,
            Self::Verify => Ok(verify::plan()),
        }
    }

    /// How long it may take from its decision to its end. After that it has failed, and what was done is undone.
    pub fn deadline(self) -> Duration {
        Duration::from_mins(match self {
            Self::Access | Self::Cordon => 2,
            Self::ScaleOut | Self::Attach | Self::Volumes => 5,
            // Karpenter gives a node fifteen minutes to register.
            Self::Join => 15,
            Self::Drain => 6,
            // With lifecycle hooks, each of which may hold it for an hour by default.
            Self::Terminate | Self::AttachLate | Self::Verify => 120,
        })
    }

    /// Whether what is done in it cannot be undone.
    pub fn is_point_of_no_return(self) -> bool {
        self == Self::Terminate
    }
}
