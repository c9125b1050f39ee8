//! What seeds plant stays as it is while the controllers are at work.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DynamicObject, EvictParams};
use serde_json::{Value, json};
use sim::{Delays, Options, Seed};
use testkit::{Cluster, eventually};

use crate::common::{cluster_objects, condition, until};

async fn all(cluster: &Cluster, api_version: &str, kind: &str) -> Result<BTreeMap<String, Value>> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = kube::api::ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk(group, version, kind));
    let api: Api<DynamicObject> = Api::all_with(cluster.client(), &resource);
    let mut found = BTreeMap::new();
    for object in api.list(&Default::default()).await?.items {
        found.insert(object.metadata.name.clone().unwrap_or_default(), serde_json::to_value(object)?);
    }
    Ok(found)
}

#[tokio::test]
async fn the_shop_stays_as_it_is() -> Result<()> {
    let planted = Options { controllers: false, ..Options::default() };
    let planted = sim::Sim::start(planted).await?;
    let cluster = Cluster::simulated(Options { delays: Delays::none(), ..Options::default() }).await?;
    // Longer than kubelets and scheduler need to have looked at everything.
    cluster.sim().unwrap().api().clock().advance(Duration::from_secs(20));
    let leases = cluster.sim().unwrap();
    eventually("every node has a lease", async || {
        let kind = sim::kinds::by_plural("leases")?;
        (leases.api().objects(kind, Some("kube-node-lease")).len() == 4).then_some(())
    })
    .await?;
    let expected = planted.api().objects(sim::kinds::PODS, None);
    let found = all(&cluster, "v1", "Pod").await?;
    assert_eq!(found.len(), expected.len());
    for pod in expected {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let found = &found[name];
        assert_eq!(found["spec"]["nodeName"], pod["spec"]["nodeName"], "{name}");
        assert_eq!(found["status"]["phase"], pod["status"]["phase"], "{name}");
        assert_eq!(
            found["status"]["containerStatuses"][0]["state"]
                .as_object()
                .map(|state| state.keys().cloned().collect::<Vec<_>>()),
            pod["status"]["containerStatuses"][0]["state"]
                .as_object()
                .map(|state| state.keys().cloned().collect::<Vec<_>>()),
            "{name}"
        );
        let message =
            |pod: &Value| condition(pod, "PodScheduled").map(|scheduled| scheduled["message"].clone());
        assert_eq!(message(found), message(&pod), "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn sick_pods_of_the_shop_say_why_at_once() -> Result<()> {
    let cluster = Cluster::simulated(Options { delays: Delays::none(), ..Options::default() }).await?;
    let now = cluster.sim().unwrap().api().clock().now();
    for (app, message) in [
        ("fraud-rules", "Back-off restarting failed container fraud-rules in pod fraud-rules-"),
        ("recommendations", "Back-off pulling image \"registry.shop.example/recommendations:0.9.0-rc4\""),
    ] {
        let told = eventually(message, async || {
            let events = all(&cluster, "v1", "Event").await.ok()?;
            events.into_values().find(|event| {
                event["message"].as_str().is_some_and(|told| told.starts_with(message))
                    && event["reason"] == "BackOff"
            })
        })
        .await?;
        let pods = all(&cluster, "v1", "Pod").await?;
        let pod = &pods[told["involvedObject"]["name"].as_str().unwrap()];
        assert_eq!(pod["metadata"]["labels"]["app.kubernetes.io/name"], app);
        let status = &pod["status"]["containerStatuses"][0];
        let waits = status["state"]["waiting"]["message"].as_str().unwrap();
        if app == "recommendations" {
            assert!(waits.contains("ErrImagePull: rpc error: code = NotFound"), "{waits}");
        } else {
            let uid = pod["metadata"]["uid"].as_str().unwrap();
            assert!(waits.ends_with(&format!("({uid})")), "{waits}");
            let finished: Timestamp =
                status["lastState"]["terminated"]["finishedAt"].as_str().unwrap().parse()?;
            assert!(now.duration_since(finished) < SignedDuration::from_mins(5), "{finished}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn only_daemons_stay_on_a_dead_node_of_the_shop() -> Result<()> {
    let cluster = Cluster::simulated(Options { delays: Delays::none(), ..Options::default() }).await?;
    let sim = cluster.sim().unwrap();
    let planted = all(&cluster, "v1", "Pod").await?;
    for (name, pod) in &planted {
        let spec = &pod["spec"];
        assert_eq!(spec["serviceAccountName"], "default", "{name}");
        assert_eq!(spec["serviceAccount"], "default", "{name}");
        assert_eq!((&spec["priority"], &spec["enableServiceLinks"]), (&json!(0), &json!(true)), "{name}");
        assert_eq!(spec["preemptionPolicy"], "PreemptLowerPriority", "{name}");
    }
    let nodes = cluster_objects(&cluster, "v1", "Node");
    let node = nodes.list(&Default::default()).await?.items[0].metadata.name.clone().unwrap();
    sim.change_faults(|plan| plan.dead_nodes.extend([node.clone()]))?;
    sim.api().clock().advance(Duration::from_secs(41));
    until(&nodes, &node, |node| node["spec"]["taints"].as_array().is_some_and(|taints| taints.len() == 2))
        .await?;
    // Pods whether they are daemons, and whether they are told to leave.
    let on_it = async || -> Result<Vec<(bool, bool)>> {
        let pods = all(&cluster, "v1", "Pod").await?.into_values();
        let pods =
            pods.filter(|pod| pod["spec"]["nodeName"] == *node && pod["status"]["phase"] != "Succeeded");
        Ok(pods
            .map(|pod| {
                let is_daemon = pod["metadata"]["ownerReferences"][0]["kind"] == "DaemonSet";
                (is_daemon, pod["metadata"]["deletionTimestamp"].is_string())
            })
            .collect())
    };
    assert!(on_it().await?.iter().all(|(_, leaves)| !leaves), "they are tolerant for five minutes");
    sim.api().clock().advance(Duration::from_secs(301));
    eventually("all but daemons leave", async || {
        let pods = on_it().await.ok()?;
        let others = pods.iter().filter(|(is_daemon, _)| !is_daemon);
        others.clone().all(|(_, leaves)| *leaves).then_some(()).filter(|()| others.count() > 0)
    })
    .await?;
    let daemons = on_it().await?.into_iter().filter(|(is_daemon, _)| *is_daemon);
    let daemons: Vec<bool> = daemons.map(|(_, leaves)| leaves).collect();
    assert_eq!(daemons, [false; 4]);
    Ok(())
}

#[tokio::test]
async fn the_budgets_of_the_shop_let_any_node_be_emptied() -> Result<()> {
    let cluster = Cluster::simulated(Options { delays: Delays::none(), ..Options::default() }).await?;
    let budgets = eventually("the budgets to be counted", async || {
        let budgets = all(&cluster, "policy/v1", "PodDisruptionBudget").await.ok()?;
        budgets.values().all(|budget| budget["status"]["disruptionsAllowed"] == 1).then_some(budgets)
    })
    .await?;
    let deployments = all(&cluster, "apps/v1", "Deployment").await?;
    let has_budget = |name: &str| budgets.contains_key(name);
    for (name, deployment) in &deployments {
        let (wanted, status) = (&deployment["spec"]["replicas"], &deployment["status"]);
        assert_eq!(has_budget(name), *wanted != 1 && status["readyReplicas"] == *wanted, "{name}");
    }
    assert!(budgets.keys().all(|name| deployments.contains_key(name)), "{:?}", budgets.keys());

    let pods = all(&cluster, "v1", "Pod").await?;
    let node = &pods.values().find(|pod| pod["spec"]["nodeName"].is_string()).unwrap()["spec"]["nodeName"];
    for (name, pod) in pods.iter().filter(|(_, pod)| pod["spec"]["nodeName"] == *node) {
        if pod["metadata"]["ownerReferences"][0]["kind"] != "DaemonSet" {
            let pods: Api<Pod> =
                Api::namespaced(cluster.client(), pod["metadata"]["namespace"].as_str().unwrap());
            pods.evict(name, &EvictParams::default()).await.with_context(|| name.clone())?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_report_of_the_shop_ran_when_its_schedule_told() -> Result<()> {
    let sim = sim::Sim::start(Options { controllers: false, ..Options::default() }).await?;
    let now = sim.api().clock().now();
    let objects = |plural| sim.api().objects(sim::kinds::by_plural(plural).unwrap(), Some("orders"));
    let cron_job = &objects("cronjobs")[0];
    let last = cron_job["status"]["lastScheduleTime"].as_str().unwrap();
    assert!(last.ends_with("T02:30:00Z"), "{last}");
    let at: Timestamp = last.parse()?;
    assert!(now.duration_since(at) <= SignedDuration::from_hours(24) && at <= now, "{last}");
    let job = &objects("jobs")[0];
    assert_eq!(job["metadata"]["name"], format!("orders-report-{}", at.as_second() / 60));
    assert_eq!(job["metadata"]["creationTimestamp"], last);
    Ok(())
}

#[tokio::test]
async fn in_the_broken_cluster_everything_is_wrong_once() -> Result<()> {
    let options = Options { seed: Seed::Broken, delays: Delays::none(), ..Options::default() };
    let cluster = Cluster::simulated(options).await?;
    cluster.sim().unwrap().api().clock().advance(Duration::from_secs(60));
    let waiting = |pod: &Value, reason: &str| {
        ["containerStatuses", "initContainerStatuses"]
            .iter()
            .any(|list| pod["status"][*list][0]["state"]["waiting"]["reason"] == reason)
    };
    eventually("pods in every bad state", async || {
        let pods = all(&cluster, "v1", "Pod").await.ok()?;
        let some = |app: &str, holds: &dyn Fn(&Value) -> bool| {
            pods.values().any(|pod| pod["metadata"]["labels"]["app"] == app && holds(pod))
        };
        let unschedulable = |app: &str, reason: &str| {
            some(app, &|pod| {
                condition(pod, "PodScheduled")
                    .and_then(|it| it["message"].as_str())
                    .is_some_and(|message| message.contains(reason))
            })
        };
        let states = [
            some("crash-loop", &|pod| waiting(pod, "CrashLoopBackOff")),
            some("out-of-memory", &|pod| {
                pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["reason"] == "OOMKilled"
            }),
            some("image-pull", &|pod| waiting(pod, "ImagePullBackOff") || waiting(pod, "ErrImagePull")),
            some("init-container", &|pod| waiting(pod, "InvalidImageName")),
            some("never-ready", &|pod| pod["status"]["phase"] == "Running"),
            unschedulable("pending-cpu", "Insufficient cpu"),
            unschedulable("pending-memory", "Insufficient memory"),
            unschedulable("pending-selector", "didn't match Pod's node affinity/selector"),
            unschedulable("pending-cordoned", "were unschedulable"),
            unschedulable("pending-tainted", "untolerated taint"),
            unschedulable("pending-anti-affinity", "didn't match pod anti-affinity rules"),
            unschedulable("pending-claim", "pod has unbound immediate PersistentVolumeClaims"),
            unschedulable("pending-no-claim", "persistentvolumeclaim \"absent\" not found"),
            pods.get("stuck-terminating").is_some_and(|pod| pod["metadata"]["deletionTimestamp"].is_string()),
        ];
        states.iter().all(|state| *state).then_some(())
    })
    .await?;
    eventually("nodes that are silent and not ready", async || {
        let nodes = all(&cluster, "v1", "Node").await.ok()?;
        let with = |status: &str| {
            nodes.values().any(|node| condition(node, "Ready").is_some_and(|ready| ready["status"] == status))
        };
        (with("True") && with("False") && with("Unknown")).then_some(())
    })
    .await?;
    let namespaces = cluster_objects(&cluster, "v1", "Namespace");
    assert_eq!(namespaces.get("stuck-namespace").await?.data["status"]["phase"], "Terminating");
    let budgets = all(&cluster, "policy/v1", "PodDisruptionBudget").await?;
    assert_eq!(budgets["guarded"]["status"]["disruptionsAllowed"], 0);
    Ok(())
}
