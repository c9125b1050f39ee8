//! The calls that read.

use cloud::{CloudError, EksCluster, GroupName, Instance, InstanceId, InstanceState, Offer, Price, Zone};
use jiff::Timestamp;

use super::catalog::{self, KINDS};
use super::faults::Operation;
use super::group::Group;
use super::prices;
use super::world::World;

impl World {
    /// The instance with this id, also when it was ended within the last hour (`DescribeInstances`).
    ///
    /// # Errors
    /// [`CloudError`] of a fault.
    pub fn instance(&mut self, now: Timestamp, id: &InstanceId) -> Result<Option<Instance>, CloudError> {
        self.read(now, Operation::Instance, |world| {
            let seen = world.instances.get(id).filter(|machine| machine.visible_at <= world.now);
            Ok(seen.map(|machine| machine.instance.clone()))
        })
    }

    /// All instances that have this tag and are not terminated, by their ids.
    ///
    /// # Errors
    /// [`CloudError`] of a fault.
    pub fn instances_tagged(&mut self, now: Timestamp, tag: &str) -> Result<Vec<Instance>, CloudError> {
        self.read(now, Operation::InstancesTagged, |world| {
            let seen = world.instances.values().filter(|machine| machine.visible_at <= world.now);
            let meant = seen.map(|machine| &machine.instance).filter(|instance| {
                instance.tags.contains_key(tag) && instance.state != InstanceState::Terminated
            });
            Ok(meant.cloned().collect())
        })
    }

    /// The Auto Scaling group of this name (`DescribeAutoScalingGroups`).
    ///
    /// # Errors
    /// [`CloudError`] of a fault.
    pub fn group(&mut self, now: Timestamp, name: &GroupName) -> Result<Option<cloud::Group>, CloudError> {
        self.read(now, Operation::Group, |world| Ok(world.groups.get(name).map(Group::told)))
    }

    /// Every type of instances that the zone has, with the prices of now.
    ///
    /// # Errors
    /// [`CloudError`] of a fault.
    pub fn offers(&mut self, now: Timestamp, zone: &Zone) -> Result<Vec<Offer>, CloudError> {
        self.read(now, Operation::Offers, |world| {
            if !catalog::has_zone(zone) {
                return Ok(Vec::new());
            }
            let offer = |kind: &catalog::Kind| Offer {
                instance_type: kind.name.parse().expect("the table has names of types"),
                zone: zone.clone(),
                vcpus: kind.vcpus,
                memory_mib: u64::from(kind.memory_mib),
                architecture: kind.architecture,
                burstable: kind.is_burstable(),
                // None of the table has any.
                has_accelerators: false,
                instance_store_gb: 0,
                on_demand: Some(Price(i64::from(kind.on_demand))),
                spot: Some(prices::spot(world.seed, kind, zone, world.now)),
                interruption: Some(kind.interruption),
            };
            Ok(KINDS.iter().map(offer).collect())
        })
    }

    /// The EKS cluster of this name (`DescribeCluster`).
    ///
    /// # Errors
    /// [`CloudError`] of a fault.
    pub fn eks_cluster(&mut self, now: Timestamp, name: &str) -> Result<Option<EksCluster>, CloudError> {
        self.read(now, Operation::EksCluster, |world| Ok(world.clusters.get(name).cloned()))
    }
}
