//! Instances are nodes, and nodes are instances.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result};
use cloud::{CloudChanges as _, CloudReads as _, InstanceState, Lifecycle, MemberState};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::ListParams;
use sim::{CloudOptions, Options, Seed, Sim};
use testkit::eventually_within;

use crate::common::{PATIENCE, World, condition, group, instance_of, is_ready};

#[tokio::test]
async fn the_nodes_of_the_shop_are_instances_of_its_groups() -> Result<()> {
    let world = World::shop().await?;
    let nodes: Api<Node> = Api::all(world.cluster.client());
    for node in nodes.list(&ListParams::default()).await?.items {
        let id = instance_of(&node)?;
        let instance = world.cloud.instance(&id).await?.context("no such instance")?;
        let labels = node.metadata.labels.context("no labels")?;
        assert_eq!(labels["node.kubernetes.io/instance-type"], instance.instance_type.as_str());
        assert_eq!(labels["topology.kubernetes.io/zone"], instance.zone.as_str());
        let is_spot = labels["eks.amazonaws.com/capacityType"] == "SPOT";
        assert_eq!(is_spot, instance.lifecycle == Lifecycle::Spot);
        assert_eq!(instance.state, InstanceState::Running);
        let group_name = group(&format!("eks-{}", labels["eks.amazonaws.com/nodegroup"]));
        let told = world.cloud.group(&group_name).await?.context("no such group")?;
        assert_eq!((told.min, told.desired, told.max, told.members.len()), (1, 2, 4, 2));
        assert_eq!(told.member(&id).context("it is not in its group")?.state, MemberState::InService);
    }
    let offers = world.cloud.offers(&"us-east-1a".parse()?).await?;
    assert!(offers.len() > 25 && offers.iter().all(|offer| offer.spot < offer.on_demand), "{offers:?}");
    let cluster = world.cloud.eks_cluster("shop").await?.context("no cluster")?;
    assert_eq!((cluster.endpoint, cluster.certificate_authority), (world.sim().url(), world.sim().ca_pem()));
    Ok(())
}

#[tokio::test]
async fn a_launched_instance_becomes_a_node_and_goes_with_it() -> Result<()> {
    let world = World::shop().await?;
    let nodes: Api<Node> = Api::all(world.cluster.client());
    let before: BTreeSet<_> = nodes
        .list(&ListParams::default())
        .await?
        .items
        .into_iter()
        .filter_map(|node| node.metadata.name)
        .collect();
    let id = world.launched("one", Lifecycle::Spot).await?;
    let node = world.node(&id, is_ready).await?;
    let (name, labels) = (node.metadata.name.context("no name")?, node.metadata.labels.context("no labels")?);
    assert!(!before.contains(&name), "{name} is the name of another");
    assert_eq!(labels["node.kubernetes.io/instance-type"], "m6i.xlarge");
    assert_eq!(labels["topology.kubernetes.io/zone"], "us-east-1a");
    assert_eq!(labels["eks.amazonaws.com/capacityType"], "SPOT");
    assert_eq!(labels["eks.amazonaws.com/nodegroup"], "core");
    let daemons = ["aws-node", "kube-proxy", "node-exporter", "fluent-bit"];
    eventually_within(PATIENCE, "a pod of each daemon set", async || {
        let pods = world.pods(&name).await.ok()?;
        let runs = |daemon: &&str| {
            pods.iter().any(|pod| {
                let is_its = pod.metadata.name.as_ref().is_some_and(|name| name.starts_with(*daemon));
                let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
                is_its && phase == Some("Running")
            })
        };
        daemons.iter().all(runs).then_some(())
    })
    .await?;

    world.cloud.attach(&group("eks-core"), &id).await?;
    eventually_within(PATIENCE, "service", async || {
        let told = world.cloud.group(&group("eks-core")).await.ok()??;
        (told.member(&id)?.state == MemberState::InService).then_some(())
    })
    .await?;
    world.cloud.detach(&group("eks-core"), &id).await?;
    world.cloud.terminate(&id).await?;
    world.until_no_node(&id).await?;
    // For so long its pods could have been somebody's that is yet to be heard of.
    world.sim().clock().advance(Duration::from_secs(60));
    eventually_within(PATIENCE, "no pods", async || world.pods(&name).await.ok()?.is_empty().then_some(()))
        .await
}

#[tokio::test]
async fn a_node_takes_its_time_and_its_kubelet_dies_with_the_instance() -> Result<()> {
    let slow = Duration::from_hours(1);
    let mut options = CloudOptions { is_on: Some(true), join: slow, ready: slow, ..CloudOptions::default() };
    (options.timing.boot, options.timing.shutdown) = (slow, slow);
    let world = World::start(Seed::Shop, options).await?;
    let clock = world.sim().clock();
    let id = world.launched("one", Lifecycle::OnDemand).await?;
    world.instance(&id, |instance| instance.state == InstanceState::Pending).await?;
    clock.advance(slow);
    world.instance(&id, |instance| instance.state == InstanceState::Running).await?;
    assert!(world.find(&id).await.is_none(), "its kubelet is not there yet");
    clock.advance(slow + Duration::from_secs(60));
    world.node(&id, |node| condition(node).as_deref() == Some("False")).await?;
    clock.advance(slow + Duration::from_secs(60));
    world.node(&id, is_ready).await?;

    world.cloud.terminate(&id).await?;
    world.instance(&id, |instance| instance.state == InstanceState::ShuttingDown).await?;
    // Nobody hears of it any more: the node is told to be unknown.
    eventually_within(PATIENCE, "silence", async || {
        clock.advance(Duration::from_secs(20));
        let node = world.find(&id).await?;
        (condition(&node).as_deref() == Some("Unknown")).then_some(())
    })
    .await?;
    clock.advance(slow);
    world.until_no_node(&id).await
}

#[tokio::test]
async fn a_group_replaces_a_node_whose_instance_was_taken_away() -> Result<()> {
    let world = World::shop().await?;
    let told = world.cloud.group(&group("eks-spot")).await?.context("no such group")?;
    let taken = told.members[0].id.clone();
    let at = world.account().with(|world, now| world.interrupt(now, &taken))?;
    assert_eq!(world.account().with(|world, _| world.interruption(&taken)), Some(at));
    world.sim().clock().advance(Duration::from_secs(121));
    world.until_no_node(&taken).await?;
    let replaced = eventually_within(PATIENCE, "a replacement", async || {
        let told = world.cloud.group(&group("eks-spot")).await.ok()??;
        let works = told.members.iter().all(|member| member.state == MemberState::InService);
        (works && told.members.len() == 2 && told.member(&taken).is_none()).then_some(told)
    })
    .await?;
    assert_eq!(replaced.desired, 2);
    for member in &replaced.members {
        world.node(&member.id, is_ready).await?;
    }
    Ok(())
}

/// What knows no cloud has none.
#[tokio::test]
async fn only_the_shop_has_an_account_unless_one_is_asked_for() -> Result<()> {
    let has_one = async |options| anyhow::Ok(Sim::start(options).await?.account().is_some());
    assert!(has_one(Options::default()).await?);
    assert!(!has_one(Options { seed: Seed::Empty, ..Options::default() }).await?);
    let asked = CloudOptions { is_on: Some(false), ..CloudOptions::default() };
    assert!(!has_one(Options { cloud: asked, ..Options::default() }).await?);
    Ok(())
}
