//! Deployments: rollouts, revisions, scaling, deadlines.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::common::{self, Objects, condition, ready, template};

const IMAGE: &str = "registry.k8s.io/pause:3.10";
const REVISION: &str = "deployment.kubernetes.io/revision";

fn deployment(name: &str, replicas: i64) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": name } },
            "template": template(name, IMAGE),
        },
    })
}

/// As `kubectl rollout status` sees it.
fn is_rolled_out(deployment: &Value, replicas: i64) -> bool {
    let status = &deployment["status"];
    status["observedGeneration"].as_i64() >= deployment["metadata"]["generation"].as_i64()
        && ["replicas", "updatedReplicas", "availableReplicas"].iter().all(|count| status[*count] == replicas)
        && condition(deployment, "Progressing")["reason"] == "NewReplicaSetAvailable"
}

fn image(image: &str) -> Value {
    json!({ "spec": { "template": { "spec": { "containers": [{ "name": "main", "image": image }] } } } })
}

fn revision(object: &Value) -> &str {
    object["metadata"]["annotations"][REVISION].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_new_deployment_becomes_available() -> Result<()> {
    let cluster = common::cluster().await?;
    let deployments = Objects::of(&cluster, "apps/v1", "Deployment");
    deployments.create(deployment("web", 3)).await?;
    let deployment = deployments.until("web", |deployment| is_rolled_out(deployment, 3)).await?;
    assert_eq!((revision(&deployment), &deployment["metadata"]["generation"]), ("1", &json!(1)));
    let sets = Objects::of(&cluster, "apps/v1", "ReplicaSet").list("app=web").await?;
    let [set] = sets.as_slice() else { anyhow::bail!("one replica set is enough: {sets:#?}") };
    let hash = set["metadata"]["labels"]["pod-template-hash"].as_str().context("a hash")?;
    assert_eq!(set["metadata"]["name"], format!("web-{hash}"));
    assert_eq!(set["spec"]["selector"]["matchLabels"], json!({ "app": "web", "pod-template-hash": hash }));
    let annotations = json!({
        REVISION: "1",
        "deployment.kubernetes.io/desired-replicas": "3",
        "deployment.kubernetes.io/max-replicas": "4",
    });
    assert_eq!(set["metadata"]["annotations"], annotations);
    let available = condition(&deployment, "Available");
    assert_eq!(available["reason"], "MinimumReplicasAvailable");
    assert_eq!(available["message"], "Deployment has minimum availability.");
    let message = format!("ReplicaSet \"web-{hash}\" has successfully progressed.");
    assert_eq!(condition(&deployment, "Progressing")["message"], message);
    let message = format!("Scaled up replica set web-{hash} from 0 to 3");
    common::until_told(&cluster, "Deployment", "web", "ScalingReplicaSet", &message).await?;
    Ok(())
}

#[tokio::test]
async fn an_update_never_goes_below_what_must_be_available() -> Result<()> {
    let cluster = common::cluster().await?;
    let deployments = Objects::of(&cluster, "apps/v1", "Deployment");
    let mut wanted = deployment("web", 4);
    wanted["spec"]["strategy"] =
        json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } });
    deployments.create(wanted).await?;
    deployments.until("web", |deployment| is_rolled_out(deployment, 4)).await?;
    deployments.patch("web", image("registry.k8s.io/pause:3.9")).await?;
    let always = |deployment: &Value| {
        let available = deployment["status"]["availableReplicas"].as_i64().unwrap_or_default();
        let replicas = deployment["status"]["replicas"].as_i64().unwrap_or_default();
        assert!(available >= 4 && replicas <= 5, "{}", deployment["status"]);
        is_rolled_out(deployment, 4)
    };
    let updated = deployments.until("web", always).await?;
    assert_eq!(revision(&updated), "2");
    // Old pods may still be on their way out.
    let all_new = |pods: &[Value]| {
        ready(pods, 4)
            && pods.iter().all(|pod| pod["spec"]["containers"][0]["image"] == "registry.k8s.io/pause:3.9")
    };
    Objects::of(&cluster, "v1", "Pod").until_all("app=web", all_new).await?;
    Ok(())
}

