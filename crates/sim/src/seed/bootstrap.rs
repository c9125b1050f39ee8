//! What every cluster has from its first start: namespaces, the default RBAC objects and priority classes, and the service
//! of the API server.

use serde_json::json;

use super::{Garden, roles};
use crate::status::ApiError;

/// The first address of the range of services.
const SERVICE_ADDRESS: &str = "10.96.0.1";
/// Where pods would find the API server.
const SERVER_ADDRESS: &str = "10.0.0.2";
/// `SystemPriorityClasses` of `pkg/apis/scheduling/v1/helpers.go`.
const PRIORITY_CLASSES: [(&str, i64, &str); 2] = [
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
];

/// How long ago the cluster was made.
pub(super) const AGE_HOURS: u32 = 24 * 92;

pub(super) fn plant(garden: &Garden<'_>) -> Result<(), ApiError> {
    for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
        namespace(garden, name, AGE_HOURS)?;
    }
    for (name, value, description) in PRIORITY_CLASSES {
        let class = json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
            "metadata": { "name": name }, "value": value, "description": description,
        });
        garden.plant(class, AGE_HOURS)?;
    }
    roles::plant(garden)?;
    api_service(garden)
}

/// The service `kubernetes` and what stands behind it (`pkg/controlplane/controller/kubernetesservice`).
fn api_service(garden: &Garden<'_>) -> Result<(), ApiError> {
    let metadata = |labels| json!({ "name": "kubernetes", "namespace": "default", "labels": labels });
    let port = json!({ "name": "https", "port": 6443, "protocol": "TCP" });
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": metadata(json!({ "component": "apiserver", "provider": "kubernetes" })),
        "spec": {
            "clusterIP": SERVICE_ADDRESS, "clusterIPs": [SERVICE_ADDRESS],
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "ports": [{ "name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443 }],
        },
    });
    let endpoints = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": metadata(json!({ "endpointslice.kubernetes.io/skip-mirror": "true" })),
        "subsets": [{ "addresses": [{ "ip": SERVER_ADDRESS }], "ports": [port] }],
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": metadata(json!({ "kubernetes.io/service-name": "kubernetes" })),
        "addressType": "IPv4",
        "endpoints": [{ "addresses": [SERVER_ADDRESS], "conditions": { "ready": true } }],
        "ports": [port],
    });
    [service, endpoints, slice].into_iter().try_for_each(|object| garden.plant(object, AGE_HOURS).map(drop))
}

/// A class for claims that name none, whose volumes are made at once.
pub(super) fn default_storage_class(garden: &Garden<'_>) -> Result<(), ApiError> {
    let annotations = json!({ "storageclass.kubernetes.io/is-default-class": "true" });
    let class = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": { "name": "standard", "annotations": annotations },
        "provisioner": "sim.kubesage.io/disks",
    });
    garden.plant(class, AGE_HOURS).map(drop)
}

/// A namespace with nothing in it.
pub(super) fn namespace(garden: &Garden<'_>, name: &str, age_hours: u32) -> Result<(), ApiError> {
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
    garden.plant(namespace, age_hours).map(drop)
}
