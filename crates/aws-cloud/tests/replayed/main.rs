//! What moto does not model: AWS's answers to what it refuses, and to what it has no time for.

mod aws;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use aws_cloud::{Account, Timeouts};
use cloud::{
    CloudChanges as _, CloudError, CloudReads as _, GroupName, InstanceId, Launch, Lifecycle, Price,
};
use serde_json::json;

use aws::{Answer, Aws};

const GROUPS: &str = "<AutoScalingGroups><member><AutoScalingGroupName>shop</AutoScalingGroupName>\
    <LaunchTemplate><LaunchTemplateId>lt-1</LaunchTemplateId><Version>$Latest</Version></LaunchTemplate>\
    <MinSize>1</MinSize><MaxSize>2</MaxSize><DesiredCapacity>1</DesiredCapacity></member></AutoScalingGroups>";
const TEMPLATES: &str = "<launchTemplateVersionSet><item><launchTemplateId>lt-1</launchTemplateId>\
    <versionNumber>7</versionNumber><launchTemplateData><imageId>ami-1</imageId></launchTemplateData></item>\
    </launchTemplateVersionSet>";
const INSTANCES: &str = "<reservationSet><item><instancesSet><item><instanceId>i-0123456789abcdef0</instanceId>\
    <instanceType>m5.large</instanceType><placement><availabilityZone>us-east-1a</availabilityZone></placement>\
    <instanceState><code>48</code><name>terminated</name></instanceState>\
    <launchTime>2026-01-02T03:04:05.000Z</launchTime></item></instancesSet></item></reservationSet>";
const FULL: &str = "AutoScalingGroup shop has min-size=1, max-size=1, and desired-size=1.";

fn id() -> InstanceId {
    "i-0123456789abcdef0".parse().expect("an id")
}

fn group() -> GroupName {
    "shop".parse().expect("a name")
}

fn launch(lifecycle: Lifecycle) -> Result<Launch> {
    Ok(Launch {
        token: "ks-1-0".parse()?,
        group: group(),
        instance_type: "m5.large".parse()?,
        zone: "us-east-1a".parse()?,
        lifecycle,
        tags: BTreeMap::from([("kubesage:saga".to_owned(), "1".to_owned())]),
    })
}

/// AWS up to the launch, which it answers so.
async fn at_launch(answer: fn() -> Answer) -> Result<Aws> {
    Aws::new(move |action, _| match action {
        "DescribeAutoScalingGroups" => Answer::Told(GROUPS),
        "DescribeLaunchTemplateVersions" => Answer::Told(TEMPLATES),
        "DescribeInstances" => Answer::Told(INSTANCES),
        _ => answer(),
    })
    .await
}

fn mismatch() -> Answer {
    Answer::Ec2(400, "IdempotentParameterMismatch", "Arguments on this idempotent request")
}

/// The part of the suite's `a_token_launches_once` that moto has not.
#[tokio::test]
async fn a_token_is_for_one_launch() -> Result<()> {
    let answer = at_launch(mismatch).await?.cloud.launch(&launch(Lifecycle::Spot)?).await;
    ensure!(answer == Err(CloudError::TokenMismatch), "{answer:?}");

    let aws =
        at_launch(|| Answer::Ec2(400, "IdempotentInstanceTerminated", "the instance has been terminated"));
    let aws = aws.await?;
    ensure!(aws.cloud.launch(&launch(Lifecycle::Spot)?).await? == id());
    let asked = aws.last("DescribeInstances").context("it looks for the instance")?;
    ensure!(asked["Filter.1.Name"] == "client-token" && asked["Filter.1.Value.1"] == "ks-1-0", "{asked:?}");
    Ok(())
}

