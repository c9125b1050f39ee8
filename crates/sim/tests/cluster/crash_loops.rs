//! What fails in a planted cluster goes on failing.

use std::time::Duration;

use anyhow::{Context as _, Result};
use kube::Api;
use kube::api::{DynamicObject, ListParams};
use serde_json::Value;
use sim::{Delays, Options, Seed};
use testkit::{Cluster, eventually};

use crate::common::resource;

/// Longer than the tests take, and not as long as a container that runs well.
const RUN: Duration = Duration::from_secs(500);
/// `MaxContainerBackOff`
const PAUSE: Duration = Duration::from_secs(300);

/// The pod of an application, as soon as something holds of the status of its container.
async fn until(cluster: &Cluster, app: &str, holds: impl Fn(&Value) -> bool) -> Result<DynamicObject> {
    let pods: Api<DynamicObject> = Api::all_with(cluster.client(), &resource("v1", "Pod"));
    eventually(app, async || {
        let pods = pods.list(&ListParams::default()).await.ok()?.items;
        pods.into_iter().find(|pod| {
            let status = &pod.data["status"]["containerStatuses"][0];
            status["name"] == app && holds(status)
        })
    })
    .await
}

async fn until_told(cluster: &Cluster, pod: &DynamicObject, reason: &str) -> Result<()> {
    let events: Api<DynamicObject> = Api::all_with(cluster.client(), &resource("v1", "Event"));
    let name = pod.metadata.name.as_deref().context("a name")?;
    let fields = ListParams::default().fields(&format!("involvedObject.name={name},reason={reason}"));
    eventually(reason, async || events.list(&fields).await.ok()?.items.pop().map(drop)).await
}

#[tokio::test]
async fn the_crash_loop_of_the_shop_goes_on() -> Result<()> {
    let delays = Delays { run: RUN, ..Delays::none() };
    let cluster = Cluster::simulated(Options { seed: Seed::Shop, delays, ..Options::default() }).await?;
    let clock = || cluster.sim().unwrap().api().clock();
    let waits = |status: &Value| status["state"]["waiting"]["reason"] == "CrashLoopBackOff";
    let planted = until(&cluster, "fraud-rules", waits).await?;
    let restarts = planted.data["status"]["containerStatuses"][0]["restartCount"].as_i64().unwrap();

    // Its kubelet counts from when it has found it.
    until(&cluster, "fraud-rules", |status| status["containerID"].as_str().is_some_and(|id| id.len() > 60))
        .await?;
    clock().advance(PAUSE);
    let running = until(&cluster, "fraud-rules", |status| status["state"]["running"].is_object()).await?;
    assert_eq!(running.data["status"]["containerStatuses"][0]["restartCount"], restarts + 1);
    assert_eq!(running.data["status"]["podIP"], planted.data["status"]["podIP"]);
    until_told(&cluster, &running, "Started").await?;

    clock().advance(RUN);
    let again = until(&cluster, "fraud-rules", waits).await?;
    let status = &again.data["status"]["containerStatuses"][0];
    let message = status["state"]["waiting"]["message"].as_str().unwrap();
    assert!(message.starts_with("back-off 5m0s restarting failed container=fraud-rules"), "{message}");
    until_told(&cluster, &again, "BackOff").await
}

#[tokio::test]
async fn a_missing_image_is_pulled_again() -> Result<()> {
    let cluster = Cluster::simulated(Options { delays: Delays::none(), ..Options::default() }).await?;
    let waits = |status: &Value| status["state"]["waiting"]["reason"] == "ImagePullBackOff";
    let pod = until(&cluster, "recommendations", waits).await?;
    let events: Api<DynamicObject> = Api::all_with(cluster.client(), &resource("v1", "Event"));
    let fields =
        format!("involvedObject.name={},reason=Pulling", pod.metadata.name.as_deref().context("a name")?);
    // Its kubelet counts from when it has found it: until it tells something the clock goes on.
    eventually("another pull", async || {
        cluster.sim()?.api().clock().advance(PAUSE);
        events.list(&ListParams::default().fields(&fields)).await.ok()?.items.pop()
    })
    .await?;
    until_told(&cluster, &pod, "BackOff").await
}
