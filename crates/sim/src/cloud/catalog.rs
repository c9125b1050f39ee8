//! The types of instances that the region has.

use cloud::Architecture::{self, Amd64, Arm64};
use cloud::InterruptionBand::{self, Above20, Below5, From5To10, From10To15, From15To20};
use cloud::{InstanceType, Zone};

/// A type of instances.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) vcpus: u32,
    pub(crate) memory_mib: u32,
    /// How many pods the AWS VPC CNI allows (`eni-max-pods.txt`).
    pub(crate) max_pods: u32,
    pub(crate) architecture: Architecture,
    /// The list price in 1/10000 of a dollar for an hour.
    pub(crate) on_demand: u32,
    /// By how many per cent a spot instance is cheaper, on average.
    pub(crate) savings: u32,
    pub(crate) interruption: InterruptionBand,
}

impl Kind {
    /// Types whose processors are held back when they work for long.
    pub(crate) fn is_burstable(&self) -> bool {
        self.name.starts_with('t')
    }
}

/// The zones that the region has.
/// The region that everything is in.
pub(crate) const REGION: &str = "us-east-1";
pub(crate) const ZONES: [&str; 3] = ["us-east-1a", "us-east-1b", "us-east-1c"];

/// Prices in us-east-1 (<https://aws.amazon.com/ec2/pricing/on-demand/>), savings and interruptions there as the Spot Instance Advisor
/// tells them.
#[rustfmt::skip]
pub(crate) const KINDS: &[Kind] = &[
    kind("m5.large", 2, 8192, 29, Amd64, 960, 66, From15To20),
    kind("m5.xlarge", 4, 16_384, 58, Amd64, 1920, 66, Above20),
    kind("m5.2xlarge", 8, 32_768, 58, Amd64, 3840, 54, From10To15),
    kind("m5a.large", 2, 8192, 29, Amd64, 860, 60, From15To20),
    kind("m5a.xlarge", 4, 16_384, 58, Amd64, 1720, 54, From15To20),
    kind("m6i.large", 2, 8192, 29, Amd64, 960, 63, From10To15),
    kind("m6i.xlarge", 4, 16_384, 58, Amd64, 1920, 55, From5To10),
    kind("m6i.2xlarge", 8, 32_768, 58, Amd64, 3840, 58, Above20),
    kind("m6a.large", 2, 8192, 29, Amd64, 864, 59, From5To10),
    kind("m6a.xlarge", 4, 16_384, 58, Amd64, 1728, 57, Above20),
    kind("m6a.2xlarge", 8, 32_768, 58, Amd64, 3456, 54, Above20),
    kind("m6g.large", 2, 8192, 29, Arm64, 770, 60, From10To15),
    kind("m6g.xlarge", 4, 16_384, 58, Arm64, 1540, 68, From5To10),
    kind("m6g.2xlarge", 8, 32_768, 58, Arm64, 3080, 64, From5To10),
    kind("m7g.large", 2, 8192, 29, Arm64, 816, 64, From10To15),
    kind("m7g.xlarge", 4, 16_384, 58, Arm64, 1632, 62, From5To10),
    kind("m7g.2xlarge", 8, 32_768, 58, Arm64, 3264, 64, From5To10),
    kind("c5.large", 2, 4096, 29, Amd64, 850, 59, Below5),
    kind("c5.xlarge", 4, 8192, 58, Amd64, 1700, 56, Below5),
    kind("c5.2xlarge", 8, 16_384, 58, Amd64, 3400, 56, From5To10),
    kind("c6i.large", 2, 4096, 29, Amd64, 850, 63, From5To10),
    kind("c6i.xlarge", 4, 8192, 58, Amd64, 1700, 60, From15To20),
    kind("c6i.2xlarge", 8, 16_384, 58, Amd64, 3400, 51, From5To10),
    kind("c6a.large", 2, 4096, 29, Amd64, 765, 62, From15To20),
    kind("c6a.xlarge", 4, 8192, 58, Amd64, 1530, 59, From15To20),
    kind("c6g.large", 2, 4096, 29, Arm64, 680, 59, From5To10),
    kind("c6g.xlarge", 4, 8192, 58, Arm64, 1360, 61, From5To10),
    kind("c6g.2xlarge", 8, 16_384, 58, Arm64, 2720, 66, Below5),
    kind("r5.large", 2, 16_384, 29, Amd64, 1260, 60, Below5),
    kind("r5.xlarge", 4, 32_768, 58, Amd64, 2520, 69, From15To20),
    kind("r5.2xlarge", 8, 65_536, 58, Amd64, 5040, 61, Above20),
    kind("r5a.large", 2, 16_384, 29, Amd64, 1130, 62, From5To10),
    kind("r5a.xlarge", 4, 32_768, 58, Amd64, 2260, 63, Above20),
    kind("r6i.large", 2, 16_384, 29, Amd64, 1260, 68, Above20),
    kind("r6i.xlarge", 4, 32_768, 58, Amd64, 2520, 58, Above20),
    kind("r6i.2xlarge", 8, 65_536, 58, Amd64, 5040, 55, Above20),
    kind("r6g.large", 2, 16_384, 29, Arm64, 1008, 70, From15To20),
    kind("r6g.xlarge", 4, 32_768, 58, Arm64, 2016, 65, Above20),
    kind("r6g.2xlarge", 8, 65_536, 58, Arm64, 4032, 63, Above20),
    kind("t3.large", 2, 8192, 35, Amd64, 832, 62, From5To10),
    kind("t3.xlarge", 4, 16_384, 58, Amd64, 1664, 60, From10To15),
];

#[expect(clippy::too_many_arguments, reason = "a row of the table")]
const fn kind(
    name: &'static str,
    vcpus: u32,
    memory_mib: u32,
    max_pods: u32,
    architecture: Architecture,
    on_demand: u32,
    savings: u32,
    interruption: InterruptionBand,
) -> Kind {
    Kind { name, vcpus, memory_mib, max_pods, architecture, on_demand, savings, interruption }
}

/// The type of this name.
pub(crate) fn kind_of(name: &InstanceType) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name.as_str())
}

/// Whether the region has this zone.
pub(super) fn has_zone(zone: &Zone) -> bool {
    ZONES.contains(&zone.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_and_stands_once() {
        let mut seen = std::collections::BTreeSet::new();
        for kind in KINDS {
            kind.name.parse::<InstanceType>().unwrap();
            assert!(seen.insert(kind.name), "{}", kind.name);
        }
        for zone in ZONES {
            zone.parse::<Zone>().unwrap();
        }
    }
}
