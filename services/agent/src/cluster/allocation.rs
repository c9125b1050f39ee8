//! What of its nodes the workloads of a cluster hold: of each container the larger of what it asks for and what it uses
//! (<https://opencost.io/docs/specification/>, "Workload Costs").

use std::collections::{BTreeMap, HashMap};

use contracts::{
    ErrorCode,
    resources::{Allocation, NodeCapacity, Provenance, WorkloadShare},
};
use http::Request;
use http_body_util::{BodyExt, Limited};
use k8s_openapi::api::core::v1::{Node, PersistentVolume, Pod};
use kube::{Api, ResourceExt, client::Body};
use serde::{Deserialize, Serialize};

use super::{
    ApiServer, ListQuery, QueryError, list,
    places::Places,
    requests::{Amount, PodRequests},
};

/// What is read of a metrics server's answer at most: some 300 bytes a container.
const MAX_METRICS_BYTES: usize = 32 * 1024 * 1024;

/// What is kept of a pod.
#[derive(Serialize)]
struct Held {
    namespace: String,
    pod: String,
    workload: String,
    node: String,
    #[serde(skip)]
    requests: PodRequests,
}

/// What a metrics server tells of pods (`metrics.k8s.io/v1beta1`).
#[derive(Deserialize)]
struct PodMetrics {
    metadata: Name,
    #[serde(default)]
    containers: Vec<ContainerMetrics>,
}

#[derive(Deserialize)]
struct PodMetricsList {
    items: Vec<PodMetrics>,
}

#[derive(Deserialize)]
struct Name {
    name: String,
    #[serde(default)]
    namespace: String,
}

#[derive(Deserialize)]
struct ContainerMetrics {
    name: String,
    usage: BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>,
}

/// What containers use, by namespace, pod and container.
type Usage = HashMap<(String, String, String), Amount>;

/// Asks for nodes, pods and, where there is one, a metrics server.
pub(crate) async fn of_cluster(server: &ApiServer, provenance: Provenance) -> Result<Allocation, QueryError> {
    let everything = ListQuery::default();
    // One after the other: each list has its place in memory only while it is read.
    let nodes = list(server, &Api::<Node>::all(server.client()), &everything, capacity).await?;
    let nodes = nodes.items.into_views().collect();
    let usage = usage(server).await?;
    let storage_bytes = storage(server).await?;
    let pods = list(server, &Api::<Pod>::all(server.client()), &everything, held).await?;
    let workloads = shares(pods.items.into_views().flatten(), usage.as_ref());
    Ok(Allocation {
        nodes,
        storage_bytes,
        total_count: workloads.len(),
        workloads,
        usage_known: usage.is_some(),
        provenance,
    })
}

#[expect(clippy::needless_pass_by_value, reason = "what `list` calls")]
fn capacity(node: Node) -> NodeCapacity {
    let capacity = node.status.as_ref().and_then(|status| status.capacity.as_ref());
    let Amount { cpu_millis, memory_bytes } = Amount::read(capacity);
    NodeCapacity { name: node.name_any(), cpu_millis, memory_bytes }
}

/// Bytes of all persistent volumes; `None` where the agent may not list them.
async fn storage(server: &ApiServer) -> Result<Option<u64>, QueryError> {
    let volumes = Api::<PersistentVolume>::all(server.client());
    match list(server, &volumes, &ListQuery::default(), volume_bytes).await {
        Ok(volumes) => Ok(Some(volumes.items.into_views().fold(0, u64::saturating_add))),
        Err(error) if error.code == ErrorCode::Forbidden => Ok(None),
        Err(error) => Err(error),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "what `list` calls")]
fn volume_bytes(volume: PersistentVolume) -> u64 {
    let capacity = volume.spec.as_ref().and_then(|spec| spec.capacity.as_ref());
    Amount::bytes(capacity.and_then(|capacity| capacity.get("storage")))
}

/// A pod that is on a node and has not ended.
fn held(pod: Pod) -> Option<Held> {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return None;
    }
    let workload = workload(&pod);
    let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
    let spec = pod.spec?;
    let requests = PodRequests::of(&spec);
    Some(Held { namespace, pod: name, workload, node: spec.node_name?, requests })
}

/// What a person takes for the pod's workload: a Deployment for its ReplicaSet, a CronJob for its Job. Both names end with what
/// their controllers add: the hash of the template, which is a label of the pod, and the minute of the run
/// (`getJobName` of `pkg/controller/cronjob`).
fn workload(pod: &Pod) -> String {
    let owner = pod.owner_references().iter().find(|owner| owner.controller == Some(true));
    let Some(owner) = owner else { return format!("Pod/{}", pod.name_any()) };
    let without_hash = || {
        let hash = pod.labels().get("pod-template-hash")?;
        owner.name.strip_suffix(hash.as_str())?.strip_suffix('-')
    };
    let without_minute = || {
        let (name, minute) = owner.name.rsplit_once('-')?;
        (minute.len() == 8 && minute.bytes().all(|digit| digit.is_ascii_digit())).then_some(name)
    };
    match (owner.kind.as_str(), without_hash(), without_minute()) {
        ("ReplicaSet", Some(name), _) => format!("Deployment/{name}"),
        ("Job", _, Some(name)) => format!("CronJob/{name}"),
        (kind, ..) => format!("{kind}/{}", owner.name),
    }
}

