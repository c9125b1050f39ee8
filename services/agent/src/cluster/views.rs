//! What is told of a Kubernetes object: from the API's types to the contract's.

use std::collections::BTreeMap;

use contracts::{Timestamp, resources};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{Namespace, Node, Pod, Service, ServicePort},
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{ObjectMeta, Time},
    },
};

use super::pod_status;

/// It repeats the whole object, and may hold what its author did not mean to show.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const ROLE_PREFIX: &str = "node-role.kubernetes.io/";

/// The cloud's labels, the standard one first:
/// <https://kubernetes.io/docs/reference/labels-annotations-taints/>.
const INSTANCE_TYPE: [&str; 2] = ["node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type"];
const ZONE: [&str; 2] = ["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"];
const REGION: [&str; 2] = ["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"];
/// Karpenter's, then those of EKS, AKS and GKE.
const CAPACITY_TYPE: [&str; 4] = [
    "karpenter.sh/capacity-type",
    "eks.amazonaws.com/capacityType",
    "kubernetes.azure.com/scalesetpriority",
    "cloud.google.com/gke-provisioning",
];

pub(crate) fn namespace(namespace: Namespace) -> resources::Namespace {
    let meta = namespace.metadata;
    let mut annotations = meta.annotations.unwrap_or_default();
    annotations.remove(LAST_APPLIED);
    resources::Namespace {
        name: meta.name.unwrap_or_default(),
        status: namespace.status.and_then(|status| status.phase).unwrap_or_else(|| "Active".to_owned()),
        created_at: timestamp(meta.creation_timestamp),
        labels: meta.labels.unwrap_or_default(),
        annotations,
    }
}

pub(crate) fn node(node: Node) -> resources::Node {
    let meta = node.metadata;
    let labels = meta.labels.unwrap_or_default();
    let label = |names: &[&str]| names.iter().find_map(|name| labels.get(*name)).cloned();
    let status = node.status.unwrap_or_default();
    let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
    let roles = labels.keys().filter_map(|key| key.strip_prefix(ROLE_PREFIX));
    resources::Node {
        name: meta.name.unwrap_or_default(),
        status: match ready.map(|condition| condition.status.as_str()) {
            Some("True") => "Ready",
            Some("False") => "NotReady",
            _ => "Unknown",
        }
        .to_owned(),
        unschedulable: node.spec.and_then(|spec| spec.unschedulable).unwrap_or(false),
        roles: roles.filter(|role| !role.is_empty()).map(str::to_owned).collect(),
        kubelet_version: status.node_info.map(|info| info.kubelet_version).unwrap_or_default(),
        instance_type: label(&INSTANCE_TYPE),
        zone: label(&ZONE),
        region: label(&REGION),
        capacity_type: label(&CAPACITY_TYPE).map(|value| capacity_type(&value)),
        capacity: quantities(status.capacity),
        allocatable: quantities(status.allocatable),
        created_at: timestamp(meta.creation_timestamp),
        labels,
    }
}

pub(crate) fn pod(pod: Pod) -> resources::Pod {
    let status = pod_status::reason(&pod);
    let containers = pod.spec.as_ref().map_or(0, |spec| spec.containers.len());
    let owner = controller(&pod.metadata);
    let meta = pod.metadata;
    let observed = pod.status.unwrap_or_default();
    let started = observed.container_statuses.unwrap_or_default();
    let initial = observed.init_container_statuses.unwrap_or_default();
    resources::Pod {
        namespace: meta.namespace.unwrap_or_default(),
        name: meta.name.unwrap_or_default(),
        status,
        ready_containers: started.iter().filter(|container| container.ready).count(),
        containers,
        restarts: started.iter().chain(&initial).map(|container| i64::from(container.restart_count)).sum(),
        node: pod.spec.and_then(|spec| spec.node_name),
        ip: observed.pod_ip,
        owner,
        created_at: timestamp(meta.creation_timestamp),
        labels: meta.labels.unwrap_or_default(),
    }
}

pub(crate) fn deployment(deployment: Deployment) -> resources::Deployment {
    let meta = deployment.metadata;
    let status = deployment.status.unwrap_or_default();
    let spec = deployment.spec.unwrap_or_default();
    let containers = spec.template.spec.map(|pod| pod.containers).unwrap_or_default();
    resources::Deployment {
        namespace: meta.namespace.unwrap_or_default(),
        name: meta.name.unwrap_or_default(),
        // The API server's default where it is not set.
        replicas: spec.replicas.unwrap_or(1),
        ready_replicas: status.ready_replicas.unwrap_or(0),
        updated_replicas: status.updated_replicas.unwrap_or(0),
        available_replicas: status.available_replicas.unwrap_or(0),
        images: containers.into_iter().filter_map(|container| container.image).collect(),
        created_at: timestamp(meta.creation_timestamp),
        labels: meta.labels.unwrap_or_default(),
    }
}

pub(crate) fn service(service: Service) -> resources::Service {
    let meta = service.metadata;
    let spec = service.spec.unwrap_or_default();
    let balancer =
        service.status.and_then(|status| status.load_balancer).and_then(|balancer| balancer.ingress);
    let balanced = balancer.into_iter().flatten().filter_map(|ingress| ingress.hostname.or(ingress.ip));
    resources::Service {
        namespace: meta.namespace.unwrap_or_default(),
        name: meta.name.unwrap_or_default(),
        kind: spec.type_.unwrap_or_else(|| "ClusterIP".to_owned()),
        cluster_ip: spec.cluster_ip.filter(|ip| !ip.is_empty()),
        external_addresses: balanced
            .chain(spec.external_ips.unwrap_or_default())
            .chain(spec.external_name)
            .collect(),
        ports: spec.ports.iter().flatten().map(port).collect(),
        selector: spec.selector.unwrap_or_default(),
        created_at: timestamp(meta.creation_timestamp),
        labels: meta.labels.unwrap_or_default(),
    }
}

