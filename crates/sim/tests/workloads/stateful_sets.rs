//! Stateful sets: order, identity, claims, partitions.

use anyhow::{Context as _, Result};
use kube::api::DeleteParams;
use serde_json::{Value, json};
use testkit::Cluster;

use crate::common::{self, Objects, names, ready, template};

fn stateful_set(name: &str, replicas: i64) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": {
            "replicas": replicas,
            "serviceName": "peers",
            "selector": { "matchLabels": { "app": name } },
            "template": template(name, "registry.k8s.io/pause:3.10"),
        },
    })
}

fn stateful_sets(cluster: &Cluster) -> Objects {
    Objects::of(cluster, "apps/v1", "StatefulSet")
}

fn newer() -> Value {
    let container = json!({ "name": "main", "image": "registry.k8s.io/pause:3.9" });
    json!({ "spec": { "template": { "spec": { "containers": [container] } } } })
}

fn is_settled(set: &Value, replicas: i64) -> bool {
    let status = &set["status"];
    status["observedGeneration"] == set["metadata"]["generation"]
        && status["currentRevision"] == status["updateRevision"]
        && ["replicas", "readyReplicas", "availableReplicas", "currentReplicas", "updatedReplicas"]
            .iter()
            .all(|count| status[*count] == replicas)
}

#[tokio::test]
async fn pods_come_in_order_and_go_from_the_top() -> Result<()> {
    let cluster = common::cluster().await?;
    let (sets, pods) = (stateful_sets(&cluster), Objects::of(&cluster, "v1", "Pod"));
    sets.create(stateful_set("db", 3)).await?;
    let in_order = |pods: &[Value]| {
        let all = names(pods);
        assert_eq!(all, ["db-0", "db-1", "db-2"][..all.len()]);
        assert!(
            pods.len() < 2 || ready(&pods[..pods.len() - 1], pods.len() - 1),
            "the last one is not ready"
        );
        ready(pods, 3)
    };
    let all = pods.until_all("app=db", in_order).await?;
    let set = sets.until("db", |set| is_settled(set, 3)).await?;
    let labels = &all[1]["metadata"]["labels"];
    assert_eq!(labels["statefulset.kubernetes.io/pod-name"], "db-1");
    assert_eq!(labels["apps.kubernetes.io/pod-index"], "1");
    assert_eq!(labels["controller-revision-hash"], set["status"]["updateRevision"]);
    assert_eq!([&all[1]["spec"]["hostname"], &all[1]["spec"]["subdomain"]], ["db-1", "peers"]);
    let message = "create Pod db-0 in StatefulSet db successful";
    common::until_told(&cluster, "StatefulSet", "db", "SuccessfulCreate", message).await?;

    sets.patch("db", json!({ "spec": { "replicas": 1 } })).await?;
    pods.until_all("app=db", |pods| {
        let all = names(pods);
        assert_eq!(all, ["db-0", "db-1", "db-2"][..all.len()]);
        all.len() == 1
    })
    .await?;
    sets.until("db", |set| is_settled(set, 1)).await?;
    Ok(())
}

#[tokio::test]
async fn a_pod_keeps_its_name_and_claim() -> Result<()> {
    let cluster = common::cluster().await?;
    let (sets, pods) = (stateful_sets(&cluster), Objects::of(&cluster, "v1", "Pod"));
    let claims = Objects::of(&cluster, "v1", "PersistentVolumeClaim");
    let mut wanted = stateful_set("db", 2);
    wanted["spec"]["podManagementPolicy"] = "Parallel".into();
    wanted["spec"]["volumeClaimTemplates"] = json!([{
        "metadata": { "name": "data" },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": { "requests": { "storage": "1Gi" } },
        },
    }]);
    sets.create(wanted).await?;
    let all = pods.until_all("app=db", |pods| pods.len() == 2).await?;
    assert_eq!(names(&claims.list("app=db").await?), ["data-db-0", "data-db-1"]);
    let volume = json!({ "name": "data", "persistentVolumeClaim": { "claimName": "data-db-0" } });
    assert!(all[0]["spec"]["volumes"].as_array().context("volumes")?.contains(&volume));
    let uid = all[0]["metadata"]["uid"].clone();
    pods.delete("db-0", &DeleteParams::default().grace_period(0)).await?;
    pods.until("db-0", |pod| pod["metadata"]["uid"] != uid).await?;
    assert_eq!(claims.list("app=db").await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn an_update_stops_at_the_partition() -> Result<()> {
    let cluster = common::cluster().await?;
    let (sets, pods) = (stateful_sets(&cluster), Objects::of(&cluster, "v1", "Pod"));
    let mut wanted = stateful_set("db", 3);
    wanted["spec"]["updateStrategy"] =
        json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 2 } });
    sets.create(wanted).await?;
    sets.until("db", |set| is_settled(set, 3)).await?;
    sets.patch("db", newer()).await?;
    let images = |pods: &[Value]| -> Vec<String> {
        let image =
            |pod: &Value| pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default().to_owned();
        pods.iter().map(image).collect()
    };
    let (old, new) = ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.9");
    pods.until_all("app=db", |pods| ready(pods, 3) && images(pods) == [old, old, new]).await?;
    let half = sets.until("db", |set| set["status"]["updatedReplicas"] == 1).await?;
    assert_ne!(half["status"]["currentRevision"], half["status"]["updateRevision"]);
    // A pod below the partition comes back as it was.
    pods.delete("db-0", &DeleteParams::default()).await?;
    pods.until_all("app=db", |pods| ready(pods, 3) && images(pods) == [old, old, new]).await?;
    sets.patch("db", json!({ "spec": { "updateStrategy": { "rollingUpdate": { "partition": 0 } } } }))
        .await?;
    sets.until("db", |set| is_settled(set, 3)).await?;
    let revisions = Objects::of(&cluster, "apps/v1", "ControllerRevision").list("app=db").await?;
    assert_eq!(revisions.len(), 2);
    Ok(())
}

#[tokio::test]
async fn with_on_delete_only_deleted_pods_are_updated() -> Result<()> {
    let cluster = common::cluster().await?;
    let (sets, pods) = (stateful_sets(&cluster), Objects::of(&cluster, "v1", "Pod"));
    let mut wanted = stateful_set("db", 2);
    wanted["spec"]["updateStrategy"] = json!({ "type": "OnDelete" });
    sets.create(wanted).await?;
    sets.until("db", |set| set["status"]["availableReplicas"] == 2).await?;
    sets.patch("db", newer()).await?;
    sets.until("db", |set| set["status"]["observedGeneration"] == 2).await?;
    pods.delete("db-1", &DeleteParams::default()).await?;
    sets.until("db", |set| set["status"]["updatedReplicas"] == 1 && set["status"]["availableReplicas"] == 2)
        .await?;
    let first = pods.get("db-0").await?;
    assert_eq!(first["spec"]["containers"][0]["image"], "registry.k8s.io/pause:3.10");
    Ok(())
}
