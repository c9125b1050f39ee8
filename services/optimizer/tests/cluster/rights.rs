//! The rights that are asked for suffice, and none of them is too many.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::{StreamExt, stream};
use k8s_openapi::api::{
    core::v1::{PersistentVolume, PersistentVolumeClaim},
    storage::v1::VolumeAttachment,
};
use kube::Api;
use optimizer::{cluster::cluster_role_rules, reach::Drained};
use serde_json::{Value, json};
use sim::{CloudOptions, Seed};
use testkit::eventually_within;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::stage::{PATIENCE, Stage};

/// The rules without one verb of one resource, each with what is missing.
fn without_one() -> Vec<(String, Value)> {
    let rules = cluster_role_rules();
    let mut all = Vec::new();
    for (index, rule) in rules.as_array().unwrap().iter().enumerate() {
        for resource in rule["resources"].as_array().unwrap() {
            for verb in rule["verbs"].as_array().unwrap() {
                let mut less = rules.as_array().unwrap().clone();
                less.remove(index);
                let remaining = |list: &Value, but: &Value| -> Vec<Value> {
                    list.as_array().unwrap().iter().filter(|one| *one != but).cloned().collect()
                };
                for (resources, verbs) in [
                    (remaining(&rule["resources"], resource), rule["verbs"].as_array().unwrap().clone()),
                    (vec![resource.clone()], remaining(&rule["verbs"], verb)),
                ] {
                    if !resources.is_empty() && !verbs.is_empty() {
                        less.push(
                            json!({ "apiGroups": rule["apiGroups"], "resources": resources, "verbs": verbs }),
                        );
                    }
                }
                all.push((format!("{} {}", verb.as_str().unwrap(), resource.as_str().unwrap()), less.into()));
            }
        }
    }
    all
}

/// Everything that is read and done, where it needs every right.
async fn everything(rules: &Value) -> Result<()> {
    let stage = Stage::without_rights(Seed::Empty, CloudOptions::at_once()).await?;
    stage.bind(rules).await?;
    let (here, other) = stage.two_nodes().await?;
    // Four controllers with a pod each on the node, of which three have a budget that wants it.
    stage.nodes().cordon(&other).await?;
    for (api_version, resource, app) in [
        ("apps/v1", "deployments", "web"),
        ("apps/v1", "statefulsets", "db"),
        ("v1", "replicationcontrollers", "old"),
        ("apps/v1", "daemonsets", "logs"),
    ] {
        let mut spec =
            json!({ "selector": { "matchLabels": { "app": app } }, "template": stage.template(app) });
        match resource {
            "replicationcontrollers" => spec["selector"] = json!({ "app": app }),
            "statefulsets" => spec["serviceName"] = app.into(),
            _ => {}
        }
        if resource == "daemonsets" {
            claimed(&stage, app).await?;
            spec["template"]["spec"]["volumes"] =
                json!([{ "name": "v", "persistentVolumeClaim": { "claimName": app } }]);
        } else {
            spec["replicas"] = 1.into();
        }
        stage.create(api_version, resource, json!({ "metadata": { "name": app }, "spec": spec })).await?;
        stage.until_ready(app, &here, 1).await?;
        if resource != "daemonsets" {
            stage.budget(app, json!({ "minAvailable": 1 })).await?;
        }
    }
    stage.nodes().uncordon(&other).await?;
    stage.until_ready("logs", &other, 1).await?;
    for (name, volume) in [("of-logs", "logs"), ("of-web", "web")] {
        let attachment = json!({"metadata": {"name": name}, "spec": {
            "attacher": "ebs.csi.aws.com", "nodeName": here, "source": {"persistentVolumeName": volume},
        }});
        stage.cluster.create::<VolumeAttachment>(&serde_json::from_value(attachment)?).await?;
    }

    let (changes, never) = (stage.eks().changes(Uuid::from_u128(1)), CancellationToken::new());
    ensure!(changes.ready_nodes().await? == 2);
    ensure!(changes.missing(&here).await?.is_empty());
    ensure!(changes.volumes(&here).await? == ["of-web"], "that of the DaemonSet stays");
    let forecast = changes.forecast(&here).await?;
    ensure!(forecast.to_evict == 3, "{forecast:?}");
    for app in ["web", "db", "old"] {
        let budget = format!("budget {}/{app} never allows", stage.cluster.namespace());
        ensure!(forecast.hindrances.iter().any(|told| told.contains(&budget)), "{forecast:?}");
        let path = stage.cluster.path("policy/v1", &format!("poddisruptionbudgets/{app}"));
        stage.cluster.call("DELETE".parse()?, &path, None).await?;
    }
    changes.cordon(&here).await?;
    let drained = changes.drain(&here, Duration::from_secs(10), &never, &|_| {}).await?;
    ensure!(drained == Drained::Empty(3), "{drained:?}");
    changes.uncordon(&here).await?;

    stage.held((&here, &other)).await?;
    let drained = changes.drain(&here, Duration::from_secs(2), &never, &|_| {}).await?;
    let budget = format!("its budget {}/held allowed no disruption", stage.cluster.namespace());
    ensure!(
        matches!(&drained, Drained::Not(why) if why.contains(&budget) && why.contains("within 2 s")),
        "{drained:?}"
    );
    Ok(())
}

/// Makes a volume that any pod may use, and a claim that is bound to it.
async fn claimed(stage: &Stage, name: &str) -> Result<()> {
    let size = json!({ "storage": "1Gi" });
    let volume = json!({ "metadata": { "name": name }, "spec": {
        "accessModes": ["ReadWriteMany"], "capacity": size, "storageClassName": name, "hostPath": { "path": "/data" },
    }});
    stage.cluster.create::<PersistentVolume>(&serde_json::from_value(volume)?).await?;
    let claim = json!({ "metadata": { "name": name }, "spec": {
        "accessModes": ["ReadWriteMany"], "storageClassName": name, "resources": { "requests": size },
    }});
    stage.create("v1", "persistentvolumeclaims", claim).await?;
    let claims: Api<PersistentVolumeClaim> = stage.cluster.namespaced();
    eventually_within(PATIENCE, "the claim to be bound", async || {
        let status = claims.get(name).await.ok()?.status?;
        (status.phase.as_deref() == Some("Bound")).then_some(())
    })
    .await
}

#[tokio::test]
async fn they_suffice() -> Result<()> {
    everything(&cluster_role_rules()).await
}

#[tokio::test]
async fn without_any_one_of_them_something_breaks() -> Result<()> {
    let all = without_one();
    assert_eq!(all.len(), 14);
    let tried = stream::iter(all).map(|(missing, rules)| async move { (missing, everything(&rules).await) });
    let tried: Vec<_> = tried.buffer_unordered(2).collect().await;
    let needless: Vec<_> =
        tried.iter().filter(|(_, tried)| tried.is_ok()).map(|(missing, _)| missing).collect();
    ensure!(needless.is_empty(), "nothing needs {needless:?}");
    // What failed has failed for that, and not because the stage could not be set.
    for (missing, tried) in &tried {
        let error = tried.as_ref().unwrap_err().to_string();
        ensure!(!error.contains("waited"), "{missing}: {error}");
    }
    Ok(())
}
