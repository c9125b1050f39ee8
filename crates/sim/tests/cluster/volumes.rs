//! Volumes, and the endpoints of services.

use anyhow::{Result, bail};
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use testkit::Cluster;

use crate::common::{
    IMAGE, at_once, cluster_objects, create, is_true, node, objects, pod, until, until_gone, with_nodes,
};

fn claim(name: &str, class: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": { "name": name },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": class,
            "resources": { "requests": { "storage": "1Gi" } },
        },
    })
}

async fn class(cluster: &Cluster, name: &str, mode: &str) -> Result<String> {
    let name = cluster.unique(name);
    let class = json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": { "name": name },
        "provisioner": "example.com/disks",
        "volumeBindingMode": mode,
    });
    create(cluster, class).await?;
    Ok(name)
}

async fn volume(cluster: &Cluster, name: &str, size: &str, class: &str) -> Result<String> {
    let volume = json!({
        "metadata": { "name": cluster.unique(name) },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": { "storage": size },
            "hostPath": { "path": "/tmp" },
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": class,
        },
    });
    Ok(cluster.create::<PersistentVolume>(&serde_json::from_value(volume)?).await?.name_any())
}

#[tokio::test]
async fn a_claim_gets_a_volume_that_is_there_and_keeps_it_while_it_is_used() -> Result<()> {
    let cluster = with_nodes().await?;
    let (claims, pods) = (objects(&cluster, "v1", "PersistentVolumeClaim"), objects(&cluster, "v1", "Pod"));
    let volumes = cluster_objects(&cluster, "v1", "PersistentVolume");
    let class = cluster.unique("by-hand");
    let (_large, fitting) =
        (volume(&cluster, "large", "9Gi", &class).await?, volume(&cluster, "fitting", "2Gi", &class).await?);
    create(&cluster, claim("data", &class)).await?;
    let bound = until(&claims, "data", |claim| claim["status"]["phase"] == "Bound").await?;
    assert_eq!(bound["spec"]["volumeName"], fitting.as_str());
    assert_eq!(bound["status"]["capacity"]["storage"], "2Gi", "it has all of it");
    let taken = until(&volumes, &fitting, |volume| volume["status"]["phase"] == "Bound").await?;
    assert_eq!(taken["spec"]["claimRef"]["uid"], bound["metadata"]["uid"]);

    let uses = json!([{ "name": "v", "persistentVolumeClaim": { "claimName": "data" } }]);
    create(&cluster, pod("consumer", json!({ "volumes": uses, "terminationGracePeriodSeconds": 1 }))).await?;
    until(&pods, "consumer", |pod| is_true(pod, "Ready")).await?;
    claims.delete("data", &DeleteParams::default()).await?;
    assert!(claims.get("data").await?.metadata.deletion_timestamp.is_some());
    pods.delete("consumer", &DeleteParams::default()).await?;
    until_gone(&claims, "data").await?;
    until(&volumes, &fitting, |volume| volume["status"]["phase"] == "Released").await?;
    Ok(())
}

/// A patch that lets a claim grow.
fn larger(size: &str) -> Patch<Value> {
    Patch::Merge(json!({ "spec": { "resources": { "requests": { "storage": size } } } }))
}

#[tokio::test]
async fn a_claim_does_not_grow_where_its_class_does_not_let_it() -> Result<()> {
    let cluster = with_nodes().await?;
    let claims = objects(&cluster, "v1", "PersistentVolumeClaim");
    let class = class(&cluster, "fixed", "Immediate").await?;
    volume(&cluster, "large", "9Gi", &class).await?;
    create(&cluster, claim("data", &class)).await?;
    until(&claims, "data", |claim| claim["status"]["phase"] == "Bound").await?;
    let refused = claims.patch("data", &PatchParams::default(), &larger("2Gi")).await;
    let Err(kube::Error::Api(refused)) = refused else { bail!("{refused:?}") };
    assert_eq!((refused.code, refused.reason.as_str()), (403, "Forbidden"));
    assert_eq!(
        refused.message,
        "persistentvolumeclaims \"data\" is forbidden: only dynamically provisioned pvc can be resized and the \
         storageclass that provisions the pvc must support resize"
    );
    Ok(())
}

/// Simulated: nobody in a real cluster makes the volumes of this class.
#[tokio::test]
async fn a_claim_grows_with_its_volume() -> Result<()> {
    let cluster = Cluster::simulated(at_once()).await?;
    let claims = objects(&cluster, "v1", "PersistentVolumeClaim");
    let class = class(&cluster, "elastic", "Immediate").await?;
    let classes = cluster_objects(&cluster, "storage.k8s.io/v1", "StorageClass");
    let patch = Patch::Merge(json!({ "allowVolumeExpansion": true }));
    classes.patch(&class, &PatchParams::default(), &patch).await?;
    create(&cluster, claim("data", &class)).await?;
    let bound = until(&claims, "data", |claim| claim["status"]["phase"] == "Bound").await?;
    claims.patch("data", &PatchParams::default(), &larger("2Gi")).await?;
    until(&claims, "data", |claim| claim["status"]["capacity"]["storage"] == "2Gi").await?;
    let volumes = cluster_objects(&cluster, "v1", "PersistentVolume");
    let volume = volumes.get(bound["spec"]["volumeName"].as_str().unwrap()).await?;
    assert_eq!(volume.data["spec"]["capacity"]["storage"], "2Gi");
    Ok(())
}

