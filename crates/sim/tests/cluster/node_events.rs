//! What is told of nodes.

use anyhow::Result;
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::json;
use testkit::{Cluster, eventually};

use crate::common::{at_once, cluster_objects, node, resource};

#[tokio::test]
async fn nodes_come_are_cordoned_and_go() -> Result<()> {
    let cluster = Cluster::simulated(at_once()).await?;
    let name = node(&cluster, "a").await?;
    let nodes = cluster_objects(&cluster, "v1", "Node");
    let events: Api<DynamicObject> =
        Api::namespaced_with(cluster.client(), "default", &resource("v1", "Event"));
    let until_told = async |reason: &str, component: &str, message: &str| {
        let fields = format!("involvedObject.kind=Node,involvedObject.name={name},reason={reason}");
        let fields = ListParams::default().fields(&fields);
        let told = eventually(reason, async || events.list(&fields).await.ok()?.items.pop()).await?.data;
        assert_eq!((&told["message"], &told["source"]["component"]), (&json!(message), &json!(component)));
        anyhow::Ok(())
    };
    let is_now = |reason: &str| format!("Node {name} status is now: {reason}");
    let controller = "node-controller";
    let registered = format!("Node {name} event: Registered Node {name} in Controller");
    until_told("RegisteredNode", controller, &registered).await?;
    until_told("NodeReady", "kubelet", &is_now("NodeReady")).await?;

    for (cordoned, reason) in [(true, "NodeNotSchedulable"), (false, "NodeSchedulable")] {
        let patch = json!({ "spec": { "unschedulable": cordoned } });
        nodes.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        until_told(reason, "kubelet", &is_now(reason)).await?;
    }
    nodes.delete(&name, &DeleteParams::default()).await?;
    let removing = format!("Node {name} event: Removing Node {name} from Controller");
    until_told("RemovingNode", controller, &removing).await
}
