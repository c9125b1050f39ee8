//! What the suite of all clouds does not ask.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use aws_sdk_ec2::types::Filter;
use aws_sdk_eks::types::VpcConfigRequest;
use cloud::testing::Fixture as _;
use cloud::{
    Architecture, CloudChanges as _, CloudError, CloudReads as _, GroupName, Launch, Lifecycle, Price,
};

use crate::account::{Account, TYPE, ZONE};

fn launch(account: &Account, group: &GroupName, lifecycle: Lifecycle) -> Result<Launch> {
    Ok(Launch {
        token: account.unique().parse()?,
        group: group.clone(),
        instance_type: TYPE.parse()?,
        zone: ZONE.parse()?,
        lifecycle,
        tags: BTreeMap::from([("kubesage:saga".to_owned(), "1".to_owned())]),
    })
}

/// The instance has the tags of the template, of the group and of the launch, its volume those of the launch, and both are where they
/// are to be.
pub(crate) async fn a_launch_is_told_whole(account: &Account) -> Result<()> {
    let group = account.group(0, 1, 0).await?;
    let id = account.cloud.launch(&launch(account, &group, Lifecycle::OnDemand)?).await?;
    let instance = account.cloud.instance(&id).await?.context("an instance")?;
    let mut tags = instance.tags.clone();
    // What EC2 adds for whoever looks.
    tags.retain(|key, _| !key.starts_with("aws:"));
    let expected = [("from", "template"), ("kubernetes.io/cluster/shop", "owned"), ("kubesage:saga", "1")];
    ensure!(tags == expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into(), "{tags:?}");

    let of_it = Filter::builder().name("attachment.instance-id").values(id.as_str()).build();
    let volumes = account.ec2.describe_volumes().filters(of_it).send().await?;
    let tags = volumes.volumes().first().context("a volume")?.tags();
    ensure!(tags.len() == 1 && tags[0].key() == Some("kubesage:saga"), "{tags:?}");

    let described = account.ec2.describe_instances().instance_ids(id.as_str()).send().await?;
    let told = &described.reservations()[0].instances()[0];
    ensure!(told.subnet_id() == Some(&account.subnet), "{told:?}");

    let spot = account.cloud.launch(&launch(account, &group, Lifecycle::Spot)?).await?;
    let spot = account.cloud.instance(&spot).await?.context("an instance")?;
    ensure!(spot.lifecycle == Lifecycle::Spot && instance.lifecycle == Lifecycle::OnDemand, "{spot:?}");
    Ok(())
}

/// EC2, and moto, refuse a subnet beside network interfaces.
pub(crate) async fn a_template_may_have_network_interfaces(account: &Account) -> Result<()> {
    let template = account.template_with_an_interface().await?;
    let group = account.group_by(&template, [0, 1, 0]).await?;
    let id = account.cloud.launch(&launch(account, &group, Lifecycle::OnDemand)?).await?;
    let described = account.ec2.describe_instances().instance_ids(id.as_str()).send().await?;
    let told = &described.reservations()[0].instances()[0];
    ensure!(told.subnet_id() == Some(&account.subnet), "{told:?}");
    Ok(())
}

/// The part of `groups_keep_within_their_bounds` that moto has. AWS says `ValidationError`, which is `Refused`; moto says
/// `ResourceContention`. It keeps no group at its minimum.
pub(crate) async fn a_full_group_takes_no_more(account: &Account) -> Result<()> {
    let group = account.group(1, 1, 1).await?;
    let id = account.cloud.launch(&launch(account, &group, Lifecycle::OnDemand)?).await?;
    let answer = account.cloud.attach(&group, &id).await;
    ensure!(answer == Err(CloudError::Throttled), "{answer:?}");
    let group = account.cloud.group(&group).await?.context("the group")?;
    ensure!(group.desired == 1 && group.member(&id).is_none(), "{group:?}");
    Ok(())
}

/// `what_is_not_there_moves_nowhere` of the suite: moto fails within itself (500), of which nobody can say what was done. AWS says
/// `ValidationError`.
pub(crate) async fn what_moto_fails_at_is_not_known(account: &Account) -> Result<()> {
    let (id, group) = ("i-0fedcba9876543210".parse()?, "kubesage-no-group".parse()?);
    for answer in [
        account.cloud.attach(&group, &id).await,
        account.cloud.detach(&group, &id).await,
        account.cloud.terminate_in_group(&id).await,
    ] {
        ensure!(matches!(answer, Err(CloudError::Unknown { .. })), "{answer:?}");
    }
    Ok(())
}

/// moto has the types and zones of AWS, one spot price for all of them (a thousandth of a cent), and no price list.
pub(crate) async fn a_zone_has_offers(account: &Account) -> Result<()> {
    let offers = account.cloud.offers(&ZONE.parse()?).await?;
    ensure!(offers.len() > 300, "{}", offers.len());
    let of =
        |name: &str| offers.iter().find(|offer| offer.instance_type.as_str() == name).context("an offer");
    let offer = of("m5.large")?;
    ensure!((offer.vcpus, offer.memory_mib) == (2, 8192) && !offer.burstable, "{offer:?}");
    ensure!(offer.architecture == Architecture::Amd64 && offer.spot == Some(Price(1)), "{offer:?}");
    ensure!(offer.on_demand.is_none() && offer.interruption.is_none(), "{offer:?}");
    let offer = of("t4g.large")?;
    ensure!(offer.architecture == Architecture::Arm64 && offer.burstable, "{offer:?}");
    ensure!(!offer.has_accelerators && offer.instance_store_gb == 0, "{offer:?}");
    let offer = of("m5d.large")?;
    ensure!(!offer.has_accelerators && offer.instance_store_gb == 75, "{offer:?}");
    for name in ["g4dn.xlarge", "f2.6xlarge", "inf1.xlarge"] {
        ensure!(of(name)?.has_accelerators, "{name}");
    }
    ensure!(account.cloud.offers(&"eu-west-1a".parse()?).await?.is_empty(), "another region's zone");
    Ok(())
}

/// AWS's authority is PEM in Base64, moto's is 1400 letters and digits: the cluster is found, and what it says is not believed.
pub(crate) async fn an_eks_cluster_is_found(account: &Account) -> Result<()> {
    let eks = aws_sdk_eks::Client::new(&account.sdk);
    let network = VpcConfigRequest::builder().subnet_ids(&account.subnet).build();
    let call = eks.create_cluster().name("shop").role_arn("arn:aws:iam::123456789012:role/eks");
    call.resources_vpc_config(network).send().await?;
    let answer = account.cloud.eks_cluster("shop").await;
    let is_authority = |message: &str| message.contains("certificate authority");
    ensure!(matches!(&answer, Err(CloudError::Unknown { message }) if is_authority(message)), "{answer:?}");
    Ok(())
}
