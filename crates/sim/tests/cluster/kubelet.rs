//! What kubelets do. The nodes of a real cluster may be stand-ins, which do less: all of this is about the simulator.

use std::time::Duration;

use anyhow::Result;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use testkit::Cluster;

use crate::common::{
    at_once, cluster_objects, condition, create, is_true, node, objects, pod, told, until, until_gone,
};

fn recorded(file: &str) -> Value {
    let path = format!("{}/tests/transcripts/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["response"]["body"].take()
}

/// The names of the fields of a status, with the types and statuses of its conditions.
fn shape(status: &Value) -> Value {
    match status {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), shape(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::String(text) if ["True", "False", "Running", "Succeeded"].contains(&text.as_str()) => {
            status.clone()
        }
        Value::String(_) => "text".into(),
        other => other.clone(),
    }
}

#[tokio::test]
async fn statuses_are_those_of_the_recorded_story() -> Result<()> {
    let cluster = Cluster::simulated(at_once()).await?;
    // The nodes of the story have no addresses, and so their pods have none of a host.
    let node = cluster.node("a", &[]).await?;
    let pods = objects(&cluster, "v1", "Pod");
    create(&cluster, pod("solo", json!({ "nodeName": node }))).await?;
    let running = until(&pods, "solo", |pod| is_true(pod, "Ready")).await?;
    assert_eq!(shape(&running["status"]), shape(&recorded("26-pod-get.json")["status"]));
    assert_eq!(running["status"]["podIP"], "10.1.0.1");

    create(&cluster, pod("job", json!({ "nodeName": node, "restartPolicy": "Never" }))).await?;
    let ended = until(&pods, "job", |pod| pod["status"]["phase"] == "Succeeded").await?;
    assert_eq!(shape(&ended["status"]), shape(&recorded("56-job-pods.json")["items"][0]["status"]));
    Ok(())
}

#[tokio::test]
async fn pods_wait_for_a_node_and_start_when_it_comes() -> Result<()> {
    let cluster = Cluster::simulated(at_once()).await?;
    let pods = objects(&cluster, "v1", "Pod");
    let name = cluster.unique("late");
    create(&cluster, pod("early", json!({ "nodeName": name }))).await?;
    node(&cluster, "late").await?;
    until(&pods, "early", |pod| is_true(pod, "Ready")).await?;
    let nodes = cluster_objects(&cluster, "v1", "Node");
    let registered = until(&nodes, &name, |node| is_true(node, "Ready")).await?;
    assert_eq!(registered["status"]["allocatable"]["pods"], "110");
    Ok(())
}

#[tokio::test]
async fn a_crashing_container_is_restarted_with_growing_pauses() -> Result<()> {
    let cluster = Cluster::simulated(at_once()).await?;
    let sim = cluster.sim().unwrap();
    let pods = objects(&cluster, "v1", "Pod");
    let node = node(&cluster, "a").await?;
    create(&cluster, told(pod("crash", json!({ "nodeName": node })), &[("behaviour", "crash-loop")])).await?;
    // The first time it is restarted at once.
    for (restarts, pause) in [(1, 10), (2, 20), (3, 40), (4, 80), (5, 160), (6, 300), (7, 300)] {
        let pod = until(&pods, "crash", |pod| {
            let status = &pod["status"]["containerStatuses"][0];
            status["restartCount"] == restarts && status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        })
        .await?;
        let status = &pod["status"]["containerStatuses"][0];
        assert_eq!(status["lastState"]["terminated"]["exitCode"], 1);
        assert_eq!(pod["status"]["phase"], "Running");
        let message = status["state"]["waiting"]["message"].as_str().unwrap();
        let text = if pause < 60 { format!("{pause}s") } else { format!("{}m{}s", pause / 60, pause % 60) };
        assert!(
            message.starts_with(&format!("back-off {text} restarting failed container=c pod=crash_")),
            "{message}"
        );
        sim.api().clock().advance(Duration::from_secs(pause));
    }
    Ok(())
}

#[tokio::test]
async fn what_is_told_by_annotations_comes_true() -> Result<()> {
    let cluster = Cluster::simulated(at_once()).await?;
    let pods = objects(&cluster, "v1", "Pod");
    let node = node(&cluster, "a").await?;
    let bound = json!({ "nodeName": node });
    create(&cluster, told(pod("oom", bound.clone()), &[("behaviour", "oom")])).await?;
    create(&cluster, told(pod("pull", bound.clone()), &[("behaviour", "image-pull-error")])).await?;
    create(&cluster, told(pod("unready", bound.clone()), &[("behaviour", "never-ready")])).await?;
    let once = json!({ "nodeName": node, "restartPolicy": "Never" });
    create(&cluster, told(pod("fails", once.clone()), &[("exit-code", "7")])).await?;
    let image = json!({ "nodeName": node, "containers": [{ "name": "c", "image": "Nginx" }] });
    create(&cluster, pod("image", image)).await?;

    let reason = |pod: &Value, reason: &str| {
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == reason
    };
    let oom = until(&pods, "oom", |pod| reason(pod, "CrashLoopBackOff")).await?;
    let last = &oom["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!((&last["reason"], &last["exitCode"]), (&json!("OOMKilled"), &json!(137)));
    let pull = until(&pods, "pull", |pod| reason(pod, "ImagePullBackOff")).await?;
    assert_eq!(pull["status"]["phase"], "Pending");
    until(&pods, "image", |pod| reason(pod, "InvalidImageName")).await?;
    let unready = until(&pods, "unready", |pod| pod["status"]["phase"] == "Running").await?;
    assert_eq!(condition(&unready, "Ready").unwrap()["message"], "containers with unready status: [c]");
    let failed = until(&pods, "fails", |pod| pod["status"]["phase"] == "Failed").await?;
    assert_eq!(failed["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 7);

    // An image that is there mends the pod, as `kubectl set image` does.
    let patch = json!({ "spec": { "containers": [{ "name": "c", "image": "nginx:1.27" }] } });
    pods.patch("image", &PatchParams::default(), &Patch::Strategic(patch)).await?;
    until(&pods, "image", |pod| is_true(pod, "Ready")).await?;
    Ok(())
}

#[tokio::test]
async fn init_containers_come_first_and_sidecars_stay() -> Result<()> {
    let cluster = Cluster::simulated(at_once()).await?;
    let pods = objects(&cluster, "v1", "Pod");
    let node = node(&cluster, "a").await?;
    let init = json!([
        { "name": "first", "image": "busybox" },
        { "name": "beside", "image": "busybox", "restartPolicy": "Always" },
        { "name": "broken", "image": "Busybox" },
    ]);
    create(&cluster, pod("waits", json!({ "nodeName": node, "initContainers": init }))).await?;
    let waits = until(&pods, "waits", |pod| {
        pod["status"]["initContainerStatuses"][2]["state"]["waiting"]["reason"] == "InvalidImageName"
    })
    .await?;
    let status = &waits["status"];
    assert_eq!(status["initContainerStatuses"][0]["state"]["terminated"]["exitCode"], 0);
    assert!(status["initContainerStatuses"][1]["state"]["running"].is_object());
    assert_eq!(status["containerStatuses"][0]["state"]["waiting"]["reason"], "PodInitializing");
    assert_eq!(status["phase"], "Pending");
    assert_eq!(condition(&waits, "Initialized").unwrap()["reason"], "ContainersNotInitialized");

    let sidecar = json!([{ "name": "beside", "image": "busybox", "restartPolicy": "Always" }]);
    let spec = json!({ "nodeName": node, "restartPolicy": "Never", "initContainers": sidecar });
    create(&cluster, pod("ends", spec)).await?;
    let ends = until(&pods, "ends", |pod| pod["status"]["phase"] == "Succeeded").await?;
    assert!(ends["status"]["initContainerStatuses"][0]["state"]["terminated"].is_object());
    Ok(())
}

#[tokio::test]
async fn readiness_gates_are_opened_by_others() -> Result<()> {
    let cluster = Cluster::simulated(at_once()).await?;
    let pods = objects(&cluster, "v1", "Pod");
    let node = node(&cluster, "a").await?;
    let gates = json!([{ "conditionType": "example.com/gate" }]);
    create(&cluster, pod("gated", json!({ "nodeName": node, "readinessGates": gates }))).await?;
    let closed = until(&pods, "gated", |pod| is_true(pod, "ContainersReady")).await?;
    assert_eq!(condition(&closed, "Ready").unwrap()["reason"], "ReadinessGatesNotReady");
    let open = json!({ "status": { "conditions": [{ "type": "example.com/gate", "status": "True" }] } });
    pods.patch_status("gated", &PatchParams::default(), &Patch::Strategic(open)).await?;
    until(&pods, "gated", |pod| is_true(pod, "Ready")).await?;
    Ok(())
}

#[tokio::test]
async fn stuck_pods_and_pods_of_dead_nodes_stay() -> Result<()> {
    let cluster = Cluster::simulated(at_once()).await?;
    let sim = cluster.sim().unwrap();
    let pods = objects(&cluster, "v1", "Pod");
    let node = node(&cluster, "a").await?;
    for name in ["stuck", "ends", "kept"] {
        let mut pod = pod(name, json!({ "nodeName": node }));
        if name == "kept" {
            pod["metadata"]["finalizers"] = json!(["example.com/keep"]);
        }
        create(&cluster, pod).await?;
        until(&pods, name, |pod| is_true(pod, "Ready")).await?;
    }
    let stuck = format!("{}/stuck", cluster.namespace());
    sim.change_faults(|plan| plan.stuck_pods.extend([stuck]))?;
    for name in ["stuck", "ends", "kept"] {
        pods.delete(name, &DeleteParams::default()).await?;
    }
    until_gone(&pods, "ends").await?;
    let kept = until(&pods, "kept", |pod| pod["status"]["phase"] == "Succeeded").await?;
    assert_eq!(kept["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 0);
    assert!(pods.get_opt("stuck").await?.is_some());

    sim.change_faults(|plan| {
        plan.stuck_pods.clear();
        plan.dead_nodes.insert(node.clone());
    })?;
    create(&cluster, pod("later", json!({ "nodeName": node }))).await?;
    sim.change_faults(|plan| plan.dead_nodes.clear())?;
    until_gone(&pods, "stuck").await?;
    until(&pods, "later", |pod| is_true(pod, "Ready")).await?;
    Ok(())
}
