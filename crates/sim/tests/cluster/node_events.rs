//! What is told of nodes.

use anyhow::Result;
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::json;
use testkit::{Cluster, eventually};

use crate::common::{at_once, cluster_objects, node, resource};

/// Waits until an event says this of a node.
async fn until_told(
    cluster: &Cluster,
    node: &str,
    reason: &str,
    component: &str,
    message: &str,
) -> Result<()> {
    let events: Api<DynamicObject> =
        Api::namespaced_with(cluster.client(), "default", &resource("v1", "Event"));
    let fields = format!("involvedObject.kind=Node,involvedObject.name={node},reason={reason}");
    let fields = ListParams::default().fields(&fields);
    let told = eventually(reason, async || events.list(&fields).await.ok()?.items.pop()).await?.data;
    assert_eq!((&told["message"], &told["source"]["component"]), (&json!(message), &json!(component)));
    Ok(())
}

#[tokio::test]
async fn nodes_come_and_go() -> Result<()> {
    let cluster = Cluster::simulated_or_real(at_once()).await?;
    let name = cluster.node("a", &[]).await?;
    let registered = format!("Node {name} event: Registered Node {name} in Controller");
    until_told(&cluster, &name, "RegisteredNode", "node-controller", &registered).await?;
    cluster_objects(&cluster, "v1", "Node").delete(&name, &DeleteParams::default()).await?;
    let removing = format!("Node {name} event: Removing Node {name} from Controller");
    until_told(&cluster, &name, "RemovingNode", "node-controller", &removing).await
}

/// Simulated: a stand-in for a kubelet need not tell.
#[tokio::test]
async fn a_kubelet_tells_what_becomes_of_its_node() -> Result<()> {
    let cluster = Cluster::simulated(at_once()).await?;
    let name = node(&cluster, "a").await?;
    let is_now = async |reason: &str| {
        let message = format!("Node {name} status is now: {reason}");
        until_told(&cluster, &name, reason, "kubelet", &message).await
    };
    is_now("NodeReady").await?;
    let nodes = cluster_objects(&cluster, "v1", "Node");
    for (cordoned, reason) in [(true, "NodeNotSchedulable"), (false, "NodeSchedulable")] {
        let patch = json!({ "spec": { "unschedulable": cordoned } });
        nodes.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        is_now(reason).await?;
    }
    Ok(())
}
