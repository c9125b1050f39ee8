//! What goes wrong on command, as the client sees it.

use std::time::Duration;

use anyhow::Result;
use cloud::{CloudChanges as _, CloudError, CloudReads as _, Lifecycle};
use sim::cloud::{Fault, FaultKind, Operation, Pool};
use simulated_cloud::Simulated;

use crate::common::{World, group, launch, settings};

fn next(operation: Operation, kind: FaultKind) -> Fault {
    Fault { operation: Some(operation), times: 1, kind }
}

#[tokio::test]
async fn a_launch_whose_answer_is_lost_is_found_again_by_its_token() -> Result<()> {
    let world = World::shop().await?;
    world.account().with(|world, _| world.add_fault(next(Operation::Launch, FaultKind::AnswerLost)));
    let launch = launch("one", Lifecycle::OnDemand);
    let answer = world.cloud.launch(&launch).await;
    assert!(matches!(answer, Err(CloudError::Unknown { .. })), "{answer:?}");
    let tagged = world.cloud.instances_tagged("kubesage.io/saga").await?;
    assert_eq!(tagged.len(), 1, "it was done");
    assert_eq!(world.cloud.launch(&launch).await?, tagged[0].id);
    assert_eq!(world.cloud.instances_tagged("kubesage.io/saga").await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn who_does_not_wait_for_an_answer_does_not_know() -> Result<()> {
    let world = World::shop().await?;
    let hasty = Simulated::new(simulated_cloud::Settings {
        timeout: Some(Duration::from_millis(500)),
        ..settings(world.sim())
    })?;
    hasty.credentials().await?;
    let delay = FaultKind::Delay { millis: 60_000 };
    world.account().with(|world, _| world.add_fault(next(Operation::Launch, delay)));
    let launch = launch("one", Lifecycle::OnDemand);
    let answer = hasty.launch(&launch).await;
    assert!(matches!(answer, Err(CloudError::Unknown { .. })), "{answer:?}");
    let id = world.cloud.launch(&launch).await?;
    assert_eq!(world.cloud.instances_tagged("kubesage.io/saga").await?[0].id, id);
    Ok(())
}

#[tokio::test]
async fn refusals_arrive_as_they_were_meant() -> Result<()> {
    let world = World::shop().await?;
    let launch = launch("one", Lifecycle::Spot);
    let pool = Pool {
        instance_type: launch.instance_type.clone(),
        zone: launch.zone.clone(),
        lifecycle: launch.lifecycle,
    };
    world.account().with(|world, _| world.begin_shortage(pool.clone()));
    let answer = world.cloud.launch(&launch).await;
    assert!(matches!(answer, Err(CloudError::Shortage { .. })), "{answer:?}");
    world.account().with(|world, _| world.end_shortage(&pool));
    for (kind, is_meant) in [
        (FaultKind::Throttled, (|error| matches!(error, CloudError::Throttled)) as fn(&CloudError) -> bool),
        (FaultKind::Denied, |error| matches!(error, CloudError::Denied { .. })),
        (FaultKind::RequestLost, |error| matches!(error, CloudError::Unknown { .. })),
    ] {
        world.account().with(|world, _| world.add_fault(next(Operation::Launch, kind)));
        let error = world.cloud.launch(&launch).await.expect_err("a fault");
        assert!(is_meant(&error), "{kind:?}: {error:?}");
    }
    assert!(world.cloud.instances_tagged("kubesage.io/saga").await?.is_empty());
    let id = world.cloud.launch(&launch).await?;
    world.instance(&id, |instance| instance.state == cloud::InstanceState::Running).await?;
    let full = world.account().with(|world, now| world.resize_group(now, &group("eks-core"), 2, 2));
    full?;
    let answer = world.cloud.attach(&group("eks-core"), &id).await;
    let Err(CloudError::Refused { code, message }) = answer else { panic!("{answer:?}") };
    assert_eq!(code, "ValidationError");
    assert!(message.contains("max-size=2"), "{message}");
    Ok(())
}

#[tokio::test]
async fn nobody_answers() -> Result<()> {
    let mut world = World::shop().await?;
    world.cloud.credentials().await?;
    world.cluster.stop().await;
    let answer = world.cloud.group(&group("eks-core")).await;
    assert!(matches!(answer, Err(CloudError::Unknown { .. })), "{answer:?}");
    Ok(())
}
