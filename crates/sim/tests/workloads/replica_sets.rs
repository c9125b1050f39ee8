//! Replica sets: adoption, release, ranking, status.

use anyhow::Result;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::common::{self, Objects, names, ready, template};

fn replica_set(name: &str, replicas: i64) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": name } },
            "template": template(name, "registry.k8s.io/pause:3.10"),
        },
    })
}

#[tokio::test]
async fn it_has_as_many_pods_as_it_asks_for() -> Result<()> {
    let cluster = common::cluster().await?;
    let (sets, pods) = (Objects::of(&cluster, "apps/v1", "ReplicaSet"), Objects::of(&cluster, "v1", "Pod"));
    let set = sets.create(replica_set("web", 3)).await?;
    let all = pods.until_all("app=web", |pods| ready(pods, 3)).await?;
    for pod in &all {
        let owner = &pod["metadata"]["ownerReferences"][0];
        assert_eq!(owner["uid"], set["metadata"]["uid"]);
        assert_eq!([&owner["controller"], &owner["blockOwnerDeletion"]], [&json!(true), &json!(true)]);
        assert_eq!(pod["metadata"]["generateName"], "web-");
    }
    let status = sets.until("web", |set| set["status"]["availableReplicas"] == 3).await?["status"].take();
    let expected = json!({
        "replicas": 3, "readyReplicas": 3, "availableReplicas": 3, "fullyLabeledReplicas": 3,
        "observedGeneration": 1, "terminatingReplicas": 0,
    });
    assert_eq!(status, expected);
    common::until_told(&cluster, "ReplicaSet", "web", "SuccessfulCreate", "Created pod: web-").await?;

    sets.patch("web", json!({ "spec": { "replicas": 1 } })).await?;
    pods.until_all("app=web", |pods| pods.len() == 1).await?;
    common::until_told(&cluster, "ReplicaSet", "web", "SuccessfulDelete", "Deleted pod: web-").await?;
    sets.until("web", |set| set["status"]["replicas"] == 1 && set["status"]["terminatingReplicas"] == 0)
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_deleted_pod_is_replaced() -> Result<()> {
    let cluster = common::cluster().await?;
    let (sets, pods) = (Objects::of(&cluster, "apps/v1", "ReplicaSet"), Objects::of(&cluster, "v1", "Pod"));
    sets.create(replica_set("web", 2)).await?;
    let before = names(&pods.until_all("app=web", |pods| ready(pods, 2)).await?);
    pods.delete(&before[0], &DeleteParams::default()).await?;
    let after = pods.until_all("app=web", |pods| pods.len() == 2 && ready(pods, 2)).await?;
    let after = names(&after);
    assert!(after.contains(&before[1]) && !after.contains(&before[0]), "{before:?} {after:?}");
    Ok(())
}

#[tokio::test]
async fn pods_are_adopted_and_released_by_their_labels() -> Result<()> {
    let cluster = common::cluster().await?;
    let (sets, pods) = (Objects::of(&cluster, "apps/v1", "ReplicaSet"), Objects::of(&cluster, "v1", "Pod"));
    let mut orphan = template("web", "registry.k8s.io/pause:3.10");
    orphan["metadata"]["name"] = "orphan".into();
    pods.create(orphan).await?;
    let set = sets.create(replica_set("web", 2)).await?;
    let uid = &set["metadata"]["uid"];
    pods.until("orphan", |pod| pod["metadata"]["ownerReferences"][0]["uid"] == *uid).await?;
    let all = names(&pods.until_all("app=web", |pods| ready(pods, 2)).await?);
    assert!(all.contains(&"orphan".to_owned()), "{all:?}");

    pods.patch("orphan", json!({ "metadata": { "labels": { "app": "other" } } })).await?;
    pods.until("orphan", |pod| pod["metadata"]["ownerReferences"].is_null()).await?;
    pods.until_all("app=web", |pods| ready(pods, 2)).await?;
    Ok(())
}

#[tokio::test]
async fn the_cheapest_pod_goes_first() -> Result<()> {
    let cluster = common::cluster().await?;
    let (sets, pods) = (Objects::of(&cluster, "apps/v1", "ReplicaSet"), Objects::of(&cluster, "v1", "Pod"));
    sets.create(replica_set("web", 3)).await?;
    let all = names(&pods.until_all("app=web", |pods| ready(pods, 3)).await?);
    let cost =
        json!({ "metadata": { "annotations": { "controller.kubernetes.io/pod-deletion-cost": "-5" } } });
    pods.patch(&all[1], cost).await?;
    sets.patch("web", json!({ "spec": { "replicas": 2 } })).await?;
    let left = names(&pods.until_all("app=web", |pods| pods.len() == 2).await?);
    assert_eq!(left, [all[0].as_str(), all[2].as_str()]);
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_made_is_told() -> Result<()> {
    let cluster = common::cluster().await?;
    let sets = Objects::of(&cluster, "apps/v1", "ReplicaSet");
    let mut set = replica_set("web", 1);
    set["spec"]["template"]["spec"]["serviceAccountName"] = "nobody".into();
    sets.create(set).await?;
    let is_told = |set: &Value| common::condition(set, "ReplicaFailure")["reason"] == "FailedCreate";
    sets.until("web", is_told).await?;
    common::until_told(&cluster, "ReplicaSet", "web", "FailedCreate", "Error creating: ").await?;
    sets.patch("web", json!({ "spec": { "replicas": 0 } })).await?;
    sets.until("web", |set| common::condition(set, "ReplicaFailure").is_null()).await?;
    Ok(())
}
