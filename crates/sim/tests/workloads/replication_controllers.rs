//! Replication controllers: replica sets in older words.

use anyhow::Result;
use serde_json::json;

use crate::common::{self, Objects, ready, template};

#[tokio::test]
async fn it_has_as_many_pods_as_it_asks_for() -> Result<()> {
    let cluster = common::cluster().await?;
    let controllers = Objects::of(&cluster, "v1", "ReplicationController");
    let pods = Objects::of(&cluster, "v1", "Pod");
    // Its selector is that of its template.
    let spec = json!({ "replicas": 2, "template": template("web", "registry.k8s.io/pause:3.10") });
    let controller = controllers.create(json!({ "metadata": { "name": "web" }, "spec": spec })).await?;
    assert_eq!(controller["spec"]["selector"], json!({ "app": "web" }));
    for pod in pods.until_all("app=web", |pods| ready(pods, 2)).await? {
        let owner = &pod["metadata"]["ownerReferences"][0];
        assert_eq!(owner["kind"], "ReplicationController");
        assert_eq!(owner["uid"], controller["metadata"]["uid"]);
    }
    let ready = controllers.until("web", |it| it["status"]["availableReplicas"] == 2).await?;
    let expected = json!({
        "replicas": 2, "readyReplicas": 2, "availableReplicas": 2, "fullyLabeledReplicas": 2,
        "observedGeneration": 1,
    });
    assert_eq!(ready["status"], expected);

    controllers.patch("web", json!({ "spec": { "replicas": 1 } })).await?;
    pods.until_all("app=web", |pods| pods.len() == 1).await?;
    common::until_told(&cluster, "ReplicationController", "web", "SuccessfulDelete", "Deleted pod: web-")
        .await?;
    Ok(())
}