/// `port[:nodePort]/protocol`, as `kubectl get services` shows it.
fn port(port: &ServicePort) -> String {
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    match port.node_port {
        Some(node_port) => format!("{}:{node_port}/{protocol}", port.port),
        None => format!("{}/{protocol}", port.port),
    }
}

/// The clouds write `ON_DEMAND`, `SPOT`, `Regular`, `standard`.
fn capacity_type(value: &str) -> String {
    match value.to_ascii_lowercase().replace('_', "-") {
        regular if regular == "regular" || regular == "standard" => "on-demand".to_owned(),
        other => other,
    }
}

fn controller(meta: &ObjectMeta) -> Option<String> {
    let owners = meta.owner_references.as_deref().unwrap_or_default();
    let controller = owners.iter().find(|owner| owner.controller == Some(true))?;
    Some(format!("{}/{}", controller.kind, controller.name))
}

fn timestamp(time: Option<Time>) -> Option<Timestamp> {
    time.map(|time| time.0.into())
}

fn quantities(quantities: Option<BTreeMap<String, Quantity>>) -> BTreeMap<String, String> {
    quantities.unwrap_or_default().into_iter().map(|(resource, quantity)| (resource, quantity.0)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json, to_value};

    use super::*;

    #[test]
    fn a_namespace_keeps_its_annotations_but_the_copy_of_itself() {
        let object = json!({"metadata": {"name": "a", "creationTimestamp": "2024-01-01T12:00:00Z",
            "labels": {"team": "x"}, "annotations": {"note": "y", LAST_APPLIED: "{}"}}});
        let expected = json!({"name": "a", "status": "Active", "created_at": "2024-01-01T12:00:00.000Z",
            "labels": {"team": "x"}, "annotations": {"note": "y"}});
        assert_eq!(to_value(namespace(from_value(object).unwrap())).unwrap(), expected);
    }

    #[test]
    fn a_node_says_its_state_roles_and_where_it_was_bought() {
        let object = json!({
            "metadata": {"name": "n", "labels": {
                "node-role.kubernetes.io/control-plane": "", "node.kubernetes.io/instance-type": "m5.large",
                "failure-domain.beta.kubernetes.io/zone": "eu-1a", "eks.amazonaws.com/capacityType": "ON_DEMAND"}},
            "spec": {"unschedulable": true},
            "status": {"capacity": {"cpu": "4"}, "allocatable": {"cpu": "3920m"},
                "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "False"}]}
        });
        let view = node(from_value(object).unwrap());
        assert_eq!((view.status.as_str(), view.unschedulable), ("NotReady", true));
        assert_eq!(view.roles, ["control-plane"]);
        assert_eq!(view.instance_type.as_deref(), Some("m5.large"));
        assert_eq!((view.zone.as_deref(), view.region), (Some("eu-1a"), None));
        assert_eq!(view.capacity_type.as_deref(), Some("on-demand"));
        assert_eq!(view.allocatable["cpu"], "3920m");
    }

    #[test]
    fn a_pod_counts_its_containers_and_names_its_controller() {
        let container = |ready: bool, restarts: u32| {
            json!({"name": "c", "image": "i", "imageID": "", "ready": ready, "restartCount": restarts,
                   "state": {"running": {}}})
        };
        let object = json!({
            "metadata": {"name": "p", "namespace": "ns", "ownerReferences": [
                {"apiVersion": "v1", "kind": "Other", "name": "o", "uid": "1"},
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "2", "controller": true}]},
            "spec": {"nodeName": "n", "containers": [{"name": "a"}, {"name": "b"}]},
            "status": {"phase": "Running", "podIP": "10.0.0.1",
                       "containerStatuses": [container(true, 2), container(false, 1)]}
        });
        let view = pod(from_value(object).unwrap());
        assert_eq!((view.status.as_str(), view.ready_containers, view.containers), ("Running", 1, 2));
        assert_eq!((view.restarts, view.owner.as_deref()), (3, Some("ReplicaSet/web-1")));
    }

    #[test]
    fn a_service_shows_its_ports_as_kubectl_does() {
        let object = json!({
            "metadata": {"name": "s", "namespace": "ns"},
            "spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.9", "selector": {"app": "web"},
                     "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]},
            "status": {"loadBalancer": {"ingress": [{"hostname": "lb.example"}, {"ip": "192.0.2.1"}]}}
        });
        let view = service(from_value(object).unwrap());
        assert_eq!(view.ports, ["80:30080/TCP", "53/UDP"]);
        assert_eq!(view.external_addresses, ["lb.example", "192.0.2.1"]);
    }

    #[test]
    fn an_empty_object_is_no_reason_to_fail() {
        let empty = || json!({"metadata": {}});
        assert_eq!(namespace(from_value(empty()).unwrap()).status, "Active");
        assert_eq!(node(from_value(empty()).unwrap()).status, "Unknown");
        assert_eq!(pod(from_value(empty()).unwrap()).status, "Unknown");
        assert_eq!(deployment(from_value(empty()).unwrap()).replicas, 1);
        assert_eq!(to_value(service(from_value(empty()).unwrap())).unwrap()["cluster_ip"], Value::Null);
    }
}
