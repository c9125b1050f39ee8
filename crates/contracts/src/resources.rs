//! What an agent tells of its cluster: the `result` of each command.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Timestamp;

/// Where an answer comes from, beside every result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Provenance {
    /// The cluster's API server just now, or the agent's cache that a watch feeds.
    pub source: Source,
    /// How long ago the API server last confirmed what is told, in milliseconds; 0 when it was asked just now.
    pub age_ms: u64,
    /// Present and true when the cluster is a simulated one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
}

/// Where an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The cluster's API server was asked for this answer.
    Api,
    /// The agent's watch-fed cache.
    Cache,
}

/// What every list says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct ListMeta {
    /// How many objects this page holds.
    pub total_count: usize,
    /// Hand this back as `continue` for the next page; absent on the last one.
    #[serde(default, rename = "continue", skip_serializing_if = "Option::is_none")]
    pub continue_token: Option<String>,
    /// How many objects follow after this page, where the API server says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_count: Option<i64>,
    /// Where the answer comes from.
    #[serde(flatten)]
    pub provenance: Provenance,
}

macro_rules! list {
    ($(#[$doc:meta])* $name:ident, $field:ident: $item:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
        pub struct $name {
            /// The objects.
            pub $field: Vec<$item>,
            /// Count, paging and provenance.
            #[serde(flatten)]
            pub meta: ListMeta,
        }
    };
}

list!(
    /// The result of `get-namespaces`.
    NamespaceList, namespaces: Namespace
);
list!(
    /// The result of `get-nodes`.
    NodeList, nodes: Node
);
list!(
    /// The result of `get-pods`.
    PodList, pods: Pod
);
list!(
    /// The result of `get-deployments`.
    DeploymentList, deployments: Deployment
);
list!(
    /// The result of `get-services`.
    ServiceList, services: Service
);

/// A namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// `Active` or `Terminating`.
    pub status: String,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations, without `kubectl.kubernetes.io/last-applied-configuration`.
    pub annotations: BTreeMap<String, String>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// `Ready`, `NotReady` or `Unknown`, as its Ready condition says.
    pub status: String,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// The roles that its `node-role.kubernetes.io/…` labels name.
    pub roles: Vec<String>,
    /// The kubelet's version.
    pub kubelet_version: String,
    /// The cloud's instance type, where it is labelled.
    pub instance_type: Option<String>,
    /// The cloud's zone, where it is labelled.
    pub zone: Option<String>,
    /// The cloud's region, where it is labelled.
    pub region: Option<String>,
    /// How its capacity is bought (`spot`, `on-demand`), where it is labelled.
    pub capacity_type: Option<String>,
    /// What it has, by resource, as Kubernetes quantities.
    pub capacity: BTreeMap<String, String>,
    /// What pods can have of it, by resource, as Kubernetes quantities.
    pub allocatable: BTreeMap<String, String>,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its phase, or the reason that `kubectl get pods` would show instead (`CrashLoopBackOff`, `Terminating`, …).
    pub status: String,
    /// Containers that are ready.
    pub ready_containers: usize,
    /// Containers that it has.
    pub containers: usize,
    /// Restarts of all its containers.
    pub restarts: i64,
    /// Where it runs; absent while it is not scheduled.
    pub node: Option<String>,
    /// Its address.
    pub ip: Option<String>,
    /// What controls it, as `Kind/name`.
    pub owner: Option<String>,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Deployment {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Pods that are wanted.
    pub replicas: i32,
    /// Pods that are ready.
    pub ready_replicas: i32,
    /// Pods of the newest template.
    pub updated_replicas: i32,
    /// Pods that are available.
    pub available_replicas: i32,
    /// The images of its template's containers.
    pub images: Vec<String>,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Service {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its address in the cluster.
    pub cluster_ip: Option<String>,
    /// Its addresses outside, by load balancer or configuration.
    pub external_addresses: Vec<String>,
    /// Its ports, as `port[:nodePort]/protocol`.
    pub ports: Vec<String>,
    /// Which pods it selects.
    pub selector: BTreeMap<String, String>,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// The result of `get-cluster-resources`: how many there are of each kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct ResourceCounts {
    /// The count of each kind that the agent may list, by plural name.
    pub resources: BTreeMap<String, i64>,
    /// How many kinds are counted.
    pub total_count: usize,
    /// Where the answer comes from.
    #[serde(flatten)]
    pub provenance: Provenance,
}

/// The result of `get-pod-logs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct PodLogs {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The container that was asked for; absent: the pod's only one.
    pub container: Option<String>,
    /// The last lines, oldest first.
    pub lines: Vec<String>,
    /// How many lines these are.
    pub total_count: usize,
    /// Whether earlier lines were left out because the text was larger than is carried.
    pub truncated: bool,
    /// Where the answer comes from.
    #[serde(flatten)]
    pub provenance: Provenance,
}

/// The result of `get-allocation`: what nodes have, and what of it workloads hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Allocation {
    /// What each node has.
    pub nodes: Vec<NodeCapacity>,
    /// What workloads hold of the nodes, by namespace, workload and node.
    pub workloads: Vec<WorkloadShare>,
    /// Bytes of all persistent volumes together; absent where the agent may not list them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_bytes: Option<u64>,
    /// Whether usage was known: what is held is the larger of request and usage then, else the request.
    pub usage_known: bool,
    /// How many shares there are.
    pub total_count: usize,
    /// Where the answer comes from.
    #[serde(flatten)]
    pub provenance: Provenance,
}

/// What a node has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct NodeCapacity {
    /// Its name.
    pub name: String,
    /// Thousandths of a processor.
    pub cpu_millis: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
}

/// What the pods of a workload hold of a node: those that are on it and have not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct WorkloadShare {
    /// Its namespace.
    pub namespace: String,
    /// What controls the pods, as `Kind/name`; a pod that nothing controls is `Pod/name`.
    pub workload: String,
    /// The node.
    pub node: String,
    /// How many pods.
    pub pods: u64,
    /// Thousandths of a processor.
    pub cpu_millis: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
}