/// Nobody in a real cluster makes the volumes of this class.
#[tokio::test]
async fn claims_are_bound_used_and_given_back() -> Result<()> {
    let cluster = Cluster::simulated(at_once()).await?;
    let (claims, pods) = (objects(&cluster, "v1", "PersistentVolumeClaim"), objects(&cluster, "v1", "Pod"));
    let volumes = cluster_objects(&cluster, "v1", "PersistentVolume");
    let node = node(&cluster, "a").await?;
    let (now, later) =
        (class(&cluster, "now", "Immediate").await?, class(&cluster, "later", "WaitForFirstConsumer").await?);
    create(&cluster, claim("now", &now)).await?;
    create(&cluster, claim("later", &later)).await?;
    create(&cluster, claim("never", "absent")).await?;
    let bound = until(&claims, "now", |claim| claim["status"]["phase"] == "Bound").await?;
    assert_eq!(bound["status"]["capacity"]["storage"], "1Gi");
    let volume = bound["spec"]["volumeName"].as_str().unwrap().to_owned();
    until(&volumes, &volume, |volume| volume["status"]["phase"] == "Bound").await?;
    assert_eq!(claims.get("later").await?.data["status"]["phase"], "Pending");

    let uses = json!([{ "name": "v", "persistentVolumeClaim": { "claimName": "later" } }]);
    create(&cluster, pod("consumer", json!({ "volumes": uses }))).await?;
    let running = until(&pods, "consumer", |pod| is_true(pod, "Ready")).await?;
    assert_eq!(running["spec"]["nodeName"], node.as_str());
    until(&claims, "later", |claim| claim["status"]["phase"] == "Bound").await?;

    // In use, it stays until its pod is gone; its volume goes with it.
    claims.delete("later", &DeleteParams::default()).await?;
    assert!(claims.get("later").await?.metadata.deletion_timestamp.is_some());
    pods.delete("consumer", &DeleteParams::default()).await?;
    until_gone(&claims, "later").await?;
    claims.delete("now", &DeleteParams::default()).await?;
    until_gone(&volumes, &volume).await?;
    assert_eq!(claims.get("never").await?.data["status"]["phase"], "Pending");
    Ok(())
}

fn web(name: &str, mut spec: Value) -> Value {
    spec["containers"] =
        json!([{ "name": "c", "image": IMAGE, "ports": [{ "name": "web", "containerPort": 8080 }] }]);
    let mut pod = pod(name, spec);
    pod["metadata"]["labels"]["app"] = "web".into();
    pod
}

fn service() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "web" },
        "spec": { "selector": { "app": "web" }, "ports": [{ "name": "http", "port": 80, "targetPort": "web" }] },
    })
}

#[tokio::test]
async fn services_know_their_pods() -> Result<()> {
    let cluster = with_nodes().await?;
    let (pods, endpoints) = (objects(&cluster, "v1", "Pod"), objects(&cluster, "v1", "Endpoints"));
    create(&cluster, service()).await?;
    create(&cluster, web("one", json!({ "terminationGracePeriodSeconds": 1 }))).await?;
    let pod = until(&pods, "one", |pod| is_true(pod, "Ready")).await?;
    let found = until(&endpoints, "web", |all| all["subsets"][0]["addresses"].is_array()).await?;
    let subset = &found["subsets"][0];
    assert_eq!(subset["addresses"][0]["targetRef"]["uid"], pod["metadata"]["uid"]);
    assert_eq!(subset["addresses"][0]["ip"], pod["status"]["podIP"]);
    assert_eq!(subset["addresses"][0]["nodeName"], pod["spec"]["nodeName"]);
    assert_eq!(subset["ports"], json!([{ "name": "http", "port": 8080, "protocol": "TCP" }]));
    let slices = objects(&cluster, "discovery.k8s.io/v1", "EndpointSlice");
    let of_service = ListParams::default().labels("kubernetes.io/service-name=web");
    let slice = slices.list(&of_service).await?.items.remove(0).name_any();
    let is_ready = |slice: &Value| slice["endpoints"][0]["conditions"]["ready"] == true;
    let told = until(&slices, &slice, is_ready).await?;
    assert_eq!(told["endpoints"][0]["addresses"], json!([pod["status"]["podIP"]]));

    pods.delete("one", &DeleteParams::default()).await?;
    until(&endpoints, "web", |all| all["subsets"].is_null()).await?;
    objects(&cluster, "v1", "Service").delete("web", &DeleteParams::default()).await?;
    until_gone(&endpoints, "web").await?;
    until_gone(&slices, &slice).await
}

#[tokio::test]
async fn services_know_which_of_their_pods_are_ready() -> Result<()> {
    let cluster = with_nodes().await?;
    create(&cluster, web("good", json!({}))).await?;
    // Nobody opens the gate.
    create(&cluster, web("bad", json!({ "readinessGates": [{ "conditionType": "example.com/gate" }] })))
        .await?;
    create(&cluster, service()).await?;
    let endpoints = objects(&cluster, "v1", "Endpoints");
    let found = until(&endpoints, "web", |endpoints| {
        endpoints["subsets"][0]["addresses"].is_array()
            && endpoints["subsets"][0]["notReadyAddresses"].is_array()
    })
    .await?;
    let subset = &found["subsets"][0];
    assert_eq!(subset["addresses"][0]["targetRef"]["name"], "good");
    assert_eq!(subset["notReadyAddresses"][0]["targetRef"]["name"], "bad");
    let slices = objects(&cluster, "discovery.k8s.io/v1", "EndpointSlice");
    let slice = slices.list(&Default::default()).await?.items.remove(0);
    assert_eq!(slice.data["endpoints"].as_array().map(Vec::len), Some(2));
    Ok(())
}
