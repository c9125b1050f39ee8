//! The tags of what is launched.

use std::collections::BTreeMap;

use aws_sdk_autoscaling::types::AutoScalingGroup;
use aws_sdk_ec2::types::{
    LaunchTemplateTagSpecification, ResourceType, ResponseLaunchTemplateData, Tag, TagSpecification,
};
use cloud::Launch;

/// Tags of what AWS itself has made, such as CloudFormation. Nobody else may give them.
const RESERVED: &str = "aws:";

type Tags = BTreeMap<String, String>;

/// Those of the template, on the instance those that the group gives to each of its own (by `kubernetes.io/cluster/…` EKS knows its
/// nodes), and those of the launch, which win.
pub(super) fn of(
    launch: &Launch,
    group: &AutoScalingGroup,
    template: &ResponseLaunchTemplateData,
) -> Vec<TagSpecification> {
    let of_group = group.tags().iter().filter(|tag| tag.propagate_at_launch() == Some(true));
    let of_group = of_group.map(|tag| (tag.key(), tag.value())).filter_map(pair);
    let mut instance = of_template(template, &ResourceType::Instance);
    instance.extend(of_group);
    let mut volume = of_template(template, &ResourceType::Volume);
    let interface = of_template(template, &ResourceType::NetworkInterface);
    instance.extend(launch.tags.clone());
    volume.extend(launch.tags.clone());
    let all = [
        (ResourceType::Instance, instance),
        (ResourceType::Volume, volume),
        (ResourceType::NetworkInterface, interface),
    ];
    all.into_iter().filter(|(_, tags)| !tags.is_empty()).map(specification).collect()
}

fn of_template(template: &ResponseLaunchTemplateData, of: &ResourceType) -> Tags {
    let meant = template.tag_specifications().iter().filter(|tagged| tagged.resource_type() == Some(of));
    meant
        .flat_map(LaunchTemplateTagSpecification::tags)
        .map(|tag| (tag.key(), tag.value()))
        .filter_map(pair)
        .collect()
}

fn pair((key, value): (Option<&str>, Option<&str>)) -> Option<(String, String)> {
    let key = key.filter(|key| !key.starts_with(RESERVED))?;
    Some((key.to_owned(), value.unwrap_or_default().to_owned()))
}

fn specification((of, tags): (ResourceType, Tags)) -> TagSpecification {
    let tags = tags.into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
    TagSpecification::builder().resource_type(of).set_tags(Some(tags.collect())).build()
}
