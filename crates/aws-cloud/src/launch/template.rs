//! The launch template of a group.

use aws_sdk_autoscaling::types::{AutoScalingGroup, LaunchTemplateSpecification};
use aws_sdk_ec2::types::ResponseLaunchTemplateData;
use cloud::{CloudError, InstanceType};

use crate::{
    AwsCloud,
    error::{refused, strange},
};

/// One version of a template.
pub(super) struct Template {
    pub(super) id: String,
    pub(super) version: i64,
    pub(super) data: ResponseLaunchTemplateData,
    /// The image that the group has for the type, instead of that of the template.
    pub(super) image_id: Option<String>,
}

impl AwsCloud {
    pub(super) async fn template(
        &self,
        group: &AutoScalingGroup,
        instance_type: &InstanceType,
    ) -> Result<Template, CloudError> {
        let (specification, image_id) = specification(group, instance_type).ok_or_else(|| {
            let name = group.auto_scaling_group_name().unwrap_or_default();
            refused("ValidationError", &format!("group {name} has no launch template"))
        })?;
        let version = specification.version().unwrap_or("$Default");
        let call = || {
            let call = self.ec2.describe_launch_template_versions().versions(version);
            // AWS tells both of a template, and takes either.
            let call = match specification.launch_template_id() {
                Some(id) => call.launch_template_id(id),
                None => {
                    call.set_launch_template_name(specification.launch_template_name().map(str::to_owned))
                }
            };
            call.send()
        };
        let described = self.ask(call).await?;
        let told = described.launch_template_versions().first();
        let told = told.ok_or_else(|| strange("a launch template without this version"))?;
        let lacks = || strange("a launch template without its contents");
        Ok(Template {
            id: told.launch_template_id().ok_or_else(lacks)?.to_owned(),
            version: told.version_number().ok_or_else(lacks)?,
            data: told.launch_template_data().ok_or_else(lacks)?.clone(),
            image_id,
        })
    }
}

/// A group of several types may have a template or an image of its own for some of them.
fn specification<'a>(
    group: &'a AutoScalingGroup,
    instance_type: &InstanceType,
) -> Option<(&'a LaunchTemplateSpecification, Option<String>)> {
    if let Some(specification) = group.launch_template() {
        return Some((specification, None));
    }
    let of_many = group.mixed_instances_policy()?.launch_template()?;
    let own = of_many.overrides().iter().find(|own| own.instance_type() == Some(instance_type.as_str()));
    let specification = own.and_then(|own| own.launch_template_specification());
    let image_id = own.and_then(|own| own.image_id()).map(str::to_owned);
    Some((specification.or(of_many.launch_template_specification())?, image_id))
}

#[cfg(test)]
mod tests {
    use aws_sdk_autoscaling::types::{LaunchTemplate, LaunchTemplateOverrides, MixedInstancesPolicy};

    use super::*;

    fn named(id: &str) -> LaunchTemplateSpecification {
        LaunchTemplateSpecification::builder().launch_template_id(id).build()
    }

    #[test]
    fn a_type_may_have_a_template_of_its_own() {
        let own = LaunchTemplateOverrides::builder()
            .instance_type("m6g.large")
            .launch_template_specification(named("lt-arm"));
        let of_many =
            LaunchTemplate::builder().launch_template_specification(named("lt-all")).overrides(own.build());
        let policy = MixedInstancesPolicy::builder().launch_template(of_many.build()).build();
        let group = AutoScalingGroup::builder().mixed_instances_policy(policy).build();
        for (name, expected) in [("m6g.large", "lt-arm"), ("m5.large", "lt-all")] {
            let (found, _) = specification(&group, &name.parse().unwrap()).unwrap();
            assert_eq!(found.launch_template_id(), Some(expected));
        }
        assert!(
            specification(&AutoScalingGroup::builder().build(), &"m5.large".parse().unwrap()).is_none(),
            "a group of a launch configuration"
        );
    }
}
