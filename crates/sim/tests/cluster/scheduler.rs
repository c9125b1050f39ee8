//! Which node a pod gets, on nodes of a test's own: whether the pods run there is of no importance.

use std::collections::BTreeMap;

use anyhow::Result;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use testkit::{Cluster, eventually_within};

use crate::common::{PATIENCE, at_once, cluster_objects, condition, create, objects, pod, until};

fn asks(cpu: &str) -> Value {
    json!({ "containers": [{ "name": "c", "image": "nginx:1.27", "resources": { "requests": { "cpu": cpu } } }] })
}

/// A pod for the nodes of the test.
fn own_pod(cluster: &Cluster, name: &str, spec: &Value) -> Value {
    let mut pod = pod(name, cluster.for_own_nodes());
    json_patch::merge(&mut pod["spec"], spec);
    pod
}

async fn bound(cluster: &Cluster, name: &str) -> Result<String> {
    let pods = objects(cluster, "v1", "Pod");
    let pod = until(&pods, name, |pod| pod["spec"]["nodeName"].is_string()).await?;
    Ok(pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned())
}

/// Waits until the scheduler says that a pod finds no node, for this reason.
async fn refused(cluster: &Cluster, name: &str, holds: impl Fn(&str) -> bool) -> Result<()> {
    let pods = objects(cluster, "v1", "Pod");
    let is_refused = |pod: &Value| {
        condition(pod, "PodScheduled")
            .is_some_and(|it| it["reason"] == "Unschedulable" && it["message"].as_str().is_some_and(&holds))
    };
    until(&pods, name, is_refused).await.map(drop)
}

/// Of how many nodes a message says something. Nodes of others, which a real cluster has, may be told of in the same
/// words.
fn counts(cluster: &Cluster, text: &str, expected: &[(&str, usize)]) -> bool {
    let list = text.split_once(" nodes are available: ").map_or("", |(_, list)| list);
    let list = list.split_once(". ").map_or(list, |(list, _)| list).trim_end_matches('.');
    let told: BTreeMap<&str, usize> = list
        .split(", ")
        .filter_map(|told| told.split_once(' '))
        .filter_map(|(count, reason)| Some((reason, count.parse().ok()?)))
        .collect();
    expected.iter().all(|(reason, count)| {
        let told = told.get(reason).copied().unwrap_or_default();
        if cluster.sim().is_some() { told == *count } else { told >= *count }
    })
}

#[tokio::test]
async fn pods_come_where_there_is_room_and_wait_where_there_is_none() -> Result<()> {
    let cluster = Cluster::simulated_or_real(at_once()).await?;
    let a = cluster.node("a", &[]).await?;
    create(&cluster, own_pod(&cluster, "first", &asks("1500m"))).await?;
    assert_eq!(bound(&cluster, "first").await?, a);
    let b = cluster.node("b", &[]).await?;
    create(&cluster, own_pod(&cluster, "second", &asks("1"))).await?;
    assert_eq!(bound(&cluster, "second").await?, b);

    create(&cluster, own_pod(&cluster, "third", &asks("1500m"))).await?;
    create(&cluster, own_pod(&cluster, "huge", &asks("3"))).await?;
    for (name, preemption) in [
        ("third", "No preemption victims found for incoming pod"),
        ("huge", "Preemption is not helpful for scheduling"),
    ] {
        let says_why = |message: &str| {
            message.split_once("preemption: ").is_some_and(|(why, helps)| {
                counts(&cluster, why, &[("Insufficient cpu", 2)])
                    && counts(&cluster, helps, &[(preemption, 2)])
            })
        };
        refused(&cluster, name, says_why).await?;
    }
    let events = objects(&cluster, "v1", "Event");
    eventually_within(PATIENCE, "events of the scheduler", async || {
        let told = events.list(&Default::default()).await.ok()?.items;
        let is_told = |reason: &str| told.iter().any(|event| event.data["reason"] == reason);
        (is_told("FailedScheduling") && is_told("Scheduled")).then_some(())
    })
    .await?;

    // Room is made.
    objects(&cluster, "v1", "Pod").delete("first", &DeleteParams::default().grace_period(0)).await?;
    assert_eq!(bound(&cluster, "third").await?, a);
    Ok(())
}

