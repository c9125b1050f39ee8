//! Starting an instance by the launch template of a group.

mod interfaces;
mod tags;
mod template;

use aws_sdk_ec2::{
    operation::run_instances::builders::RunInstancesFluentBuilder,
    types::{
        InstanceMarketOptionsRequest, InstanceType, LaunchTemplateSpecification, MarketType, Placement,
        ResponseLaunchTemplateData, SpotInstanceType, SpotMarketOptions,
    },
};
use cloud::{CloudError, InstanceId, Launch, Lifecycle, Zone};

use crate::{
    AwsCloud,
    error::{refused, strange},
    instances::filter,
};

/// What EC2 says where the instance of a token is terminated
/// (<https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>).
const TERMINATED: &str = "IdempotentInstanceTerminated";

/// Where an instance is put.
enum Place {
    Subnet(String),
    /// The default subnet of the zone, for a group that names none.
    Zone(Zone),
}

impl AwsCloud {
    /// What Auto Scaling would do for the group, with the group's tags that are given to each instance; but outside of the group.
    /// Whatever is chosen is the same each time, as the same token is for the same request only.
    pub(crate) async fn start(&self, launch: &Launch) -> Result<InstanceId, CloudError> {
        let group = self.describe_group(&launch.group).await?;
        let group =
            group.ok_or_else(|| CloudError::NotFound { what: format!("the group {}", launch.group) })?;
        let template = self.template(&group, &launch.instance_type).await?;
        let place = self.place(group.vpc_zone_identifier(), &launch.zone).await?;
        let tags = tags::of(launch, &group, &template.data);
        let specification = LaunchTemplateSpecification::builder()
            .launch_template_id(&template.id)
            .version(template.version.to_string())
            .build();
        let call = || {
            let call = self.changes.ec2.run_instances().client_token(launch.token.as_str());
            let call = call.min_count(1).max_count(1).launch_template(specification.clone());
            let call = call.instance_type(InstanceType::from(launch.instance_type.as_str()));
            let call =
                call.set_image_id(template.image_id.clone()).set_tag_specifications(Some(tags.clone()));
            put(paid(call, launch.lifecycle), &place, &template.data).send()
        };
        if launch.lifecycle == Lifecycle::OnDemand && is_spot(&template.data) {
            let message = format!("the launch template of group {} asks for spot instances", launch.group);
            return Err(refused("InvalidParameterCombination", &message));
        }
        match self.ask(call).await {
            Ok(reservation) => id_of(reservation.instances()),
            Err(CloudError::Refused { code, .. }) if code == TERMINATED => self.terminated(launch).await,
            Err(error) => Err(error),
        }
    }

    /// The first subnet of the group in the zone.
    async fn place(&self, subnets: Option<&str>, zone: &Zone) -> Result<Place, CloudError> {
        let ids: Vec<&str> = subnets.unwrap_or_default().split(',').map(str::trim).collect();
        if ids.iter().all(|id| id.is_empty()) {
            return Ok(Place::Zone(zone.clone()));
        }
        let filters = [filter("subnet-id", &ids), filter("availability-zone", &[zone.as_str()])];
        let call = || self.ec2.describe_subnets().set_filters(Some(filters.to_vec())).send();
        let described = self.ask(call).await?;
        let first = described.subnets().iter().filter_map(|subnet| subnet.subnet_id()).min();
        let first = first
            .ok_or_else(|| refused("InvalidParameterValue", &format!("the group has no subnet in {zone}")))?;
        Ok(Place::Subnet(first.to_owned()))
    }

    /// The instance that a token has started and that has ended since.
    async fn terminated(&self, launch: &Launch) -> Result<InstanceId, CloudError> {
        let started = self.filtered(&[filter("client-token", &[launch.token.as_str()])]).await?;
        let started = started.into_iter().next().map(|instance| instance.id);
        started.ok_or_else(|| refused(TERMINATED, "the instance of this token is terminated"))
    }
}

fn id_of(instances: &[aws_sdk_ec2::types::Instance]) -> Result<InstanceId, CloudError> {
    let id = instances.first().and_then(|instance| instance.instance_id());
    id.and_then(|id| id.parse().ok()).ok_or_else(|| strange("an instance without an id"))
}

fn is_spot(template: &ResponseLaunchTemplateData) -> bool {
    let market = template.instance_market_options().and_then(|options| options.market_type());
    market == Some(&MarketType::Spot)
}

fn paid(call: RunInstancesFluentBuilder, lifecycle: Lifecycle) -> RunInstancesFluentBuilder {
    match lifecycle {
        Lifecycle::OnDemand => call,
        // For the list price at most, and gone when it is taken away: another is bought then.
        Lifecycle::Spot => {
            let once = SpotMarketOptions::builder().spot_instance_type(SpotInstanceType::OneTime).build();
            let options =
                InstanceMarketOptionsRequest::builder().market_type(MarketType::Spot).spot_options(once);
            call.instance_market_options(options.build())
        }
    }
}

/// EC2 takes a subnet beside a template with network interfaces only within these.
fn put(
    call: RunInstancesFluentBuilder,
    place: &Place,
    template: &ResponseLaunchTemplateData,
) -> RunInstancesFluentBuilder {
    match place {
        Place::Zone(zone) => call.placement(Placement::builder().availability_zone(zone.as_str()).build()),
        Place::Subnet(subnet) if template.network_interfaces().is_empty() => call.subnet_id(subnet),
        Place::Subnet(subnet) => {
            let interfaces = template.network_interfaces().iter();
            let interfaces = interfaces.map(|interface| interfaces::within(interface, subnet)).collect();
            call.set_network_interfaces(Some(interfaces))
        }
    }
}
