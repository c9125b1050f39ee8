//! What kubelets tell of; the stand-ins of a real cluster may tell nothing.

use std::time::Duration;

use anyhow::Result;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use testkit::Cluster;

use crate::common::{at_once, create, is_true, node, objects, pod, told, until, until_gone};

/// Type, reason and message of the events about a pod's container, sorted, and how often each was told.
async fn events(cluster: &Cluster, pod: &str) -> Result<Vec<(String, i64)>> {
    let listed = objects(cluster, "v1", "Event").list(&Default::default()).await?;
    let mut events = Vec::new();
    for event in listed.items {
        let event = event.data;
        if event["involvedObject"]["name"] == pod && event["source"]["component"] == "kubelet" {
            assert_eq!(event["involvedObject"]["fieldPath"], "spec.containers{c}");
            assert_eq!(event["source"]["host"], event["reportingInstance"]);
            let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
            let line = format!("{} {} {}", text("type"), text("reason"), text("message"));
            events.push((line, event["count"].as_i64().unwrap_or_default()));
        }
    }
    events.sort();
    Ok(events)
}

fn has(events: &[(String, i64)], start: &str, count: i64) {
    let found = events.iter().find(|(event, _)| event.starts_with(start));
    assert_eq!(found.map(|(_, count)| *count), Some(count), "{start:?} of {events:#?}");
}

fn waits_for(pod: &Value, reason: &str) -> bool {
    pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == reason
}

#[tokio::test]
async fn a_pod_is_pulled_started_changed_and_stopped() -> Result<()> {
    let cluster = Cluster::simulated(at_once()).await?;
    let node = node(&cluster, "a").await?;
    let pods = objects(&cluster, "v1", "Pod");
    for name in ["first", "second"] {
        create(&cluster, pod(name, json!({ "nodeName": node }))).await?;
        until(&pods, name, |pod| is_true(pod, "Ready")).await?;
    }
    let first = events(&cluster, "first").await?;
    has(&first, "Normal Pulling Pulling image \"nginx:1.27\"", 1);
    has(&first, "Normal Pulled Successfully pulled image \"nginx:1.27\" in ", 1);
    has(&first, "Normal Created Container created", 1);
    has(&first, "Normal Started Container started", 1);
    assert_eq!(first.len(), 4, "{first:#?}");
    let second = events(&cluster, "second").await?;
    let present = "Container image \"nginx:1.27\" already present on machine and can be accessed by the pod";
    has(&second, &format!("Normal Pulled {present}"), 1);
    assert_eq!(second.len(), 3, "its node has the image: {second:#?}");

    let patch = json!({ "spec": { "containers": [{ "name": "c", "image": "nginx:1.28" }] } });
    pods.patch("first", &PatchParams::default(), &Patch::Strategic(patch)).await?;
    until(&pods, "first", |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1).await?;
    let first = events(&cluster, "first").await?;
    has(&first, "Normal Killing Container c definition changed, will be restarted", 1);
    has(&first, "Normal Started Container started", 2);

    pods.delete("second", &DeleteParams::default()).await?;
    until_gone(&pods, "second").await?;
    has(&events(&cluster, "second").await?, "Normal Killing Stopping container c", 1);
    Ok(())
}

#[tokio::test]
async fn a_crash_loop_is_told_each_time_it_pauses() -> Result<()> {
    let cluster = Cluster::simulated(at_once()).await?;
    let node = node(&cluster, "a").await?;
    let pods = objects(&cluster, "v1", "Pod");
    create(&cluster, told(pod("crash", json!({ "nodeName": node })), &[("behaviour", "crash-loop")])).await?;
    let restarted = |pod: &Value, count: i64| {
        waits_for(pod, "CrashLoopBackOff") && pod["status"]["containerStatuses"][0]["restartCount"] == count
    };
    let crash = until(&pods, "crash", |pod| restarted(pod, 1)).await?;
    let uid = crash["metadata"]["uid"].as_str().unwrap_or_default();
    let pause = format!(
        "Warning BackOff Back-off restarting failed container c in pod crash_{}({uid})",
        cluster.namespace()
    );
    let told = events(&cluster, "crash").await?;
    has(&told, &pause, 1);
    has(&told, "Normal Started", 2);
    cluster.sim().unwrap().clock().advance(Duration::from_secs(10));
    until(&pods, "crash", |pod| restarted(pod, 2)).await?;
    has(&events(&cluster, "crash").await?, &pause, 2);
    Ok(())
}

#[tokio::test]
async fn images_that_cannot_be_had_are_told_of() -> Result<()> {
    let cluster = Cluster::simulated(at_once()).await?;
    let node = node(&cluster, "a").await?;
    let pods = objects(&cluster, "v1", "Pod");
    let bound = json!({ "nodeName": node });
    create(&cluster, told(pod("missing", bound), &[("behaviour", "image-pull-error")])).await?;
    until(&pods, "missing", |pod| waits_for(pod, "ImagePullBackOff")).await?;
    let missing = events(&cluster, "missing").await?;
    has(&missing, "Normal Pulling Pulling image \"nginx:1.27\"", 1);
    has(&missing, "Warning Failed Failed to pull image \"nginx:1.27\": rpc error: code = NotFound", 1);
    has(&missing, "Warning Failed Error: ErrImagePull", 1);
    has(&missing, "Normal BackOff Back-off pulling image \"nginx:1.27\"", 1);
    has(&missing, "Warning Failed Error: ImagePullBackOff", 1);

    let image = json!({ "nodeName": node, "containers": [{ "name": "c", "image": "Nginx" }] });
    create(&cluster, pod("invalid", image)).await?;
    until(&pods, "invalid", |pod| waits_for(pod, "InvalidImageName")).await?;
    let invalid = events(&cluster, "invalid").await?;
    has(&invalid, "Warning InspectFailed Failed to apply default image tag \"Nginx\"", 1);
    has(&invalid, "Warning Failed Error: InvalidImageName", 1);
    Ok(())
}
