use anyhow::Result;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use testkit::Cluster;

use crate::common::{at_once, cluster_objects, condition, create, objects, pod, until};

async fn node(cluster: &Cluster, name: &str, labels: Value, allocatable: Value) -> Result<()> {
    let object = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": name, "labels": labels },
        "status": { "capacity": allocatable, "allocatable": allocatable },
    });
    create(cluster, object).await.map(drop)
}

fn small() -> Value {
    json!({ "cpu": "2", "memory": "4Gi", "pods": "3" })
}

fn asks(cpu: &str) -> Value {
    json!({ "containers": [{ "name": "c", "image": "nginx:1.27", "resources": { "requests": { "cpu": cpu } } }] })
}

async fn bound(cluster: &Cluster, name: &str) -> Result<String> {
    let pods = objects(cluster, "v1", "Pod");
    let pod = until(&pods, name, |pod| pod["spec"]["nodeName"].is_string()).await?;
    Ok(pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned())
}

async fn refused(cluster: &Cluster, name: &str) -> Result<String> {
    let pods = objects(cluster, "v1", "Pod");
    let pod =
        until(&pods, name, |pod| condition(pod, "PodScheduled").is_some_and(|it| it["status"] == "False"))
            .await?;
    let condition = condition(&pod, "PodScheduled").unwrap();
    assert_eq!(condition["reason"], "Unschedulable");
    Ok(condition["message"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn pods_come_where_there_is_room_and_wait_where_there_is_none() -> Result<()> {
    let cluster = Cluster::simulated(at_once()).await?;
    create(&cluster, pod("first", asks("1500m"))).await?;
    assert_eq!(refused(&cluster, "first").await?, "no nodes available to schedule pods");
    node(&cluster, "a", json!({}), small()).await?;
    assert_eq!(bound(&cluster, "first").await?, "a");
    node(&cluster, "b", json!({}), small()).await?;
    create(&cluster, pod("second", asks("1"))).await?;
    assert_eq!(bound(&cluster, "second").await?, "b");

    create(&cluster, pod("third", asks("1500m"))).await?;
    create(&cluster, pod("huge", asks("3"))).await?;
    assert_eq!(
        refused(&cluster, "third").await?,
        "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 No preemption victims \
         found for incoming pod."
    );
    assert_eq!(
        refused(&cluster, "huge").await?,
        "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 Preemption is not \
         helpful for scheduling."
    );
    let events = objects(&cluster, "v1", "Event").list(&Default::default()).await?;
    let reasons: Vec<_> = events.items.iter().map(|event| event.data["reason"].clone()).collect();
    assert!(
        reasons.contains(&json!("FailedScheduling")) && reasons.contains(&json!("Scheduled")),
        "{reasons:?}"
    );

    // Room is made.
    objects(&cluster, "v1", "Pod").delete("first", &DeleteParams::default()).await?;
    assert_eq!(bound(&cluster, "third").await?, "a");
    Ok(())
}

#[tokio::test]
async fn taints_cordons_and_selectors_keep_pods_away() -> Result<()> {
    let cluster = Cluster::simulated(at_once()).await?;
    for name in ["cordoned", "tainted", "plain"] {
        node(&cluster, name, json!({ "kubernetes.io/hostname": name }), small()).await?;
    }
    let nodes = cluster_objects(&cluster, "v1", "Node");
    let change = async |name: &str, spec: Value| {
        nodes.patch(name, &PatchParams::default(), &Patch::Merge(json!({ "spec": spec }))).await
    };
    change("cordoned", json!({ "unschedulable": true })).await?;
    let taint = json!({ "key": "team", "value": "a", "effect": "NoSchedule" });
    change("tainted", json!({ "taints": [taint] })).await?;
    let mut spec = asks("1");
    spec["nodeSelector"] = json!({ "disk": "ssd" });
    create(&cluster, pod("picky", spec)).await?;
    let message = refused(&cluster, "picky").await?;
    for reason in [
        "1 node(s) had untolerated taint {team: a}",
        "1 node(s) didn't match Pod's node affinity/selector",
        "1 node(s) were unschedulable",
    ] {
        assert!(message.contains(reason), "{message}");
    }
    let mut spec = asks("1");
    spec["tolerations"] = json!([{ "key": "team", "operator": "Exists" }]);
    spec["nodeSelector"] = json!({ "kubernetes.io/hostname": "tainted" });
    create(&cluster, pod("tolerant", spec)).await?;
    assert_eq!(bound(&cluster, "tolerant").await?, "tainted");
    nodes
        .patch(
            "plain",
            &PatchParams::default(),
            &Patch::Merge(json!({ "metadata": { "labels": { "disk": "ssd" } } })),
        )
        .await?;
    assert_eq!(bound(&cluster, "picky").await?, "plain");
    Ok(())
}

#[tokio::test]
async fn pods_keep_away_from_each_other_and_spread() -> Result<()> {
    let cluster = Cluster::simulated(at_once()).await?;
    for (name, zone) in [("a", "1"), ("b", "1"), ("c", "2")] {
        node(&cluster, name, json!({ "kubernetes.io/hostname": name, "zone": zone }), small()).await?;
    }
    let labels = json!({ "matchLabels": { "app": "lone" } });
    let term = json!({ "labelSelector": labels, "topologyKey": "zone" });
    let mut zones = Vec::new();
    for name in ["lone-1", "lone-2", "lone-3"] {
        let mut pod = pod(name, asks("100m"));
        pod["metadata"]["labels"]["app"] = "lone".into();
        pod["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
            json!([term]);
        create(&cluster, pod).await?;
        if name == "lone-3" {
            let message = refused(&cluster, name).await?;
            assert!(
                message
                    .starts_with("0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules."),
                "{message}"
            );
        } else {
            zones.push(bound(&cluster, name).await? == "c");
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
        let mut pod = pod(name, asks("100m"));
        pod["metadata"]["labels"]["app"] = "even".into();
        pod["spec"]["topologySpreadConstraints"] = spread.clone();
        create(&cluster, pod).await?;
        taken.push(bound(&cluster, name).await?);
    }
    taken.sort();
    assert_eq!(taken, ["a", "b", "c"]);

    // Near the pod in the second zone.
    let alone = bound(&cluster, "lone-1").await?;
    let mut near = pod("near", asks("100m"));
    near["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
        json!([{ "labelSelector": labels, "topologyKey": "kubernetes.io/hostname" }]);
    create(&cluster, near).await?;
    assert!([alone, bound(&cluster, "lone-2").await?].contains(&bound(&cluster, "near").await?));
    Ok(())
}

#[tokio::test]
async fn ports_of_a_node_are_taken_once() -> Result<()> {
    let cluster = Cluster::simulated(at_once()).await?;
    node(&cluster, "a", json!({}), small()).await?;
    let port = json!({ "containers": [{ "name": "c", "image": "nginx:1.27", "ports": [{ "containerPort": 80, "hostPort": 80 }] }] });
    create(&cluster, pod("first", port.clone())).await?;
    assert_eq!(bound(&cluster, "first").await?, "a");
    create(&cluster, pod("second", port)).await?;
    let message = refused(&cluster, "second").await?;
    assert!(message.contains("1 node(s) didn't have free ports for the requested pod ports"), "{message}");

    let mut other = pod("other", asks("1"));
    other["spec"]["schedulerName"] = "mine".into();
    create(&cluster, other).await?;
    let mut claims = pod("claims", asks("1"));
    claims["spec"]["volumes"] = json!([{ "name": "v", "persistentVolumeClaim": { "claimName": "absent" } }]);
    create(&cluster, claims).await?;
    let message = refused(&cluster, "claims").await?;
    assert!(
        message
            .starts_with("0/1 nodes are available: persistentvolumeclaim \"absent\" not found. preemption: "),
        "{message}"
    );
    let other = objects(&cluster, "v1", "Pod").get("other").await?;
    assert!(condition(&serde_json::to_value(other)?, "PodScheduled").is_none());
    Ok(())
}
