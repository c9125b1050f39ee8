//! What kubelets and controllers had begun.

use std::time::Duration;

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};
use sim::{Delays, Options, Programs, Seed};
use tempfile::TempDir;

use crate::common::{after_kill, kept, killed_now, sim, stay_away, until, until_gone};

const SLOW: Duration = Duration::from_hours(1);

fn options(delays: Delays) -> Options {
    Options { seed: Seed::Shop, delays, ..Options::default() }
}

fn pod(name: &str, spec: &Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": { "containers": [{ "name": "c", "image": "nginx:1.27" }] },
    });
    json_merge(&mut pod["spec"], spec);
    pod
}

fn json_merge(object: &mut Value, more: &Value) {
    for (field, value) in more.as_object().into_iter().flatten() {
        object[field] = value.clone();
    }
}

fn runs(pod: &Value) -> bool {
    pod["status"]["containerStatuses"][0]["state"]["running"].is_object()
}

fn is_ready(pod: &Value) -> bool {
    runs(pod) && pod["status"]["containerStatuses"][0]["ready"] == true
}

#[tokio::test]
async fn pods_that_run_run_on_and_nodes_stay_ready() -> Result<()> {
    let directory = TempDir::new()?;
    let first = kept(directory.path(), options(Delays::none())).await?;
    let path = first.core("pods");
    first.post(&path, pod("runs", &json!({}))).await?;
    let init = json!({ "initContainers": [{ "name": "i", "image": "nginx:1.27" }] });
    first.post(&path, pod("initialized", &init)).await?;
    let mut before = Vec::new();
    for name in ["runs", "initialized"] {
        before.push(until(&first, &format!("{path}/{name}"), is_ready).await?);
    }
    let (_, nodes) = first.get("/api/v1/nodes").await?;

    let (second, _image) = after_kill(directory.path(), options(Delays::none())).await?;
    // Whoever has seen all pods and nodes has seen these.
    second.post(&path, pod("new", &json!({}))).await?;
    let new = until(&second, &format!("{path}/new"), is_ready).await?;
    for pod in before {
        let (_, after) =
            second.get(&format!("{path}/{}", pod["metadata"]["name"].as_str().unwrap_or_default())).await?;
        assert_eq!(after, pod);
        assert_ne!(after["status"]["podIP"], new["status"]["podIP"]);
    }
    let (_, shops) = second.get("/api/v1/pods").await?;
    let running = shops["items"].as_array().into_iter().flatten().filter(|pod| runs(pod)).count();
    assert!(running > 40, "{running}");
    let ready = |nodes: &Value| -> Vec<Value> {
        let nodes = nodes["items"].as_array().cloned().unwrap_or_default();
        nodes
            .iter()
            .map(|node| {
                json!([
                    node["metadata"]["uid"],
                    node["spec"],
                    node["status"]["conditions"][3]["lastTransitionTime"]
                ])
            })
            .collect()
    };
    assert_eq!(ready(&second.get("/api/v1/nodes").await?.1), ready(&nodes));
    Ok(())
}

#[tokio::test]
async fn a_node_is_not_lost_because_nobody_was_there_to_hear_of_it() -> Result<()> {
    let directory = TempDir::new()?;
    let first = kept(directory.path(), options(Delays::none())).await?;
    let lease = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/ip-10-0-32-10.ec2.internal";
    let before = until(&first, lease, |lease| lease["spec"]["renewTime"].is_string()).await?;
    let image = killed_now(directory.path())?;
    stay_away(image.path(), SLOW)?;
    let second = kept(image.path(), options(Delays::none())).await?;
    until(&second, lease, |lease| lease["spec"]["renewTime"] != before["spec"]["renewTime"]).await?;
    // In the next turn the node would be looked at a second time.
    sim(&second).clock().advance(Duration::from_secs(20));
    until(&second, lease, |lease| {
        lease["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]
    })
    .await?;
    let (_, events) = second.get("/api/v1/namespaces/default/events").await?;
    let is_lost = |event: &Value| event["reason"] == "NodeNotReady";
    assert!(!events["items"].as_array().into_iter().flatten().any(is_lost), "{events}");
    Ok(())
}

#[tokio::test]
async fn what_had_begun_goes_on() -> Result<()> {
    let directory = TempDir::new()?;
    let slow = Delays { stop: SLOW, run: SLOW, ..Delays::none() };
    let first = kept(directory.path(), options(slow)).await?;
    let path = first.core("pods");
    let at = |name: &str| format!("{path}/{name}");
    first.post(&path, pod("ends", &json!({ "terminationGracePeriodSeconds": 7200 }))).await?;
    until(&first, &at("ends"), is_ready).await?;
    first.call(Method::DELETE, &at("ends"), None).await?;
    first.post(&path, pod("works", &json!({ "restartPolicy": "Never" }))).await?;
    until(&first, &at("works"), runs).await?;
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
        "spec": {
            "replicas": 1, "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "c", "image": "nginx:1.27" }] },
            },
        },
    });
    first.post(&first.path("apps/v1", "deployments"), deployment).await?;
    let is_there = |list: &Value| list["items"].as_array().is_some_and(|items| items.iter().any(is_ready));
    let web = until(&first, &at("?labelSelector=app%3Dweb"), is_there).await?;
    assert!(first.get(&at("ends")).await?.1["metadata"]["deletionTimestamp"].is_string());

    let (second, _image) = after_kill(directory.path(), options(Delays::none())).await?;
    until_gone(&second, &at("ends")).await?;
    until(&second, &at("works"), |pod| pod["status"]["phase"] == "Succeeded").await?;
    let after = second.get(&at("?labelSelector=app%3Dweb")).await?.1;
    assert_eq!(after["items"][0]["metadata"]["uid"], web["items"][0]["metadata"]["uid"]);
    assert_eq!(after["items"].as_array().map(Vec::len), Some(1));
    Ok(())
}

