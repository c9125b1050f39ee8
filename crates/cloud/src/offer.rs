//! What can be bought, and for how much.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{InstanceType, Zone};

/// Money for an hour, in 1/10000 of a US dollar.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Price(pub i64);

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (dollars, rest) = (self.0.unsigned_abs() / 10_000, self.0.unsigned_abs() % 10_000);
        write!(f, "{sign}${dollars}.{rest:04}/h")
    }
}

/// What a processor understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// What Kubernetes calls `amd64`.
    Amd64,
    /// What Kubernetes calls `arm64`.
    Arm64,
}

/// Which share of a type's spot instances was taken away in the last month, as the Spot Instance Advisor tells
/// (<https://aws.amazon.com/ec2/spot/instance-advisor/>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum InterruptionBand {
    /// Less than 5 %.
    #[serde(rename = "<5%")]
    Below5,
    /// 5 to 10 %.
    #[serde(rename = "5-10%")]
    From5To10,
    /// 10 to 15 %.
    #[serde(rename = "10-15%")]
    From10To15,
    /// 15 to 20 %.
    #[serde(rename = "15-20%")]
    From15To20,
    /// More than 20 %.
    #[serde(rename = ">20%")]
    Above20,
}

/// A type of instances in a zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The type.
    pub instance_type: InstanceType,
    /// The zone.
    pub zone: Zone,
    /// Its processors, as Kubernetes counts them.
    pub vcpus: u32,
    /// Its memory, in MiB.
    pub memory_mib: u64,
    /// What its processors understand.
    pub architecture: Architecture,
    /// Whether its processors are held back when they work for long (types such as `t3`).
    pub burstable: bool,
    /// Whether it has GPUs or other accelerators.
    pub has_accelerators: bool,
    /// What its own disks hold together, in GB; 0 where it has none.
    pub instance_store_gb: u64,
    /// Its list price, where it is known.
    pub on_demand: Option<Price>,
    /// Its price as a spot instance now, where it can be had as one.
    pub spot: Option<Price>,
    /// How often spot instances of the type are taken away, where it is known.
    pub interruption: Option<InterruptionBand>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_written_in_dollars() {
        assert_eq!(Price(1920).to_string(), "$0.1920/h");
        assert_eq!(Price(123_400).to_string(), "$12.3400/h");
        assert_eq!(Price(-5).to_string(), "-$0.0005/h");
    }
}
