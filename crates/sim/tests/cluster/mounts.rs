use std::time::Duration;

use anyhow::Result;
use kube::api::ListParams;
use serde_json::{Value, json};
use testkit::{Cluster, eventually};

use crate::common::{at_once, condition, create, is_true, node, objects, pod, until};

/// A pod stays as it is while the clock stands still; this lets its kubelet look again.
fn look_again(cluster: &Cluster) {
    cluster.sim().unwrap().api().clock().advance(Duration::from_secs(10));
}

/// Waits for an event about an object; tells the part of the object that it is about.
async fn told(cluster: &Cluster, about: &str, reason: &str, message: &str) -> Result<Value> {
    let events = objects(cluster, "v1", "Event");
    let selector = format!("involvedObject.name={about},reason={reason},type=Warning");
    let told = eventually(message, async || {
        let listed = events.list(&ListParams::default().fields(&selector)).await.ok()?;
        listed.items.into_iter().find(|event| event.data["message"] == message)
    });
    Ok(told.await?.data["involvedObject"]["fieldPath"].clone())
}

#[tokio::test]
async fn a_pod_is_held_back_until_what_its_volumes_hold_is_there() -> Result<()> {
    let cluster = Cluster::simulated(at_once()).await?;
    let node = node(&cluster, "a").await?;
    let pods = objects(&cluster, "v1", "Pod");
    let volumes = json!([
        { "name": "settings", "configMap": { "name": "settings", "items": [{ "key": "a", "path": "a" }] } },
        { "name": "keys", "secret": { "secretName": "keys" } },
        { "name": "both", "projected": { "sources": [
            { "configMap": { "name": "settings" } }, { "secret": { "name": "keys" } },
            { "secret": { "name": "absent", "optional": true } },
        ] } },
        { "name": "whatever", "configMap": { "name": "absent", "optional": true } },
    ]);
    create(&cluster, pod("held", json!({ "nodeName": node, "volumes": volumes }))).await?;
    let failed = async |volume: &str, why: &str| {
        let message = format!("MountVolume.SetUp failed for volume \"{volume}\" : {why}");
        told(&cluster, "held", "FailedMount", &message).await
    };
    failed("settings", "configmap \"settings\" not found").await?;
    failed("keys", "secret \"keys\" not found").await?;
    failed("both", "[configmap \"settings\" not found, secret \"keys\" not found]").await?;
    let held = until(&pods, "held", |pod| pod["status"]["startTime"].is_string()).await?;
    assert_eq!(held["status"]["phase"], "Pending");
    assert_eq!(
        held["status"]["containerStatuses"][0]["state"],
        json!({ "waiting": { "reason": "ContainerCreating" } })
    );
    assert!(held["status"]["podIP"].is_null(), "it has no sandbox");
    assert_eq!(condition(&held, "Ready").unwrap()["reason"], "ContainersNotReady");

    let settings = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings" } });
    create(&cluster, settings).await?;
    let keys = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "keys" } });
    create(&cluster, keys).await?;
    look_again(&cluster);
    failed("settings", "references non-existent config key: a").await?;
    let data = json!({ "data": { "a": "b" } });
    let maps = objects(&cluster, "v1", "ConfigMap");
    maps.patch("settings", &Default::default(), &kube::api::Patch::Merge(data)).await?;
    look_again(&cluster);
    until(&pods, "held", |pod| is_true(pod, "Ready")).await?;
    Ok(())
}

#[tokio::test]
async fn a_container_is_not_made_before_its_environment_can_be() -> Result<()> {
    let cluster = Cluster::simulated(at_once()).await?;
    let node = node(&cluster, "a").await?;
    let pods = objects(&cluster, "v1", "Pod");
    let environment = json!([
        { "name": "A", "valueFrom": { "configMapKeyRef": { "name": "settings", "key": "a" } } },
        { "name": "B", "valueFrom": { "secretKeyRef": { "name": "absent", "key": "b", "optional": true } } },
    ]);
    let containers = json!([
        { "name": "c", "image": "nginx:1.27", "env": environment },
        { "name": "d", "image": "nginx:1.27", "envFrom": [{ "secretRef": { "name": "keys" } }] },
        { "name": "e", "image": "nginx:1.27" },
    ]);
    create(&cluster, pod("held", json!({ "nodeName": node, "containers": containers }))).await?;
    let waits = |index: usize, message: &str| {
        let expected = json!({ "waiting": { "reason": "CreateContainerConfigError", "message": message } });
        move |pod: &Value| pod["status"]["containerStatuses"][index]["state"] == expected
    };
    until(&pods, "held", waits(0, "configmap \"settings\" not found")).await?;
    let held = until(&pods, "held", waits(1, "secret \"keys\" not found")).await?;
    assert_eq!(held["status"]["phase"], "Pending");
    assert!(held["status"]["containerStatuses"][2]["state"]["running"].is_object());
    let message = "Error: configmap \"settings\" not found";
    assert_eq!(told(&cluster, "held", "Failed", message).await?, "spec.containers{c}");

    let settings = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings" } });
    create(&cluster, settings).await?;
    look_again(&cluster);
    let place = format!("ConfigMap {}/settings", cluster.namespace());
    until(&pods, "held", waits(0, &format!("couldn't find key a in {place}"))).await?;
    let data = json!({ "data": { "a": "b" } });
    let maps = objects(&cluster, "v1", "ConfigMap");
    maps.patch("settings", &Default::default(), &kube::api::Patch::Merge(data)).await?;
    let keys = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "keys" } });
    create(&cluster, keys).await?;
    look_again(&cluster);
    let started = until(&pods, "held", |pod| is_true(pod, "Ready")).await?;
    assert_eq!(started["status"]["containerStatuses"][0]["restartCount"], 0);
    Ok(())
}
