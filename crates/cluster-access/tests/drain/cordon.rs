//! Who has cordoned a node, and who opens it again.

use anyhow::{Result, ensure};
use cluster_access::drain::DrainError;
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::stage::Stage;

/// Another process of the same name sees that it was done on its behalf, others see that it was not on theirs.
#[tokio::test]
async fn a_cordon_may_be_repeated_and_says_whose_it_is() -> Result<()> {
    let stage = Stage::new().await?;
    let saga = stage.drainer().on_behalf_of("saga-1");
    let first = saga.cordon(&stage.node).await?;
    ensure!(first.changed && first.by.as_deref() == Some("saga-1"), "{first:?}");
    for drainer in [stage.drainer().on_behalf_of("saga-1"), stage.drainer()] {
        let again = drainer.cordon(&stage.node).await?;
        ensure!(!again.changed && again.by.as_deref() == Some("saga-1"), "{again:?}");
    }
    for _ in 0..2 {
        saga.uncordon(&stage.node).await?;
        ensure!(!stage.is_cordoned().await?);
    }
    // Nobody's name is left behind.
    Api::<Node>::all(stage.cluster.client()).cordon(&stage.node).await?;
    let others = saga.cordon(&stage.node).await?;
    ensure!(!others.changed && others.by.is_none(), "{others:?}");
    for gone in [saga.cordon("nope").await.map(drop), saga.uncordon("nope").await] {
        ensure!(matches!(&gone, Err(DrainError::NoSuchNode(node)) if node == "nope"), "{gone:?}");
    }
    stage.end().await
}

/// A request to cordon that was decided on before the node was opened, and arrives after that, is refused: also where there was nothing
/// to open.
#[tokio::test]
async fn a_late_cordon_does_not_close_an_opened_node() -> Result<()> {
    let stage = Stage::new().await?;
    let nodes: Api<Node> = Api::all(stage.cluster.client());
    for _ in 0..2 {
        let version = nodes.get(&stage.node).await?.metadata.resource_version;
        stage.drainer().uncordon(&stage.node).await?;
        let late = json!({"metadata": {"resourceVersion": version}, "spec": {"unschedulable": true}});
        let late = nodes.patch(&stage.node, &PatchParams::default(), &Patch::Merge(late)).await;
        ensure!(matches!(&late, Err(kube::Error::Api(status)) if status.code == 409), "{late:?}");
        ensure!(!stage.is_cordoned().await?);
    }
    stage.end().await
}
