//! Pods whose node is gone go with it (`pkg/controller/podgc/gc_controller.go`).

use serde_json::Value;

use super::eviction::{delete, mark_disrupted};
use super::health::found;
use crate::controllers::{Cluster, Key, taints};
use crate::kinds::PODS;
use crate::object;
use crate::status::ApiError;

/// `TaintNodeOutOfService`: somebody has made sure that the node is off.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// Ends a pod of a node that is not there.
pub(super) fn collect(key: &Key, cluster: &Cluster<'_>) -> Result<(), ApiError> {
    collect_because("PodGC: node no longer exists", key, cluster)
}

/// Ends the terminating pods of a node that is marked as being off.
pub(super) fn collect_out_of_service<'a>(
    node: &Value,
    pods: impl Iterator<Item = &'a Key>,
    cluster: &Cluster<'_>,
) -> Result<(), ApiError> {
    let is_ready = object::is_true(node, "Ready");
    if is_ready || !taints::of(node).any(|taint| taint["key"] == OUT_OF_SERVICE) {
        return Ok(());
    }
    for key in pods {
        let pod = cluster.api.get(PODS, &key.namespace, &key.name);
        if pod.is_ok_and(|pod| object::is_terminating(&pod)) {
            collect_because("PodGC: node out-of-service", key, cluster)?;
        }
    }
    Ok(())
}

/// `markFailedAndDeletePodWithCondition`
fn collect_because(why: &str, key: &Key, cluster: &Cluster<'_>) -> Result<(), ApiError> {
    let Ok(pod) = cluster.api.get(PODS, &key.namespace, &key.name) else { return Ok(()) };
    let phase = &pod["status"]["phase"];
    if phase != "Succeeded" && phase != "Failed" {
        mark_disrupted(&pod, ("DeletionByPodGC", why), cluster)?;
        let fail = |pod: &mut Value| pod["status"]["phase"] = "Failed".into();
        found(cluster.api.update_status(PODS, &key.namespace, &key.name, fail))?;
    }
    delete(&pod, Some(0), cluster)
}