/// A real cluster for tests has nodes.
#[tokio::test]
async fn without_any_node_pods_wait_for_one() -> Result<()> {
    let cluster = Cluster::simulated(at_once()).await?;
    create(&cluster, own_pod(&cluster, "early", &asks("1"))).await?;
    refused(&cluster, "early", |message| message == "no nodes available to schedule pods").await?;
    let node = cluster.node("a", &[]).await?;
    assert_eq!(bound(&cluster, "early").await?, node);
    Ok(())
}

#[tokio::test]
async fn taints_cordons_and_selectors_keep_pods_away() -> Result<()> {
    let cluster = Cluster::simulated_or_real(at_once()).await?;
    let (cordoned, tainted, plain) = (
        cluster.node("cordoned", &[]).await?,
        cluster.node("tainted", &[]).await?,
        cluster.node("plain", &[]).await?,
    );
    let nodes = cluster_objects(&cluster, "v1", "Node");
    let change = async |name: &str, patch: Value| {
        nodes.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await
    };
    change(&cordoned, json!({ "spec": { "unschedulable": true } })).await?;
    cluster.taint(&tainted, "team", "NoSchedule").await?;
    let mut spec = asks("1");
    spec["nodeSelector"] = json!({ "disk": cluster.unique("ssd") });
    create(&cluster, own_pod(&cluster, "picky", &spec)).await?;
    let reasons = [
        ("node(s) had untolerated taint(s)", 1),
        ("node(s) didn't match Pod's node affinity/selector", 1),
        ("node(s) were unschedulable", 1),
    ];
    refused(&cluster, "picky", |message| counts(&cluster, message, &reasons)).await?;

    let mut tolerant = own_pod(&cluster, "tolerant", &asks("1"));
    let tolerations = tolerant["spec"]["tolerations"].as_array_mut().unwrap();
    tolerations.push(json!({ "key": "team", "operator": "Exists" }));
    tolerant["spec"]["nodeSelector"]["kubernetes.io/hostname"] = tainted.clone().into();
    create(&cluster, tolerant).await?;
    assert_eq!(bound(&cluster, "tolerant").await?, tainted);
    change(&plain, json!({ "metadata": { "labels": { "disk": cluster.unique("ssd") } } })).await?;
    assert_eq!(bound(&cluster, "picky").await?, plain);
    Ok(())
}

