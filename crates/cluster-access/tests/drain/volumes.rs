//! Simulated: a real cluster detaches what is attached to no pod whenever it likes.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::{
    core::v1::{PersistentVolume, PersistentVolumeClaim},
    storage::v1::VolumeAttachment,
};
use kube::{Api, api::DeleteParams};
use serde_json::json;
use testkit::eventually_within;

use crate::stage::{PATIENCE, Stage};

async fn attach(stage: &Stage, name: &str, node: &str, volume: &str) -> Result<()> {
    let spec =
        json!({"attacher": "ebs.csi.aws.com", "nodeName": node, "source": {"persistentVolumeName": volume}});
    let attachment = json!({"metadata": {"name": name}, "spec": spec});
    stage.cluster.create::<VolumeAttachment>(&serde_json::from_value(attachment)?).await?;
    Ok(())
}

async fn detach(stage: &Stage, name: &str) -> Result<()> {
    let attachments: Api<VolumeAttachment> = Api::all(stage.cluster.client());
    attachments.delete(name, &DeleteParams::default()).await?;
    Ok(())
}

/// Makes a volume and a claim that is bound to it.
async fn claimed(stage: &Stage, name: &str) -> Result<()> {
    let size = json!({"storage": "1Gi"});
    let volume = json!({"metadata": {"name": name}, "spec": {
        "accessModes": ["ReadWriteOnce"], "capacity": size, "storageClassName": name, "hostPath": {"path": "/data"},
    }});
    stage.cluster.create::<PersistentVolume>(&serde_json::from_value(volume)?).await?;
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": name, "resources": {"requests": size}},
    });
    stage.create(claim).await?;
    let claims: Api<PersistentVolumeClaim> = stage.cluster.namespaced();
    eventually_within(PATIENCE, "the claim to be bound", async || {
        let status = claims.get(name).await.ok()?.status?;
        (status.phase.as_deref() == Some("Bound")).then_some(())
    })
    .await
}

#[tokio::test]
async fn volumes_count_until_they_are_detached() -> Result<()> {
    let stage = Stage::simulated().await?;
    attach(&stage, "one", &stage.node, "pv-1").await?;
    attach(&stage, "two", &stage.node, "pv-2").await?;
    attach(&stage, "elsewhere", &stage.other, "pv-3").await?;
    let drainer = stage.drainer();
    assert_eq!(drainer.volumes(&stage.node).await?, ["one", "two"]);
    detach(&stage, "two").await?;
    assert_eq!(drainer.volumes(&stage.node).await?, ["one"]);

    // What is not known is not taken for detached.
    stage.cluster.sim().context("a simulator")?.fail_next(10_000, 503)?;
    let unknown = drainer.volumes(&stage.node).await;
    ensure!(unknown.is_err(), "{unknown:?}");
    Ok(())
}

/// They stay attached as long as the machine is there, and nobody waits for them.
#[tokio::test]
async fn the_volumes_of_pods_that_stay_do_not_count() -> Result<()> {
    let stage = Stage::simulated().await?;
    for (kind, app) in [("DaemonSet", "logs"), ("Deployment", "web")] {
        claimed(&stage, app).await?;
        let mut template = stage.template(app);
        template["spec"]["volumes"] = json!([{"name": "v", "persistentVolumeClaim": {"claimName": app}}]);
        stage.run_with(kind, app, 1, template).await?;
        attach(&stage, app, &stage.node, app).await?;
    }
    assert_eq!(stage.drainer().volumes(&stage.node).await?, ["web"]);
    detach(&stage, "web").await?;
    ensure!(stage.drainer().volumes(&stage.node).await?.is_empty());
    Ok(())
}
