//! How a cluster is entered, and what becomes of it when a token ends.

use std::time::Duration;

use anyhow::{Result, ensure};
use aws_access::{Sessions, Sts, StsOptions};
use cloud::{CloudReads as _, EksCluster};
use futures_util::future::join_all;
use optimizer::{
    cluster::{AccountCredentials as _, AssumedRole},
    reach::ReachError,
};
use sim::{
    CloudOptions, Seed,
    cloud::{Fault, FaultKind, Operation},
};
use testkit::ReplayedSts;

use crate::stage::Stage;

#[tokio::test]
async fn one_client_serves_until_its_token_ends() -> Result<()> {
    let stage = Stage::shop().await?;
    let eks = stage.eks();
    let reads = eks.reads();
    for nodes in join_all((0..8).map(|_| reads.ready_nodes())).await {
        assert_eq!(nodes, Ok(4));
    }
    assert_eq!(stage.asked(Operation::EksCluster), 1, "one made it, and the others waited");
    stage.pass(Duration::from_mins(13));
    assert_eq!(eks.reads().ready_nodes().await, Ok(4));
    assert_eq!(stage.asked(Operation::EksCluster), 1, "the token is good");
    stage.pass(Duration::from_mins(1));
    for nodes in join_all((0..8).map(|_| reads.ready_nodes())).await {
        assert_eq!(nodes, Ok(4));
    }
    assert_eq!(stage.asked(Operation::EksCluster), 2, "another one was made, once");
    Ok(())
}

#[tokio::test]
async fn a_session_that_has_ended_is_begun_again() -> Result<()> {
    let stage = Stage::shop().await?;
    let reads = stage.eks().reads();
    for _ in 0..3 {
        assert_eq!(reads.ready_nodes().await, Ok(4));
        stage.account().end_sessions();
    }
    assert_eq!(reads.ready_nodes().await, Ok(4));
    assert_eq!(stage.asked(Operation::EksCluster), 4);
    // And who cannot get in any more, can perhaps later.
    stage.account().end_sessions();
    stage.account().with(|world, _| world.add_fault(fault(FaultKind::Throttled)));
    let throttled = reads.ready_nodes().await;
    ensure!(matches!(throttled, Err(ReachError::Unknown(_))), "{throttled:?}");
    assert_eq!(reads.ready_nodes().await, Ok(4));
    Ok(())
}

/// They end a minute before they are used for the last time: each call has another.
#[tokio::test]
async fn sessions_may_be_short() -> Result<()> {
    let cloud = CloudOptions { session: Duration::from_secs(50), ..CloudOptions::at_once() };
    let stage = Stage::without_rights(Seed::Shop, cloud).await?;
    stage.bind(&optimizer::cluster::cluster_role_rules()).await?;
    let reads = stage.eks().reads();
    for _ in 0..3 {
        assert_eq!(reads.ready_nodes().await, Ok(4));
    }
    assert_eq!(stage.asked(Operation::EksCluster), 3);
    Ok(())
}

fn fault(kind: FaultKind) -> Fault {
    Fault { operation: Some(Operation::EksCluster), times: 1, kind }
}

#[tokio::test]
async fn who_has_no_rights_is_refused() -> Result<()> {
    let stage = Stage::without_rights(Seed::Shop, CloudOptions::at_once()).await?;
    let (reads, changes) = (stage.eks().reads(), stage.eks().changes(uuid::Uuid::from_u128(1)));
    let node =
        stage.nodes().list(&kube::api::ListParams::default()).await?.items[0].metadata.name.clone().unwrap();
    let never = tokio_util::sync::CancellationToken::new();
    for refused in [
        reads.ready_nodes().await.map(drop),
        reads.missing(&node).await.map(drop),
        reads.forecast(&node).await.map(drop),
        reads.volumes(&node).await.map(drop),
        changes.cordon(&node).await,
        changes.uncordon(&node).await,
        changes.drain(&node, Duration::from_secs(5), &never, &|_| {}).await.map(drop),
    ] {
        let Err(ReachError::Refused(why)) = refused else { panic!("{refused:?}") };
        ensure!(why.contains("403") && why.contains("KubesageOptimizer"), "{why}");
    }
    Ok(())
}

