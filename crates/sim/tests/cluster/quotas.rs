//! What is used of a quota.

use anyhow::Result;
use kube::api::DeleteParams;
use serde_json::json;
use testkit::Cluster;

use crate::common::{at_once, create, objects, until};

#[tokio::test]
async fn a_quota_tells_what_is_used_of_it() -> Result<()> {
    let cluster = Cluster::simulated_or_real(at_once()).await?;
    let (quotas, secrets) = (objects(&cluster, "v1", "ResourceQuota"), objects(&cluster, "v1", "Secret"));
    let hard = json!({ "count/secrets": "5", "requests.storage": "3Gi", "pods": "2" });
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "q" }, "spec": { "hard": hard },
    });
    create(&cluster, quota).await?;
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "c" },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
    });
    create(&cluster, claim).await?;
    create(&cluster, json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s" } })).await?;
    let used = |secrets: &str| json!({ "count/secrets": secrets, "requests.storage": "1Gi", "pods": "0" });
    let full = until(&quotas, "q", |quota| quota["status"]["used"] == used("1")).await?;
    assert_eq!(full["status"]["hard"], hard);
    secrets.delete("s", &DeleteParams::default()).await?;
    until(&quotas, "q", |quota| quota["status"]["used"] == used("0")).await?;
    Ok(())
}
