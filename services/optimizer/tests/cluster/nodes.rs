//! What is read of nodes, and who opens them.

use anyhow::{Result, ensure};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kube::api::ListParams;
use optimizer::reach::{Node, ReachError};
use serde_json::json;
use uuid::Uuid;

use crate::stage::{Stage, instance_of};

#[tokio::test]
async fn nodes_are_found_by_their_instances() -> Result<()> {
    let stage = Stage::shop().await?;
    let reads = stage.eks().reads();
    let nodes = stage.nodes().list(&ListParams::default()).await?.items;
    assert_eq!(reads.ready_nodes().await?, nodes.len());
    for node in &nodes {
        let name = node.metadata.name.clone().unwrap();
        let found = reads.node_of(&instance_of(node)).await?;
        assert_eq!(found, Some(Node { name: name.clone(), is_ready: true, is_cordoned: false }));
        assert_eq!(reads.missing(&name).await?, [""; 0]);
        assert_eq!(reads.volumes(&name).await?, [""; 0]);
        ensure!(reads.forecast(&name).await?.to_evict > 0);
    }
    assert_eq!(reads.node_of(&"i-0123456789abcdef0".parse()?).await?, None);

    let name = nodes[0].metadata.name.clone().unwrap();
    stage.nodes().cordon(&name).await?;
    let found = reads.node_of(&instance_of(&nodes[0])).await?;
    ensure!(found.is_some_and(|node| node.is_cordoned));
    assert_eq!(reads.missing(&name).await?, ["it is cordoned"]);

    let attachment = json!({"metadata": {"name": "csi-1"}, "spec": {
        "attacher": "ebs.csi.aws.com", "nodeName": name, "source": {"persistentVolumeName": "pv-1"},
    }});
    stage.cluster.create::<VolumeAttachment>(&serde_json::from_value(attachment)?).await?;
    assert_eq!(reads.volumes(&name).await?, ["csi-1"]);
    Ok(())
}

#[tokio::test]
async fn what_somebody_else_has_cordoned_stays_so() -> Result<()> {
    let stage = Stage::empty().await?;
    let (node, _) = stage.two_nodes().await?;
    let eks = stage.eks();
    let (one, other) = (eks.changes(Uuid::from_u128(1)), eks.changes(Uuid::from_u128(2)));
    for _ in 0..2 {
        one.cordon(&node).await?;
    }
    other.cordon(&node).await?;
    other.uncordon(&node).await?;
    ensure!(stage.is_cordoned(&node).await?, "it is the first one's");
    // After a crash another process does it, on behalf of the same saga.
    let again = stage.eks().changes(Uuid::from_u128(1));
    for _ in 0..2 {
        again.uncordon(&node).await?;
        ensure!(!stage.is_cordoned(&node).await?);
    }
    stage.nodes().cordon(&node).await?;
    one.cordon(&node).await?;
    one.uncordon(&node).await?;
    ensure!(stage.is_cordoned(&node).await?, "it is the administrator's");
    Ok(())
}

#[tokio::test]
async fn a_node_that_is_gone_is_empty() -> Result<()> {
    let stage = Stage::empty().await?;
    let changes = stage.eks().changes(Uuid::from_u128(1));
    let never = tokio_util::sync::CancellationToken::new();
    let patience = std::time::Duration::from_secs(5);
    changes.uncordon("gone").await?;
    assert_eq!(changes.drain("gone", patience, &never, &|_| {}).await?, optimizer::reach::Drained::Empty(0));
    assert_eq!(changes.forecast("gone").await?, optimizer::reach::Forecast::default());
    assert_eq!(changes.missing("gone").await?, ["it is gone"]);
    assert_eq!(changes.cordon("gone").await, Err(ReachError::Refused("there is no node gone".to_owned())));
    Ok(())
}