#[tokio::test]
async fn pods_that_were_starting_start() -> Result<()> {
    let directory = TempDir::new()?;
    let first = kept(directory.path(), options(Delays { start: SLOW, ..Delays::none() })).await?;
    let path = first.core("pods");
    let init = json!({ "initContainers": [{ "name": "i", "image": "nginx:1.27" }] });
    for (name, spec) in [("plain", json!({})), ("init", init)] {
        first.post(&path, pod(name, &spec)).await?;
        let waits = |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["waiting"].is_object();
        until(&first, &format!("{path}/{name}"), waits).await?;
    }
    let (second, _image) = after_kill(directory.path(), options(Delays::none())).await?;
    for name in ["plain", "init"] {
        until(&second, &format!("{path}/{name}"), is_ready).await?;
    }
    Ok(())
}

/// A program is gone with the process, and its container goes on in another.
#[tokio::test]
async fn programs_begin_anew() -> Result<()> {
    let directory = TempDir::new()?;
    let options = || {
        let programs = Programs::default().with("example.com/program", async |run| {
            run.set_ready(true);
            run.stop.cancelled().await;
        });
        Options { programs, ..options(Delays::none()) }
    };
    let first = kept(directory.path(), options()).await?;
    let path = first.core("pods");
    let containers = json!({ "containers": [{ "name": "c", "image": "example.com/program:1" }] });
    first.post(&path, pod("program", &containers)).await?;
    let before = until(&first, &format!("{path}/program"), is_ready).await?;

    let (second, _image) = after_kill(directory.path(), options()).await?;
    let version = &before["metadata"]["resourceVersion"];
    let after = until(&second, &format!("{path}/program"), |pod| {
        is_ready(pod) && pod["metadata"]["resourceVersion"] != *version
    })
    .await?;
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(after["status"]["containerStatuses"], before["status"]["containerStatuses"]);
    Ok(())
}

/// A container that fails again and again, an image that is not there, and an environment that cannot be made.
#[tokio::test]
async fn what_went_wrong_is_tried_again() -> Result<()> {
    let directory = TempDir::new()?;
    let first = kept(directory.path(), options(Delays::none())).await?;
    let path = first.core("pods");
    let at = |name: &str| format!("{path}/{name}");
    let mut crashes = pod("crashes", &json!({}));
    crashes["metadata"]["annotations"] = json!({ "sim.kubesage.io/behaviour": "crash-loop" });
    first.post(&path, crashes).await?;
    let env =
        json!([{ "name": "A", "valueFrom": { "configMapKeyRef": { "name": "later", "key": "text" } } }]);
    first
        .post(
            &path,
            pod("waits", &json!({ "containers": [{ "name": "c", "image": "nginx:1.27", "env": env }] })),
        )
        .await?;
    let reason =
        |pod: &Value, is: &str| pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == is;
    let before = until(&first, &at("crashes"), |pod| reason(pod, "CrashLoopBackOff")).await?;
    until(&first, &at("waits"), |pod| reason(pod, "CreateContainerConfigError")).await?;

    let (second, _image) = after_kill(directory.path(), options(Delays::none())).await?;
    let later = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "later" }, "data": { "text": "a" } });
    second.post(&first.core("configmaps"), later).await?;
    sim(&second).clock().advance(Duration::from_mins(5));
    until(&second, &at("waits"), is_ready).await?;
    let restarts = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"].as_u64();
    until(&second, &at("crashes"), |pod| restarts(pod) > restarts(&before)).await?;
    Ok(())
}
