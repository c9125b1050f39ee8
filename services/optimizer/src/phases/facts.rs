//! What a saga has learned.

use cloud::{ClusterName, GroupName, InstanceId, InstanceType, Lifecycle, Zone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Action, PlanError};

/// What a saga is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The account that the instance is in.
    pub account_id: String,
    /// The instance.
    pub instance_id: InstanceId,
    /// Its type, as its user told.
    pub instance_type: InstanceType,
    /// Its zone, as its user told.
    pub zone: Zone,
    /// Its Auto Scaling group, if its user told.
    pub group: Option<GroupName>,
    /// The EKS cluster whose node it is.
    pub cluster: ClusterName,
}

/// What can be learned in a phase.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "learned", rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing that a later phase needs.
    #[default]
    Nothing,
    /// What there is at first.
    Found {
        /// The node that the instance is.
        node: String,
        /// Its group.
        group: SeenGroup,
        /// How the instance is paid for.
        lifecycle: Lifecycle,
        /// How many nodes are Ready.
        ready_nodes: usize,
    },
    /// The instance that was bought.
    Launched {
        /// Its id.
        instance: InstanceId,
    },
    /// The node that it has become.
    Joined {
        /// Its name.
        node: String,
    },
    /// What has left the old node.
    Drained {
        /// How many pods.
        evicted: usize,
    },
}

/// A group, as it was at first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "each is the group's field of its name")]
pub struct SeenGroup {
    pub name: GroupName,
    pub min: u32,
    pub max: u32,
    pub desired: u32,
}

impl Outcome {
    /// Whether there is nothing.
    pub fn is_nothing(&self) -> bool {
        *self == Self::Nothing
    }
}

/// What a saga has learned so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The saga.
    pub saga: Uuid,
    /// What it is about.
    pub target: Target,
    /// The node that the instance is.
    pub node: Option<String>,
    /// Its group, as it was at first.
    pub group: Option<SeenGroup>,
    /// How the instance is paid for.
    pub lifecycle: Option<Lifecycle>,
    /// How many nodes were Ready at first.
    pub ready_nodes: usize,
    /// What was refused.
    pub refused: Vec<Action>,
    /// The instance that was bought.
    pub launched: Option<InstanceId>,
    /// The node that it has become.
    pub new_node: Option<String>,
}

impl Facts {
    pub(crate) fn new(saga: Uuid, target: Target) -> Self {
        Self {
            saga,
            target,
            node: None,
            group: None,
            lifecycle: None,
            ready_nodes: 0,
            refused: Vec::new(),
            launched: None,
            new_node: None,
        }
    }

    pub(crate) fn learn(&mut self, outcome: &Outcome) {
        match outcome.clone() {
            Outcome::Nothing | Outcome::Drained { .. } => {}
            Outcome::Found { node, group, lifecycle, ready_nodes } => {
                self.node = Some(node);
                self.group = Some(group);
                self.lifecycle = Some(lifecycle);
                self.ready_nodes = ready_nodes;
            }
            Outcome::Launched { instance } => self.launched = Some(instance),
            Outcome::Joined { node } => self.new_node = Some(node),
        }
    }

    /// The node that the instance is.
    pub(super) fn found_node(&self) -> Result<&str, PlanError> {
        self.node.as_deref().ok_or_else(|| PlanError::failed("the node was not found"))
    }

    /// The group that the instance is in.
    pub(super) fn found_group(&self) -> Result<&GroupName, PlanError> {
        let group = self.group.as_ref().map(|group| &group.name);
        group.ok_or_else(|| PlanError::failed("the group was not found"))
    }
}
