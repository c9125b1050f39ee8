//! Volumes, and the endpoints of services.

use anyhow::Result;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use testkit::Cluster;

use crate::common::{at_once, cluster_objects, create, is_true, node, objects, pod, told, until, until_gone};

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

#[tokio::test]
async fn services_know_which_of_their_pods_are_ready() -> Result<()> {
    let cluster = Cluster::simulated(at_once()).await?;
    let node = node(&cluster, "a").await?;
    for (name, behaviour) in [("good", "none"), ("bad", "never-ready")] {
        let container = json!([{ "name": "c", "image": "nginx:1.27", "ports": [{ "name": "web", "containerPort": 8080 }] }]);
        let mut pod = told(
            pod(name, json!({ "nodeName": node, "containers": container })),
            &[("behaviour", behaviour)],
        );
        pod["metadata"]["labels"]["app"] = "web".into();
        create(&cluster, pod).await?;
    }
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "web" },
        "spec": { "selector": { "app": "web" }, "ports": [{ "name": "http", "port": 80, "targetPort": "web" }] },
    });
    create(&cluster, service).await?;
    let endpoints = objects(&cluster, "v1", "Endpoints");
    let found = until(&endpoints, "web", |endpoints| {
        endpoints["subsets"][0]["addresses"].is_array()
            && endpoints["subsets"][0]["notReadyAddresses"].is_array()
    })
    .await?;
    let subset = &found["subsets"][0];
    assert_eq!(subset["addresses"][0]["targetRef"]["name"], "good");
    assert_eq!(subset["notReadyAddresses"][0]["targetRef"]["name"], "bad");
    assert_eq!(subset["ports"], json!([{ "name": "http", "port": 8080, "protocol": "TCP" }]));
    let slices = objects(&cluster, "discovery.k8s.io/v1", "EndpointSlice");
    let slice = slices.list(&Default::default()).await?.items.remove(0);
    assert_eq!(slice.data["endpoints"].as_array().map(Vec::len), Some(2));
    assert_eq!(slice.metadata.labels.unwrap_or_default()["kubernetes.io/service-name"], "web");
    objects(&cluster, "v1", "Service").delete("web", &DeleteParams::default()).await?;
    until_gone(&endpoints, "web").await?;
    until_gone(&slices, slice.metadata.name.as_deref().unwrap_or_default()).await
}