/// `$Latest` is another version by the time that the launch is repeated, and AWS refuses the token.
#[tokio::test]
async fn a_launch_is_the_same_when_its_template_has_changed() -> Result<()> {
    let started = "<reservationSet><item><instancesSet><item><instanceId>i-0123456789abcdef0</instanceId>\
        <instanceType>m5.large</instanceType><placement><availabilityZone>us-east-1a</availabilityZone></placement>\
        <instanceLifecycle>spot</instanceLifecycle><instanceState><code>16</code><name>running</name></instanceState>\
        <tagSet><item><key>kubesage:saga</key><value>1</value></item></tagSet>\
        <launchTime>2026-01-02T03:04:05.000Z</launchTime></item></instancesSet></item></reservationSet>";
    let aws = Aws::new(move |action, before| match (action, before) {
        ("DescribeAutoScalingGroups", _) => Answer::Told(GROUPS),
        ("DescribeLaunchTemplateVersions", _) => Answer::Told(TEMPLATES),
        // It is not to be seen at once.
        ("DescribeInstances", 0) => Answer::Told("<reservationSet/>"),
        ("DescribeInstances", _) => Answer::Told(started),
        _ => mismatch(),
    })
    .await?;
    let spot = launch(Lifecycle::Spot)?;
    let answer = aws.cloud.launch(&spot).await;
    ensure!(matches!(answer, Err(CloudError::Unknown { .. })), "{answer:?}");
    ensure!(aws.cloud.launch(&spot).await? == id());
    let others = Launch { tags: BTreeMap::from([("kubesage:saga".to_owned(), "2".to_owned())]), ..spot };
    ensure!(aws.cloud.launch(&others).await == Err(CloudError::TokenMismatch));
    Ok(())
}

