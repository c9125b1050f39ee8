//! An instance.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{GroupName, InstanceId, InstanceType, Zone};

/// How an instance is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lifecycle {
    /// At its list price, until it is ended.
    OnDemand,
    /// At the price of its pool, until it is taken away.
    Spot,
}

/// How far an instance is (<https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceState.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is the state of its name")]
pub enum InstanceState {
    Pending,
    Running,
    ShuttingDown,
    Terminated,
    Stopping,
    Stopped,
}

impl InstanceState {
    /// Whether it is gone or on its way there, and will never run again.
    pub fn is_over(self) -> bool {
        matches!(self, Self::ShuttingDown | Self::Terminated)
    }
}

/// An instance, as the cloud tells of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// Its type.
    pub instance_type: InstanceType,
    /// Where it is.
    pub zone: Zone,
    /// How it is paid for.
    pub lifecycle: Lifecycle,
    /// How far it is.
    pub state: InstanceState,
    /// The Auto Scaling group that it is in.
    pub group: Option<GroupName>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Since when it is there.
    pub launched_at: Timestamp,
}