#[tokio::test]
async fn pods_keep_away_from_each_other_and_spread() -> Result<()> {
    let cluster = Cluster::simulated_or_real(at_once()).await?;
    let mut nodes = Vec::new();
    for (name, zone) in [("a", "1"), ("b", "1"), ("c", "2")] {
        nodes.push(cluster.node(name, &[("zone", zone)]).await?);
    }
    let labels = json!({ "matchLabels": { "app": "lone" } });
    let term = json!({ "labelSelector": labels, "topologyKey": "zone" });
    let mut zones = Vec::new();
    for name in ["lone-1", "lone-2", "lone-3"] {
        let mut pod = own_pod(&cluster, name, &asks("100m"));
        pod["metadata"]["labels"]["app"] = "lone".into();
        pod["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
            json!([term]);
        create(&cluster, pod).await?;
        if name == "lone-3" {
            let reasons = [("node(s) didn't match pod anti-affinity rules", 3)];
            refused(&cluster, name, |message| counts(&cluster, message, &reasons)).await?;
        } else {
            zones.push(bound(&cluster, name).await? == nodes[2]);
        }
    }
    assert_ne!(zones[0], zones[1]);

    let spread = json!([{
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": { "matchLabels": { "app": "even" } },
    }]);
    let mut taken = Vec::new();
    for name in ["even-1", "even-2", "even-3"] {
        let mut pod = own_pod(&cluster, name, &asks("100m"));
        pod["metadata"]["labels"]["app"] = "even".into();
        pod["spec"]["topologySpreadConstraints"] = spread.clone();
        create(&cluster, pod).await?;
        taken.push(bound(&cluster, name).await?);
    }
    taken.sort();
    assert_eq!(taken, nodes);

    // Near one of the two that have a place.
    let mut near = own_pod(&cluster, "near", &asks("100m"));
    near["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
        json!([{ "labelSelector": labels, "topologyKey": "kubernetes.io/hostname" }]);
    create(&cluster, near).await?;
    let lone = [bound(&cluster, "lone-1").await?, bound(&cluster, "lone-2").await?];
    assert!(lone.contains(&bound(&cluster, "near").await?));
    Ok(())
}

#[tokio::test]
async fn replicas_are_spread_although_one_node_has_more_room() -> Result<()> {
    let cluster = Cluster::simulated_or_real(at_once()).await?;
    let mut nodes = Vec::new();
    for name in ["a", "b", "c"] {
        let node = cluster.node(name, &[]).await?;
        if name != "c" {
            let mut load = own_pod(&cluster, &format!("load-{name}"), &asks("900m"));
            load["spec"]["nodeSelector"]["kubernetes.io/hostname"] = node.clone().into();
            create(&cluster, load).await?;
            bound(&cluster, &format!("load-{name}")).await?;
        }
        nodes.push(node);
    }
    let mut template = own_pod(&cluster, "even", &asks("20m"));
    template["metadata"] = json!({ "labels": { "app": "even" } });
    create(
        &cluster,
        json!({
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": { "name": "even" },
            "spec": { "replicas": 6, "selector": { "matchLabels": { "app": "even" } }, "template": template },
        }),
    )
    .await?;
    let pods = objects(&cluster, "v1", "Pod");
    let mut taken = eventually_within(PATIENCE, "six pods on nodes", async || {
        let listed = pods.list(&ListParams::default().labels("app=even")).await.ok()?.items;
        let nodes = listed.iter().filter_map(|pod| pod.data["spec"]["nodeName"].as_str().map(str::to_owned));
        let nodes: Vec<String> = nodes.collect();
        (nodes.len() == 6).then_some(nodes)
    })
    .await?;
    taken.sort();
    assert_eq!(taken, nodes.iter().flat_map(|node| [node.clone(), node.clone()]).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn ports_of_a_node_are_taken_once() -> Result<()> {
    let cluster = Cluster::simulated_or_real(at_once()).await?;
    let node = cluster.node("a", &[]).await?;
    let port = json!({ "containers": [{ "name": "c", "image": "nginx:1.27", "ports": [{ "containerPort": 80, "hostPort": 80 }] }] });
    create(&cluster, own_pod(&cluster, "first", &port)).await?;
    assert_eq!(bound(&cluster, "first").await?, node);
    create(&cluster, own_pod(&cluster, "second", &port)).await?;
    let reasons = [("node(s) didn't have free ports for the requested pod ports", 1)];
    refused(&cluster, "second", |message| counts(&cluster, message, &reasons)).await?;

    let mut other = own_pod(&cluster, "other", &asks("1"));
    other["spec"]["schedulerName"] = "mine".into();
    create(&cluster, other).await?;
    let mut claims = own_pod(&cluster, "claims", &asks("1"));
    claims["spec"]["volumes"] = json!([{ "name": "v", "persistentVolumeClaim": { "claimName": "absent" } }]);
    create(&cluster, claims).await?;
    let reason = " nodes are available: persistentvolumeclaim \"absent\" not found. ";
    refused(&cluster, "claims", |message| message.contains(reason)).await?;
    let other = objects(&cluster, "v1", "Pod").get("other").await?;
    assert!(condition(&serde_json::to_value(other)?, "PodScheduled").is_none());
    Ok(())
}
