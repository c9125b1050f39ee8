//! Starting an instance by the launch template of a group.

mod interfaces;
mod tags;
mod template;

use aws_sdk_ec2::{
    operation::run_instances::builders::RunInstancesFluentBuilder,
    types::{
        InstanceMarketOptionsRequest, InstanceType, LaunchTemplateSpecification, MarketType, Placement,
        ResponseLaunchTemplateData, SpotInstanceType, SpotMarketOptions, TagSpecification,
    },
};
use cloud::{CloudError, Instance, InstanceId, Launch, Lifecycle, Zone};

use crate::{
    AwsCloud,
    error::{refused, strange, unknown},
    instances::filter,
};
use template::Template;

/// What EC2 says where the instance of a token is terminated
/// (<https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>).
const TERMINATED: &str = "IdempotentInstanceTerminated";

/// Where an instance is put.
enum Place {
    Subnet(String),
    /// The default subnet of the zone, for a group that names none.
    Zone(Zone),
}

/// What a launch takes, as group and template have it now.
pub(crate) struct Order {
    template: Template,
    place: Place,
    tags: Vec<TagSpecification>,
}

impl AwsCloud {
    /// Reads what Auto Scaling would start for the group: by its launch template, in its subnet, with those of its tags that are given to
    /// each instance.
    pub(crate) async fn order(&self, launch: &Launch) -> Result<Order, CloudError> {
        let group = self.describe_group(&launch.group).await?;
        let group =
            group.ok_or_else(|| CloudError::NotFound { what: format!("the group {}", launch.group) })?;
        let template = self.template(&group, &launch.instance_type).await?;
        if launch.lifecycle == Lifecycle::OnDemand && is_spot(&template.data) {
            let message = format!("the launch template of group {} asks for spot instances", launch.group);
            return Err(refused("InvalidParameterCombination", &message));
        }
        let place = self.place(group.vpc_zone_identifier(), &launch.zone).await?;
        let tags = tags::of(launch, &group, &template.data);
        Ok(Order { template, place, tags })
    }

    /// Starts the instance, outside of the group.
    ///
    /// The same launch is another request once somebody has changed the group or its template, such as the version that `$Latest` is:
    /// then AWS refuses its token, and what was started with it before is what was asked for.
    pub(crate) async fn buy(&self, launch: &Launch, order: Order) -> Result<InstanceId, CloudError> {
        let Order { template, place, tags } = order;
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
        match self.ask(call).await {
            Ok(reservation) => id_of(reservation.instances()),
            Err(CloudError::TokenMismatch) => match self.started(launch).await? {
                Some(instance) if is_by(launch, &instance) => Ok(instance.id),
                Some(_) => Err(CloudError::TokenMismatch),
                None => Err(unknown("what was started with this token is not to be seen yet")),
            },
            Err(CloudError::Refused { code, .. }) if code == TERMINATED => {
                let started = self.started(launch).await?.map(|instance| instance.id);
                started.ok_or_else(|| refused(TERMINATED, "the instance of this token is terminated"))
            }
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

    /// The instance that the launch's token has started.
    async fn started(&self, launch: &Launch) -> Result<Option<Instance>, CloudError> {
        let started = self.filtered(&[filter("client-token", &[launch.token.as_str()])]).await?;
        Ok(started.into_iter().next())
    }
}

/// Whether the instance is what the launch asks for, as far as the launch says that itself.
fn is_by(launch: &Launch, instance: &Instance) -> bool {
    let mut tags = launch.tags.iter();
    instance.instance_type == launch.instance_type
        && instance.zone == launch.zone
        && instance.lifecycle == launch.lifecycle
        && tags.all(|(key, value)| instance.tags.get(key) == Some(value))
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
