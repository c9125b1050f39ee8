//! An Auto Scaling group.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{GroupName, InstanceId};

/// An Auto Scaling group, as the cloud tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    /// It has never fewer instances than that.
    pub min: u32,
    /// And never more.
    pub max: u32,
    /// How many it is to have now.
    pub desired: u32,
    /// Those that it has.
    pub members: Vec<Member>,
}

/// An instance of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Which.
    pub id: InstanceId,
    /// How far it is.
    pub state: MemberState,
}

/// How far an instance of a group is
/// (<https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-lifecycle.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum MemberState {
    /// It is started.
    Pending,
    /// A lifecycle hook holds it before it is in service.
    #[serde(rename = "Pending:Wait")]
    PendingWait,
    /// It works.
    InService,
    /// It is ended.
    Terminating,
    /// A lifecycle hook holds it before it is ended.
    #[serde(rename = "Terminating:Wait")]
    TerminatingWait,
    /// It leaves the group and runs on.
    Detaching,
    /// It is left alone for a while.
    Standby,
}

impl Group {
    /// The member with this id.
    pub fn member(&self, id: &InstanceId) -> Option<&Member> {
        self.members.iter().find(|member| member.id == *id)
    }
}