#[tokio::test]
async fn a_cluster_that_is_not_there_or_does_not_know_us_is_refused() -> Result<()> {
    let stage = Stage::shop().await?;
    let nowhere = stage.eks_named("nope").reads().ready_nodes().await;
    assert_eq!(nowhere, Err(ReachError::NoCluster("there is no EKS cluster nope in us-east-1".to_owned())));

    // It is told to be this one, and takes no token that is for another.
    let told = stage.cloud.eks_cluster("shop").await?.unwrap();
    let other = EksCluster { name: "other".to_owned(), ..told };
    stage.account().with(|world, _| world.set_eks_cluster(other));
    let unknown = stage.eks_named("other").reads().ready_nodes().await;
    let Err(ReachError::Refused(why)) = unknown else { panic!("{unknown:?}") };
    ensure!(why.contains("access entry"), "{why}");

    stage.account().with(|world, _| world.add_fault(fault(FaultKind::Denied)));
    let denied = stage.eks().reads().ready_nodes().await;
    ensure!(matches!(denied, Err(ReachError::Refused(_))), "{denied:?}");
    Ok(())
}

#[tokio::test]
async fn what_may_work_later_is_unknown() -> Result<()> {
    let stage = Stage::shop().await?;
    let reads = stage.eks().reads();
    assert_eq!(reads.ready_nodes().await, Ok(4));
    for status in [429, 500, 503, 504] {
        stage.sim().fail_next(1, status)?;
        let unknown = reads.ready_nodes().await;
        ensure!(matches!(&unknown, Err(ReachError::Unknown(_))), "{status}: {unknown:?}");
        assert_eq!(reads.ready_nodes().await, Ok(4));
    }
    // A cluster that has known us, and does not now, may again.
    stage.sim().fail_next(2, 401)?;
    let unknown = reads.ready_nodes().await;
    ensure!(matches!(&unknown, Err(ReachError::Unknown(_))), "{unknown:?}");
    assert_eq!(reads.ready_nodes().await, Ok(4));
    Ok(())
}

#[tokio::test]
async fn a_cluster_that_has_moved_is_found_again() -> Result<()> {
    let stage = Stage::shop().await?;
    let true_one = stage.cloud.eks_cluster("shop").await?.unwrap();
    let tell = |cluster: EksCluster| stage.account().with(|world, _| world.set_eks_cluster(cluster));
    tell(EksCluster { endpoint: "https://127.0.0.1:1".to_owned(), ..true_one.clone() });
    let reads = stage.eks().reads();
    let away = reads.ready_nodes().await;
    ensure!(matches!(&away, Err(ReachError::Unknown(_))), "{away:?}");
    tell(true_one.clone());
    assert_eq!(reads.ready_nodes().await, Ok(4), "it asks where it is now");

    for (endpoint, part) in [
        ("http://127.0.0.1:1", "endpoint must begin with https://"),
        ("https://169.254.169.254", "link-local"),
        ("nonsense", "endpoint"),
    ] {
        tell(EksCluster { endpoint: endpoint.to_owned(), ..true_one.clone() });
        let refused = stage.eks().reads().ready_nodes().await;
        let Err(ReachError::Refused(why)) = refused else { panic!("{refused:?}") };
        ensure!(why.contains(part), "{why}");
    }
    tell(EksCluster { certificate_authority: "nonsense".to_owned(), ..true_one });
    let refused = stage.eks().reads().ready_nodes().await;
    ensure!(matches!(&refused, Err(ReachError::Refused(why)) if why.contains("authority")), "{refused:?}");
    Ok(())
}

/// Those of a role in an account of AWS: one session serves until it is forgotten.
#[tokio::test]
async fn a_role_of_an_account_gives_credentials() -> Result<()> {
    let aws = ReplayedSts::start().await?;
    let options = StsOptions {
        endpoint_url: Some(aws.url().parse()?),
        credentials: Some(("AKIA".to_owned(), "secret".into())),
    };
    let sessions = Sessions::new(Sts::new(&options).await);
    let role = |name: &str| {
        let arn = format!("arn:aws:iam::123456789012:role/{name}").parse().unwrap();
        AssumedRole::new(sessions.clone(), arn, "kubesage-1".to_owned())
    };
    let guarded = role("Guarded");
    let first = guarded.credentials().await?;
    assert_eq!(guarded.credentials().await?.access_key_id(), first.access_key_id());
    guarded.forget().await;
    assert_ne!(guarded.credentials().await?.access_key_id(), first.access_key_id());
    for name in ["Denied", "Unknown"] {
        let refused = role(name).credentials().await;
        ensure!(matches!(refused, Err(ReachError::Refused(_))), "{name}: {refused:?}");
    }
    for name in ["Throttled", "Expired"] {
        let unknown = role(name).credentials().await;
        ensure!(matches!(unknown, Err(ReachError::Unknown(_))), "{name}: {unknown:?}");
    }
    Ok(())
}
