//! Pods leave nodes with taints that they do not tolerate, or not for longer
//! (`pkg/controller/tainteviction/taint_eviction.go`).

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::health::found;
use crate::api::{DeleteOptions, Preconditions};
use crate::controllers::{Again, Cluster, Key, Recorder, later, taints};
use crate::kinds::{NODES, PODS};
use crate::object;
use crate::status::ApiError;

/// Deletes a pod that must leave its node, or tells when it must.
pub(super) fn reconcile(key: &Key, cluster: &Cluster<'_>, events: &mut Recorder) -> Result<Again, ApiError> {
    let Ok(pod) = cluster.api.get(PODS, &key.namespace, &key.name) else { return Ok(None) };
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    let Ok(node) = cluster.api.get(NODES, "", node) else { return Ok(None) };
    if object::is_terminating(&pod) {
        return Ok(None);
    }
    match leaves_at(&pod, &node, cluster.now) {
        Some(at) if at > cluster.now => Ok(Some(at)),
        Some(_) => {
            let message = format!("Marking for deletion Pod {}/{}", key.namespace, key.name);
            events.normal(cluster, &pod, "TaintManagerEviction", &message);
            let why = ("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint");
            mark_disrupted(&pod, why, cluster)?;
            delete(&pod, None, cluster).map(|()| None)
        }
        None => Ok(None),
    }
}

/// When the pod must leave; never, where nothing asks it to or it tolerates everything for ever.
fn leaves_at(pod: &Value, node: &Value, now: Timestamp) -> Option<Timestamp> {
    let taints: Vec<&Value> = taints::of(node).filter(|taint| taint["effect"] == "NoExecute").collect();
    if taints.is_empty() {
        return None;
    }
    let mut shortest: Option<u64> = None;
    for taint in &taints {
        let Some(toleration) =
            taints::tolerations(pod).find(|toleration| taints::tolerates(toleration, taint))
        else {
            return Some(now);
        };
        // Less than nothing is nothing (`getMinTolerationTime`).
        let seconds =
            toleration["tolerationSeconds"].as_i64().map(|seconds| u64::try_from(seconds).unwrap_or(0));
        shortest = [shortest, seconds].into_iter().flatten().min();
    }
    let added =
        taints.iter().filter_map(|taint| taint["timeAdded"].as_str()?.parse::<Timestamp>().ok()).max();
    shortest.map(|seconds| later(added.unwrap_or(now), Duration::from_secs(seconds)))
}

/// Writes into the pod why it is deleted.
pub(super) fn mark_disrupted(
    pod: &Value,
    (reason, message): (&str, &str),
    cluster: &Cluster<'_>,
) -> Result<(), ApiError> {
    let condition = json!({
        "type": "DisruptionTarget",
        "status": "True",
        "lastProbeTime": null,
        "lastTransitionTime": object::time(cluster.now),
        "reason": reason,
        "message": message,
    });
    let has_ended = pod["status"]["phase"] == "Succeeded" || pod["status"]["phase"] == "Failed";
    if has_ended {
        return Ok(());
    }
    let (namespace, name) = (object::namespace(pod), object::name(pod));
    found(cluster.api.update_status(PODS, namespace, name, |pod| object::set_condition(pod, condition)))
}

/// Deletes this very pod.
pub(super) fn delete(pod: &Value, grace: Option<i64>, cluster: &Cluster<'_>) -> Result<(), ApiError> {
    let options = DeleteOptions {
        preconditions: Preconditions {
            uid: Some(object::field(pod, "metadata.uid")),
            resource_version: None,
        },
        grace_period_seconds: grace,
        propagation: None,
    };
    match cluster.api.delete(PODS, object::namespace(pod), object::name(pod), &options) {
        Err(error) if error.code != 404 && error.code != 409 => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_stays_as_long_as_its_shortest_toleration() {
        let taint =
            |key: &str| json!({ "key": key, "effect": "NoExecute", "timeAdded": "2026-11-20T10:00:00Z" });
        let node = |taints: Value| json!({ "spec": { "taints": taints } });
        let pod = |tolerations: Value| json!({ "spec": { "tolerations": tolerations } });
        let for_seconds = |key: &str, seconds: Value| json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds });
        let now: Timestamp = "2026-11-20T11:00:00Z".parse().unwrap();
        let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        let both = node(json!([taint("a"), taint("b")]));
        let tolerant = pod(json!([for_seconds("a", 300.into()), for_seconds("b", 60.into())]));
        assert_eq!(leaves_at(&tolerant, &both, now), at("2026-11-20T10:01:00Z"));
        assert_eq!(leaves_at(&pod(json!([for_seconds("a", 300.into())])), &both, now), Some(now));
        let for_ever = pod(json!([for_seconds("a", Value::Null), for_seconds("b", Value::Null)]));
        assert_eq!(leaves_at(&for_ever, &both, now), None);
        let negative = pod(json!([for_seconds("a", (-5).into())]));
        assert_eq!(leaves_at(&negative, &node(json!([taint("a")])), now), at("2026-11-20T10:00:00Z"));
        assert_eq!(leaves_at(&negative, &node(json!([])), now), None);
    }
}