/// What `kubectl rollout undo` does: the template of an earlier replica set becomes the deployment's again.
#[tokio::test]
async fn the_old_template_finds_its_replica_set_again() -> Result<()> {
    let cluster = common::cluster().await?;
    let deployments = Objects::of(&cluster, "apps/v1", "Deployment");
    let sets = Objects::of(&cluster, "apps/v1", "ReplicaSet");
    deployments.create(deployment("web", 2)).await?;
    deployments.until("web", |deployment| is_rolled_out(deployment, 2)).await?;
    let first = sets.list("app=web").await?[0]["metadata"]["name"].clone();
    deployments.patch("web", image("registry.k8s.io/pause:3.9")).await?;
    deployments
        .until("web", |deployment| is_rolled_out(deployment, 2) && revision(deployment) == "2")
        .await?;
    deployments.patch("web", image(IMAGE)).await?;
    deployments
        .until("web", |deployment| is_rolled_out(deployment, 2) && revision(deployment) == "3")
        .await?;
    let sets = sets.list("app=web").await?;
    assert_eq!(sets.len(), 2);
    let active = sets.iter().find(|set| set["spec"]["replicas"] == 2).context("an active one")?;
    assert_eq!((&active["metadata"]["name"], revision(active)), (&first, "3"));
    assert_eq!(active["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"], "1");
    Ok(())
}

#[tokio::test]
async fn recreate_ends_the_old_pods_first() -> Result<()> {
    let cluster = common::cluster().await?;
    let deployments = Objects::of(&cluster, "apps/v1", "Deployment");
    let pods = Objects::of(&cluster, "v1", "Pod");
    let mut wanted = deployment("web", 3);
    wanted["spec"]["strategy"] = json!({ "type": "Recreate" });
    deployments.create(wanted).await?;
    deployments.until("web", |deployment| is_rolled_out(deployment, 3)).await?;
    deployments.patch("web", image("registry.k8s.io/pause:3.9")).await?;
    let never_mixed = |pods: &[Value]| {
        let mut images: Vec<_> =
            pods.iter().map(|pod| pod["spec"]["containers"][0]["image"].as_str()).collect();
        images.sort();
        images.dedup();
        assert!(images.len() <= 1, "{images:?}");
        ready(pods, 3) && images == [Some("registry.k8s.io/pause:3.9")]
    };
    pods.until_all("app=web", never_mixed).await?;
    deployments.until("web", |deployment| is_rolled_out(deployment, 3)).await?;
    Ok(())
}

#[tokio::test]
async fn a_paused_deployment_scales_but_does_not_roll() -> Result<()> {
    let cluster = common::cluster().await?;
    let deployments = Objects::of(&cluster, "apps/v1", "Deployment");
    let sets = Objects::of(&cluster, "apps/v1", "ReplicaSet");
    deployments.create(deployment("web", 2)).await?;
    deployments.until("web", |deployment| is_rolled_out(deployment, 2)).await?;
    deployments.patch("web", json!({ "spec": { "paused": true } })).await?;
    deployments
        .until("web", |deployment| condition(deployment, "Progressing")["reason"] == "DeploymentPaused")
        .await?;
    let mut change = image("registry.k8s.io/pause:3.9");
    change["spec"]["replicas"] = 4.into();
    deployments.patch("web", change).await?;
    let settled =
        deployments.until("web", |deployment| deployment["status"]["availableReplicas"] == 4).await?;
    assert_eq!(settled["status"]["updatedReplicas"], Value::Null);
    assert_eq!(sets.list("app=web").await?.len(), 1);
    deployments.patch("web", json!({ "spec": { "paused": false } })).await?;
    deployments.until("web", |deployment| is_rolled_out(deployment, 4)).await?;
    assert_eq!(sets.list("app=web").await?.len(), 2);
    Ok(())
}

