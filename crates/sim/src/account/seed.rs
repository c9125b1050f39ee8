//! The instances of the nodes that are there at first, and the Auto Scaling groups that they are in.

use std::collections::BTreeMap;

use cloud::{GroupName, Instance, InstanceId, InstanceState, InstanceType, Lifecycle, Zone};
use jiff::Timestamp;
use serde_json::Value;

use super::CloudOptions;
use crate::api::Api;
use crate::cloud::{GroupSettings, LaunchTemplate, Sizes, World};
use crate::kinds::NODES;

/// The tag that EKS gives the instances of a node group.
pub(super) const NODE_GROUP_TAG: &str = "eks:nodegroup-name";
/// A group may have so many instances more than it has at first,
const ROOM: u32 = 2;
/// and so many fewer.
const SLACK: u32 = 1;

/// The tag of the instances that join a cluster.
pub(super) fn cluster_tag(eks_cluster: &str) -> String {
    format!("kubernetes.io/cluster/{eks_cluster}")
}

/// The id of the instance that a node is.
pub(super) fn instance_of(node: &Value) -> Option<(Zone, InstanceId)> {
    let (zone, id) = node["spec"]["providerID"].as_str()?.strip_prefix("aws:///")?.split_once('/')?;
    Some((zone.parse().ok()?, id.parse().ok()?))
}

/// A world that has an instance for each node of a node group, in an Auto Scaling group for each node group.
pub(super) fn world(api: &Api, options: &CloudOptions) -> World {
    let mut world = World::new(options.seed, options.timing);
    let mut groups: BTreeMap<GroupName, (GroupSettings, Vec<Instance>)> = BTreeMap::new();
    for node in api.objects(NODES, None) {
        let Some((node_group, instance)) = read(&node) else { continue };
        let Ok(name) = format!("eks-{node_group}").parse::<GroupName>() else { continue };
        let (settings, instances) = groups
            .entry(name.clone())
            .or_insert_with(|| (settings(name, node_group, instance.lifecycle, options), Vec::new()));
        if !settings.zones.contains(&instance.zone) {
            settings.zones.push(instance.zone.clone());
        }
        let instance_types = &mut settings.template.instance_types;
        if !instance_types.contains(&instance.instance_type) {
            instance_types.push(instance.instance_type.clone());
        }
        let tags = settings.template.tags.clone();
        instances.push(Instance { tags, ..instance });
    }
    for (name, (mut settings, instances)) in groups {
        let size = u32::try_from(instances.len()).unwrap_or(u32::MAX);
        settings.sizes = Sizes { min: size.saturating_sub(SLACK), max: size + ROOM, desired: size };
        if let Err(error) = world.create_group(Timestamp::MIN, settings) {
            tracing::warn!(%error, group = %name, "an Auto Scaling group is left out");
            continue;
        }
        for instance in instances {
            world.plant(instance, &name);
        }
    }
    world
}

/// The name of a node's group and the instance that it is.
fn read(node: &Value) -> Option<(&str, Instance)> {
    let label = |name: &str| node["metadata"]["labels"][name].as_str();
    let (zone, id) = instance_of(node)?;
    let lifecycle = match label("eks.amazonaws.com/capacityType")? {
        "SPOT" => Lifecycle::Spot,
        _ => Lifecycle::OnDemand,
    };
    let instance = Instance {
        id,
        instance_type: label("node.kubernetes.io/instance-type")?.parse::<InstanceType>().ok()?,
        zone,
        lifecycle,
        state: InstanceState::Running,
        group: None,
        tags: BTreeMap::new(),
        launched_at: node["metadata"]["creationTimestamp"].as_str()?.parse().ok()?,
    };
    Some((label("eks.amazonaws.com/nodegroup")?, instance))
}

/// A group as EKS makes one for a node group.
fn settings(
    name: GroupName,
    node_group: &str,
    lifecycle: Lifecycle,
    options: &CloudOptions,
) -> GroupSettings {
    let tags = [
        (NODE_GROUP_TAG.to_owned(), node_group.to_owned()),
        ("eks:cluster-name".to_owned(), options.eks_cluster.clone()),
        (cluster_tag(&options.eks_cluster), "owned".to_owned()),
    ];
    GroupSettings {
        name,
        sizes: Sizes { min: 0, max: 0, desired: 0 },
        zones: Vec::new(),
        template: LaunchTemplate { instance_types: Vec::new(), lifecycle, tags: tags.into() },
        protect_new: false,
        hooks: Vec::new(),
    }
}
