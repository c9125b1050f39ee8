use std::{fs, os::unix::fs::PermissionsExt};

use anyhow::{Context, Result};
use k8s_openapi::api::{
    core::v1::{ConfigMap, Namespace},
    storage::v1::StorageClass,
};
use kube::{Api, ResourceExt, api::PostParams};
use sim::{Options, Seed};

use super::Cluster;
use crate::eventually;

fn empty() -> Options {
    Options { seed: Seed::Empty, ..Options::default() }
}

#[tokio::test]
async fn a_test_has_a_namespace_and_a_kubeconfig_of_its_own() -> Result<()> {
    let cluster = Cluster::simulated_or_real(empty()).await?;
    let mut config = ConfigMap::default();
    config.metadata.name = Some("mine".to_owned());
    let created = cluster.namespaced().create(&PostParams::default(), &config).await?;
    assert_eq!(created.namespace().as_deref(), Some(cluster.namespace()));
    let mode = fs::metadata(cluster.kubeconfig())?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let mut class = StorageClass { provisioner: "example.com/none".to_owned(), ..StorageClass::default() };
    class.metadata.name = Some(cluster.unique("fast"));
    cluster.create(&class).await?;
    Ok(())
}

/// A simulated cluster stands in for the real one; it must be able to answer while the test's thread cleans up.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_cluster_is_left_as_it_was() -> Result<()> {
    let real = Cluster::simulated(empty()).await?;
    let namespaces = Api::<Namespace>::all(real.client());
    let cluster = Cluster::real(real.kubeconfig()).await?;
    assert!(cluster.sim().is_none());
    assert!(namespaces.get_opt(cluster.namespace()).await?.is_some());
    let mut class = StorageClass { provisioner: "example.com/none".to_owned(), ..StorageClass::default() };
    class.metadata.name = Some(cluster.unique("fast"));
    let class = cluster.create(&class).await?.metadata.name.context("it has a name")?;
    let own = cluster.namespace().to_owned();
    hold(&cluster).await?;
    drop(cluster);
    assert!(Api::<StorageClass>::all(real.client()).get_opt(&class).await?.is_none());
    eventually("the test's namespace to end", async || {
        namespaces.get_opt(&own).await.ok()?.is_none().then_some(())
    })
    .await
}

/// What a test that fails in between leaves behind: a namespace and an object that finalizers hold.
async fn hold(cluster: &Cluster) -> Result<()> {
    let mut config = ConfigMap::default();
    config.metadata.name = Some("held".to_owned());
    config.metadata.finalizers = Some(vec!["example.com/hold".to_owned()]);
    cluster.namespaced().create(&PostParams::default(), &config).await?;
    let namespaces = Api::<Namespace>::all(cluster.client());
    let mut own = namespaces.get(cluster.namespace()).await?;
    let finalizers = own.spec.as_mut().and_then(|spec| spec.finalizers.as_mut());
    finalizers.context("a namespace has finalizers")?.push("example.com/hold".to_owned());
    namespaces.replace_subresource("finalize", cluster.namespace(), &PostParams::default(), &own).await?;
    Ok(())
}