/// In the middle of a rollout that cannot go on, more replicas go to both replica sets by their sizes.
#[tokio::test]
async fn scaling_in_the_middle_of_a_rollout_is_shared() -> Result<()> {
    let cluster = common::cluster().await?;
    let deployments = Objects::of(&cluster, "apps/v1", "Deployment");
    let sets = Objects::of(&cluster, "apps/v1", "ReplicaSet");
    let mut wanted = deployment("web", 10);
    wanted["spec"]["strategy"] =
        json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 3, "maxUnavailable": 2 } });
    deployments.create(wanted).await?;
    deployments.until("web", |deployment| is_rolled_out(deployment, 10)).await?;
    // No node has the label, so that new pods never run.
    let change = json!({ "spec": { "template": { "spec": { "nodeSelector": { "no": "node" } } } } });
    deployments.patch("web", change).await?;
    let sizes = |sets: &[Value]| {
        let mut sizes: Vec<_> = sets.iter().filter_map(|set| set["spec"]["replicas"].as_i64()).collect();
        sizes.sort_unstable();
        sizes
    };
    sets.until_all("app=web", |sets| sizes(sets) == [5, 8]).await?;
    deployments.patch("web", json!({ "spec": { "replicas": 15 } })).await?;
    // The example of the documentation of deployments: 3 of the 5 go to the old one, 2 to the new one.
    sets.until_all("app=web", |sets| sizes(sets) == [7, 11]).await?;
    Ok(())
}

#[tokio::test]
async fn old_replica_sets_are_kept_as_far_as_asked() -> Result<()> {
    let cluster = common::cluster().await?;
    let deployments = Objects::of(&cluster, "apps/v1", "Deployment");
    let mut wanted = deployment("web", 1);
    wanted["spec"]["revisionHistoryLimit"] = 1.into();
    deployments.create(wanted).await?;
    for number in 2..=4 {
        deployments.until("web", |deployment| is_rolled_out(deployment, 1)).await?;
        deployments.patch("web", image(&format!("registry.k8s.io/pause:3.{number}"))).await?;
        let expected = number.to_string();
        deployments.until("web", |deployment| revision(deployment) == expected).await?;
    }
    Objects::of(&cluster, "apps/v1", "ReplicaSet").until_all("app=web", |sets| sets.len() == 2).await?;
    Ok(())
}

#[tokio::test]
async fn a_rollout_that_takes_too_long_is_told() -> Result<()> {
    let cluster = common::cluster().await?;
    let deployments = Objects::of(&cluster, "apps/v1", "Deployment");
    let mut nowhere = deployment("web", 1);
    nowhere["spec"]["progressDeadlineSeconds"] = 10.into();
    nowhere["spec"]["template"]["spec"]["nodeSelector"] = json!({ "example.com/no": "node" });
    deployments.create(nowhere).await?;
    let unavailable = |deployment: &Value| {
        condition(deployment, "Available")["reason"] == "MinimumReplicasUnavailable"
            && condition(deployment, "Progressing")["reason"] == "ReplicaSetUpdated"
    };
    deployments.until("web", unavailable).await?;
    cluster.pass(Duration::from_secs(11)).await;
    let late = deployments
        .until("web", |deployment| condition(deployment, "Progressing")["status"] == "False")
        .await?;
    let progress = condition(&late, "Progressing");
    assert_eq!(progress["reason"], "ProgressDeadlineExceeded");
    assert!(progress["message"].as_str().is_some_and(|text| text.ends_with("has timed out progressing.")));
    Ok(())
}

#[tokio::test]
async fn a_pod_counts_as_available_after_a_while() -> Result<()> {
    let cluster = common::cluster().await?;
    let deployments = Objects::of(&cluster, "apps/v1", "Deployment");
    let mut wanted = deployment("web", 2);
    wanted["spec"]["minReadySeconds"] = 20.into();
    deployments.create(wanted).await?;
    let waiting = deployments.until("web", |deployment| deployment["status"]["readyReplicas"] == 2).await?;
    assert_eq!(waiting["status"]["availableReplicas"], Value::Null);
    cluster.pass(Duration::from_secs(20)).await;
    deployments.until("web", |deployment| is_rolled_out(deployment, 2)).await?;
    Ok(())
}