#[tokio::test]
async fn a_launch_says_all_in_one_request() -> Result<()> {
    let launched = "<instancesSet><item><instanceId>i-0123456789abcdef0</instanceId></item></instancesSet>";
    let aws = Aws::new(move |action, _| match action {
        "DescribeAutoScalingGroups" => Answer::Told(GROUPS),
        "DescribeLaunchTemplateVersions" => Answer::Told(TEMPLATES),
        _ => Answer::Told(launched),
    })
    .await?;
    ensure!(aws.cloud.launch(&launch(Lifecycle::Spot)?).await? == id());
    let asked = aws.last("RunInstances").context("a launch")?;
    for (name, value) in [
        ("ClientToken", "ks-1-0"),
        ("InstanceType", "m5.large"),
        ("InstanceMarketOptions.MarketType", "spot"),
        ("InstanceMarketOptions.SpotOptions.SpotInstanceType", "one-time"),
        ("LaunchTemplate.LaunchTemplateId", "lt-1"),
        // The version that was read, of which everything else in the request is.
        ("LaunchTemplate.Version", "7"),
        ("MaxCount", "1"),
        ("Placement.AvailabilityZone", "us-east-1a"),
        ("TagSpecification.1.ResourceType", "instance"),
        ("TagSpecification.1.Tag.1.Key", "kubesage:saga"),
        ("TagSpecification.2.ResourceType", "volume"),
        ("TagSpecification.2.Tag.1.Value", "1"),
    ] {
        ensure!(asked.get(name).is_some_and(|told| told == value), "{name}: {asked:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_pool_without_capacity_is_told() -> Result<()> {
    let none = || Answer::Ec2(500, "InsufficientInstanceCapacity", "There is no Spot capacity available");
    let aws = at_launch(none).await?;
    let answer = aws.cloud.launch(&launch(Lifecycle::Spot)?).await;
    ensure!(matches!(answer, Err(CloudError::Shortage { .. })), "{answer:?}");
    ensure!(aws.times("RunInstances") == 1);
    Ok(())
}

/// The suite's `groups_keep_within_their_bounds` and `what_is_not_there_moves_nowhere`, as AWS answers.
#[tokio::test]
async fn groups_refuse() -> Result<()> {
    let aws = Aws::new(|action, _| match action {
        "DescribeAutoScalingInstances" => Answer::Told("<AutoScalingInstances/>"),
        _ => Answer::AutoScaling(400, "ValidationError", FULL),
    })
    .await?;
    let refused = CloudError::Refused { code: "ValidationError".to_owned(), message: FULL.to_owned() };
    for answer in [
        aws.cloud.attach(&group(), &id()).await,
        aws.cloud.detach(&group(), &id()).await,
        aws.cloud.terminate_in_group(&id()).await,
    ] {
        ensure!(answer.as_ref() == Err(&refused), "{answer:?}");
    }
    for action in ["DetachInstances", "TerminateInstanceInAutoScalingGroup"] {
        let asked = aws.last(action).context("a request")?;
        ensure!(asked["ShouldDecrementDesiredCapacity"] == "true", "{asked:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_its_group_ends_is_not_ended_again() -> Result<()> {
    let ending = "<AutoScalingInstances><member><InstanceId>i-0123456789abcdef0</InstanceId>\
        <LifecycleState>Terminating:Wait</LifecycleState></member></AutoScalingInstances>";
    let aws = Aws::new(move |_, _| Answer::Told(ending)).await?;
    aws.cloud.terminate_in_group(&id()).await?;
    ensure!(aws.times("TerminateInstanceInAutoScalingGroup") == 0);
    Ok(())
}

/// Of the second answer nobody could tell whether it is about what the first request has done.
#[tokio::test]
async fn a_change_is_sent_once_and_a_read_again() -> Result<()> {
    let aws = Aws::new(|_, _| Answer::Ec2(500, "InternalError", "An internal error has occurred")).await?;
    let answer = aws.cloud.terminate(&id()).await;
    ensure!(matches!(answer, Err(CloudError::Unknown { .. })), "{answer:?}");
    ensure!(aws.times("TerminateInstances") == 1);
    let answer = aws.cloud.instance(&id()).await;
    ensure!(matches!(answer, Err(CloudError::Unknown { .. })), "{answer:?}");
    ensure!(aws.times("DescribeInstances") == 2);
    Ok(())
}

/// A new instance is not to be seen everywhere at once: until then there is none.
#[tokio::test]
async fn what_is_not_to_be_seen_yet_is_none() -> Result<()> {
    let missing = "The instance ID 'i-0123456789abcdef0' does not exist";
    let aws = Aws::new(move |_, _| Answer::Ec2(400, "InvalidInstanceID.NotFound", missing)).await?;
    ensure!(aws.cloud.instance(&id()).await?.is_none());
    let answer = aws.cloud.terminate(&id()).await;
    let what = "The instance ID 'i-0123456789abcdef0'".to_owned();
    ensure!(answer == Err(CloudError::NotFound { what }), "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn all_pages_are_read() -> Result<()> {
    let first = "<nextToken>more</nextToken>\
        <reservationSet><item><instancesSet><item><instanceId>i-0123456789abcdef1</instanceId>\
        <instanceType>m5.large</instanceType><placement><availabilityZone>us-east-1a</availabilityZone></placement>\
        <instanceLifecycle>spot</instanceLifecycle><instanceState><code>16</code><name>running</name></instanceState>\
        <launchTime>2026-01-02T03:04:05.000Z</launchTime></item></instancesSet></item></reservationSet>";
    let aws = Aws::new(move |_, before| Answer::Told(if before == 0 { first } else { INSTANCES })).await?;
    let found = aws.cloud.instances_tagged("kubesage:saga").await?;
    ensure!(found.len() == 2 && found[0].lifecycle == Lifecycle::Spot && found[1].id == id(), "{found:?}");
    let asked = aws.last("DescribeInstances").context("a request")?;
    ensure!(asked["NextToken"] == "more" && asked["Filter.1.Value.1"] == "kubesage:saga", "{asked:?}");
    Ok(())
}

/// moto has no price list.
#[tokio::test]
async fn an_offer_has_its_prices() -> Result<()> {
    let types = "<instanceTypeSet><item><instanceType>m5.large</instanceType>\
        <processorInfo><supportedArchitectures><item>x86_64</item></supportedArchitectures></processorInfo>\
        <vCpuInfo><defaultVCpus>2</defaultVCpus></vCpuInfo><memoryInfo><sizeInMiB>8192</sizeInMiB></memoryInfo>\
        </item></instanceTypeSet>";
    let offerings = "<instanceTypeOfferingSet><item><instanceType>m5.large</instanceType></item>\
        <item><instanceType>m5.unheard</instanceType></item></instanceTypeOfferingSet>";
    let history = "<spotPriceHistorySet><item><instanceType>m5.large</instanceType><spotPrice>0.034500</spotPrice>\
        <timestamp>2026-01-02T03:04:05.000Z</timestamp></item></spotPriceHistorySet>";
    let line = json!({
        "product": {"attributes": {"instanceType": "m5.large"}},
        "terms": {"OnDemand": {"S.T": {"priceDimensions": {"S.T.R": {"unit": "Hrs", "pricePerUnit": {"USD": "0.0960000000"}}}}}},
    });
    let list = json!({"FormatVersion": "aws_v1", "PriceList": [line.to_string()]}).to_string();
    let aws = Aws::new(move |action, _| match action {
        "DescribeInstanceTypes" => Answer::Told(types),
        "DescribeInstanceTypeOfferings" => Answer::Told(offerings),
        "DescribeSpotPriceHistory" => Answer::Told(history),
        _ => Answer::Json(list.clone()),
    })
    .await?;
    for _ in 0..2 {
        let offers = aws.clients.of(&aws.account).offers(&"us-east-1a".parse()?).await?;
        ensure!(offers.len() == 1 && offers[0].vcpus == 2 && offers[0].memory_mib == 8192, "{offers:?}");
        ensure!(offers[0].on_demand == Some(Price(960)) && offers[0].spot == Some(Price(345)), "{offers:?}");
    }
    // Spot prices are those of now; the rest is kept.
    ensure!(aws.times("DescribeSpotPriceHistory") == 2 && aws.times("DescribeInstanceTypes") == 1);
    let asked = aws.last("GetProducts").context("it asks for list prices")?;
    ensure!(aws.times("GetProducts") == 1 && asked["Body"].contains("us-east-1"), "{asked:?}");
    Ok(())
}

#[tokio::test]
async fn too_many_calls_are_told() -> Result<()> {
    let aws = Aws::new(|_, _| Answer::Ec2(503, "RequestLimitExceeded", "Request limit exceeded.")).await?;
    ensure!(aws.cloud.terminate(&id()).await == Err(CloudError::Throttled));
    ensure!(aws.cloud.instance(&id()).await == Err(CloudError::Throttled));
    Ok(())
}

#[tokio::test]
async fn a_session_that_is_not_taken_is_replaced() -> Result<()> {
    let aws = Aws::new(|_, before| match before {
        0 => Answer::Ec2(401, "AuthFailure", "AWS was not able to validate the provided access credentials"),
        _ => Answer::Told(INSTANCES),
    })
    .await?;
    ensure!(aws.cloud.instance(&id()).await?.is_some());
    ensure!(aws.sts.assumed() == 2, "{}", aws.sts.assumed());
    ensure!(aws.cloud.credentials().await?.session_token() == Some("token"));
    Ok(())
}

#[tokio::test]
async fn a_role_that_cannot_be_assumed_is_told() -> Result<()> {
    let aws = Aws::for_role("Denied", Timeouts::default().idle, |_, _| Answer::Nothing).await?;
    for answer in [aws.cloud.instance(&id()).await.map(drop), aws.cloud.credentials().await.map(drop)] {
        ensure!(matches!(answer, Err(CloudError::Denied { .. })), "{answer:?}");
        ensure!(!format!("{answer:?}").contains("planted"), "{answer:?}");
    }
    ensure!(aws.times("DescribeInstances") == 0);
    Ok(())
}

/// Kubesage's own credentials: their operator renews them, and no operation fails for them.
#[tokio::test]
async fn who_has_no_credentials_of_its_own_tries_again() -> Result<()> {
    let aws = Aws::for_role("Expired", Timeouts::default().idle, |_, _| Answer::Nothing).await?;
    let launched = aws.cloud.launch(&launch(Lifecycle::Spot)?).await.map(drop);
    for answer in [aws.cloud.instance(&id()).await.map(drop), launched, aws.cloud.terminate(&id()).await] {
        let is_told = |message: &str| message.contains("Kubesage's own AWS credentials have expired");
        ensure!(matches!(&answer, Err(CloudError::Unknown { message }) if is_told(message)), "{answer:?}");
    }
    Ok(())
}

/// What takes too long to read takes nothing from the launch: it was surely not sent.
#[tokio::test]
async fn a_launch_is_sent_in_time_or_not_at_all() -> Result<()> {
    let read = Aws::new(|action, _| match action {
        "DescribeAutoScalingGroups" => Answer::Told(GROUPS),
        _ => Answer::Nothing,
    })
    .await?;
    let answer = read.cloud.launch(&launch(Lifecycle::Spot)?).await;
    let is_unsent = |message: &str| message.starts_with("nothing was sent");
    ensure!(matches!(&answer, Err(CloudError::Unknown { message }) if is_unsent(message)), "{answer:?}");
    ensure!(read.times("DescribeLaunchTemplateVersions") == 1 && read.times("RunInstances") == 0);

    let sent = at_launch(|| Answer::Nothing).await?;
    let answer = sent.cloud.launch(&launch(Lifecycle::Spot)?).await;
    ensure!(matches!(&answer, Err(CloudError::Unknown { message }) if !is_unsent(message)), "{answer:?}");
    ensure!(sent.times("RunInstances") == 1);
    Ok(())
}

/// All who work in an account share a client, and no two accounts do.
#[tokio::test]
async fn an_account_has_one_client() -> Result<()> {
    let aws = Aws::new(|_, _| Answer::Nothing).await?;
    let same = aws.clients.clone().of(&aws.account.clone());
    ensure!(Arc::ptr_eq(&same, &aws.cloud));
    let account = aws.account.clone();
    for other in [
        Account { role_arn: "arn:aws:iam::123456789012:role/Short".parse()?, ..account.clone() },
        Account { external_id: "kubesage-2".to_owned(), ..account.clone() },
        Account { region: "eu-west-1".to_owned(), ..account },
    ] {
        ensure!(!Arc::ptr_eq(&same, &aws.clients.of(&other)), "{other:?}");
        ensure!(!format!("{other:?}").contains("kubesage-"), "{other:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_nobody_asks_for_is_let_go() -> Result<()> {
    let idle = Duration::from_millis(1);
    let aws = Aws::for_role("Guarded", idle, |_, _| Answer::Nothing).await?;
    let removed = Account { region: "eu-west-1".to_owned(), ..aws.account.clone() };
    let removed = Arc::downgrade(&aws.clients.of(&removed));
    testkit::eventually("a client that is let go", async || {
        // Whoever asks for others has the old ones seen to.
        aws.clients.of(&aws.account);
        removed.upgrade().is_none().then_some(())
    })
    .await
}

#[tokio::test]
async fn nobody_is_waited_for_for_long() -> Result<()> {
    let aws = Aws::new(|_, _| Answer::Nothing).await?;
    let began = Instant::now();
    let answer = aws.cloud.attach(&group(), &id()).await;
    ensure!(matches!(answer, Err(CloudError::Unknown { .. })), "{answer:?}");
    ensure!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    Ok(())
}
