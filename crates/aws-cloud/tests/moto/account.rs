//! An account of moto's, with what a group needs.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use aws_access::{Sessions, Sts, StsOptions};
use aws_cloud::{AwsCloud, Clients, Settings, Timeouts};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_autoscaling::types::{LaunchTemplateSpecification, Tag as GroupTag};
use aws_sdk_ec2::types::{
    LaunchTemplateInstanceNetworkInterfaceSpecificationRequest, LaunchTemplateTagSpecificationRequest,
    RequestLaunchTemplateData, ResourceType, Tag,
};
use aws_smithy_http_client::Builder;
use cloud::{CloudChanges, GroupName, InstanceType, Zone, testing::Fixture};
use testkit::Moto;

pub(crate) const ZONE: &str = "us-east-1b";
pub(crate) const TYPE: &str = "m5.large";

/// Whose cloud it is.
pub(crate) struct Account {
    pub(crate) cloud: Arc<AwsCloud>,
    pub(crate) sdk: SdkConfig,
    pub(crate) ec2: aws_sdk_ec2::Client,
    pub(crate) groups: aws_sdk_autoscaling::Client,
    pub(crate) subnet: String,
    subnets: String,
    template: String,
    names: AtomicU32,
    _moto: Moto,
}

impl Account {
    pub(crate) async fn new() -> Result<Self> {
        let moto = Moto::start().await?;
        // It asks nobody over TLS.
        let sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                "AKIA", "secret", None, None, "test",
            )))
            .http_client(Builder::new().build_http())
            .endpoint_url(moto.url())
            .build();
        let (ec2, groups) = (aws_sdk_ec2::Client::new(&sdk), aws_sdk_autoscaling::Client::new(&sdk));
        let vpc = ec2.create_vpc().cidr_block("10.0.0.0/16").send().await?;
        let vpc = vpc.vpc().and_then(|vpc| vpc.vpc_id()).context("a VPC")?.to_owned();
        let mut subnets = Vec::new();
        for (number, zone) in [(0, "us-east-1a"), (1, ZONE)] {
            let cidr = format!("10.0.{number}.0/24");
            let made =
                ec2.create_subnet().vpc_id(&vpc).cidr_block(cidr).availability_zone(zone).send().await?;
            subnets.push(made.subnet().and_then(|subnet| subnet.subnet_id()).context("a subnet")?.to_owned());
        }
        let images = ec2.describe_images().owners("amazon").send().await?;
        let image = images.images().first().and_then(|image| image.image_id()).context("an image")?;
        let tagged = LaunchTemplateTagSpecificationRequest::builder()
            .resource_type(ResourceType::Instance)
            .tags(Tag::builder().key("from").value("template").build())
            .build();
        let data = RequestLaunchTemplateData::builder().image_id(image).instance_type("m5.xlarge".into());
        let template = made(&ec2, "plain", data.tag_specifications(tagged).build()).await?;
        let cloud = cloud(&moto).await?;
        let (subnet, subnets) = (subnets[1].clone(), subnets.join(","));
        let names = AtomicU32::new(0);
        Ok(Self { cloud, sdk, ec2, groups, subnet, subnets, template, names, _moto: moto })
    }

    /// A template whose network interface has the default security group.
    pub(crate) async fn template_with_an_interface(&self) -> Result<String> {
        let images = self.ec2.describe_images().owners("amazon").send().await?;
        let image = images.images().first().and_then(|image| image.image_id()).context("an image")?;
        let interface = LaunchTemplateInstanceNetworkInterfaceSpecificationRequest::builder()
            .device_index(0)
            .description("of the template");
        let data = RequestLaunchTemplateData::builder().image_id(image).network_interfaces(interface.build());
        made(&self.ec2, "interface", data.build()).await
    }

    pub(crate) async fn group_by(&self, template: &str, sizes: [i32; 3]) -> Result<GroupName> {
        let name = self.unique();
        let template = LaunchTemplateSpecification::builder().launch_template_id(template).version("$Latest");
        let [min, max, desired] = sizes;
        let node_of = GroupTag::builder().key("kubernetes.io/cluster/shop").value("owned");
        let own = GroupTag::builder().key("own").value("group").propagate_at_launch(false);
        let call = self.groups.create_auto_scaling_group().auto_scaling_group_name(&name);
        let call = call.launch_template(template.build()).vpc_zone_identifier(&self.subnets);
        let call = call.tags(node_of.propagate_at_launch(true).build()).tags(own.build());
        call.min_size(min).max_size(max).desired_capacity(desired).send().await?;
        Ok(name.parse()?)
    }
}

async fn made(ec2: &aws_sdk_ec2::Client, name: &str, data: RequestLaunchTemplateData) -> Result<String> {
    let made =
        ec2.create_launch_template().launch_template_name(name).launch_template_data(data).send().await?;
    let id = made.launch_template().and_then(|template| template.launch_template_id());
    Ok(id.context("a launch template")?.to_owned())
}

async fn cloud(moto: &Moto) -> Result<Arc<AwsCloud>> {
    let credentials = Some(("AKIAEXAMPLE".to_owned(), "secret".to_owned().into()));
    let sts = Sts::new(&StsOptions { endpoint_url: Some(moto.url().parse()?), credentials }).await;
    let clients = Clients::new(Settings {
        sessions: Sessions::new(sts),
        endpoint_url: Some(moto.url().parse()?),
        // moto is slow beside other tests.
        timeouts: Timeouts {
            attempt: Duration::from_secs(30),
            call: Duration::from_secs(60),
            preparation: Duration::from_secs(30),
            ..Timeouts::default()
        },
        advisor: None,
    });
    Ok(clients.of(&aws_cloud::Account {
        role_arn: "arn:aws:iam::123456789012:role/Optimizer".parse()?,
        external_id: "kubesage-1".to_owned(),
        region: "us-east-1".to_owned(),
    }))
}

#[async_trait]
impl Fixture for Account {
    fn cloud(&self) -> &dyn CloudChanges {
        self.cloud.as_ref()
    }

    async fn group(&self, min: u32, max: u32, desired: u32) -> Result<GroupName> {
        self.group_by(&self.template, [min.try_into()?, max.try_into()?, desired.try_into()?]).await
    }

    fn instance_type(&self) -> InstanceType {
        TYPE.parse().expect("a type")
    }

    fn zone(&self) -> Zone {
        ZONE.parse().expect("a zone")
    }

    fn unique(&self) -> String {
        format!("suite-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// What moto begins it has done.
    async fn pass(&self) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