/// What containers use just now; `None` where nobody measures, or the agent may not read it.
async fn usage(server: &ApiServer) -> Result<Option<Usage>, QueryError> {
    // It comes in one piece, which is a large one.
    let mut places = Places::first().await;
    places.grow().await;
    let request = Request::get("/apis/metrics.k8s.io/v1beta1/pods").body(Body::empty());
    let request = request.map_err(kube::Error::HttpError)?;
    let answered = server.call(async {
        let response = server.client().send(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_METRICS_BYTES).collect().await;
        Ok((status, body.map_err(kube::Error::Service)?.to_bytes()))
    });
    let (status, body) = answered.await?;
    match status.as_u16() {
        200 => {}
        // Nobody serves it, nobody may read it, or who serves it is away.
        403 | 404 | 503 => return Ok(None),
        other => return Err(QueryError::unreachable(format!("the metrics server answers {other}"))),
    }
    let metrics: PodMetricsList = serde_json::from_slice(&body).map_err(QueryError::internal)?;
    Ok(Some(metrics.items.into_iter().flat_map(used).collect()))
}

fn used(pod: PodMetrics) -> impl Iterator<Item = ((String, String, String), Amount)> {
    let Name { name, namespace } = pod.metadata;
    pod.containers.into_iter().map(move |container| {
        ((namespace.clone(), name.clone(), container.name), Amount::read(Some(&container.usage)))
    })
}

/// Adds pods up by namespace, workload and node.
fn shares(pods: impl Iterator<Item = Held>, usage: Option<&Usage>) -> Vec<WorkloadShare> {
    let mut added = BTreeMap::<(String, String, String), (u64, Amount)>::new();
    for Held { namespace, pod, workload, node, requests } in pods {
        let held_by_it = requests.held(|container| {
            let key = (namespace.clone(), pod.clone(), container.to_owned());
            usage.and_then(|usage| usage.get(&key).copied()).unwrap_or_default()
        });
        let (pods, held) = added.entry((namespace, workload, node)).or_default();
        *pods += 1;
        *held = held.plus(held_by_it);
    }
    let share = |((namespace, workload, node), (pods, held)): (_, (u64, Amount))| WorkloadShare {
        namespace,
        workload,
        node,
        pods,
        cpu_millis: held.cpu_millis,
        memory_bytes: held.memory_bytes,
    };
    added.into_iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(owner: &Value, labels: &Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": "p-1", "namespace": "n", "ownerReferences": [owner], "labels": labels },
            "spec": { "nodeName": "node", "containers": [
                { "name": "c", "resources": { "requests": { "cpu": "100m", "memory": "1Mi" } } },
            ] },
            "status": { "phase": "Running" },
        }))
        .unwrap()
    }

    fn owner(kind: &str, name: &str) -> Value {
        json!({ "apiVersion": "v1", "kind": kind, "name": name, "uid": "u", "controller": true })
    }

    #[test]
    fn a_workload_is_what_a_person_takes_for_it() {
        for (kind, name, labels, expected) in [
            ("ReplicaSet", "web-5d9f", json!({ "pod-template-hash": "5d9f" }), "Deployment/web"),
            ("ReplicaSet", "web", json!({}), "ReplicaSet/web"),
            ("Job", "report-29384756", json!({}), "CronJob/report"),
            ("Job", "report-1", json!({}), "Job/report-1"),
            ("StatefulSet", "db", json!({}), "StatefulSet/db"),
        ] {
            assert_eq!(workload(&pod(&owner(kind, name), &labels)), expected);
        }
        assert_eq!(
            workload(&serde_json::from_value(json!({ "metadata": { "name": "alone" } })).unwrap()),
            "Pod/alone"
        );
    }

    #[test]
    fn the_larger_of_request_and_usage_counts() {
        let metrics: PodMetricsList = serde_json::from_value(json!({ "items": [
            { "metadata": { "name": "p-1", "namespace": "n" }, "timestamp": "x", "window": "30s",
              "containers": [{ "name": "c", "usage": { "cpu": "250000000n", "memory": "512Ki" } }] },
        ] }))
        .unwrap();
        let usage: Usage = metrics.items.into_iter().flat_map(used).collect();
        let held = || held(pod(&owner("StatefulSet", "db"), &json!({}))).into_iter();
        let with = shares(held(), Some(&usage));
        assert_eq!((with[0].cpu_millis, with[0].memory_bytes), (250, 1024 * 1024));
        let without = shares(held().chain(held()), None);
        assert_eq!((without.len(), without[0].pods, without[0].cpu_millis), (1, 2, 200));
    }

    #[test]
    fn volumes_are_as_large_as_their_capacity() {
        let volume = |spec: Value| {
            volume_bytes(serde_json::from_value(json!({ "metadata": {}, "spec": spec })).unwrap())
        };
        assert_eq!(volume(json!({ "capacity": { "storage": "8Gi" } })), 8 << 30);
        assert_eq!(volume(json!({})), 0);
    }

    #[test]
    fn pods_that_have_ended_or_have_no_node_hold_nothing() {
        let mut ended = pod(&owner("Job", "j"), &json!({}));
        ended.status.as_mut().unwrap().phase = Some("Succeeded".to_owned());
        assert!(held(ended).is_none());
        let mut waiting = pod(&owner("Job", "j"), &json!({}));
        waiting.spec.as_mut().unwrap().node_name = None;
        assert!(held(waiting).is_none());
    }
}
