//! Which pods go first when there are too many (`ActivePodsWithRanks` in `pkg/controller/controller_utils.go`).

use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::fields::{list, number, text, time, uid};
use super::pod::{is_active, is_ready, ready_since};
use crate::object::Object;

/// `PodDeletionCost` of `pkg/apis/core`.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Puts those first that are missed least. `related` are all pods that do the same work, by which nodes are seen to
/// have several.
pub(crate) fn sort_for_deletion(pods: &mut [Arc<Object>], related: &[Arc<Object>], now: Timestamp) {
    let mut on_node: HashMap<&str, usize> = HashMap::new();
    for pod in related.iter().filter(|pod| is_active(pod)) {
        *on_node.entry(text(pod, "/spec/nodeName")).or_default() += 1;
    }
    let rank = |pod: &Value| on_node.get(text(pod, "/spec/nodeName")).copied().unwrap_or_default();
    pods.sort_by(|one, other| compare(one, other, now, &rank));
}

fn compare(one: &Value, other: &Value, now: Timestamp, rank: &impl Fn(&Value) -> usize) -> Ordering {
    let by_state = |pod: &Value| {
        let assigned = !text(pod, "/spec/nodeName").is_empty();
        (assigned, phase(pod), is_ready(pod), deletion_cost(pod), Reverse(rank(pod)))
    };
    let ready = || match (ready_since(one), ready_since(other)) {
        (Some(one), Some(other)) => age(one, now).cmp(&age(other, now)),
        (_, _) => Ordering::Equal,
    };
    let created = |pod: &Value| time(pod, "/metadata/creationTimestamp").map(|at| age(at, now));
    by_state(one)
        .cmp(&by_state(other))
        .then_with(ready)
        .then_with(|| restarts(other).cmp(&restarts(one)))
        .then_with(|| created(one).cmp(&created(other)))
        .then_with(|| uid(one).cmp(uid(other)))
}

/// Ages of the same magnitude are alike (`LogarithmicScaleDown`), so that it is not always the same zone that loses.
fn age(since: Timestamp, now: Timestamp) -> u32 {
    let seconds = u64::try_from(now.duration_since(since).as_secs()).unwrap_or_default();
    seconds.checked_ilog2().map_or(0, |magnitude| magnitude + 1)
}

fn phase(pod: &Value) -> u8 {
    match text(pod, "/status/phase") {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    }
}

fn deletion_cost(pod: &Value) -> i32 {
    pod["metadata"]["annotations"][DELETION_COST]
        .as_str()
        .and_then(|cost| cost.parse().ok())
        .unwrap_or_default()
}

/// The most restarts of any container.
fn restarts(pod: &Value) -> i64 {
    let containers = list(pod, "/status/containerStatuses").iter();
    containers.map(|container| number(container, "/restartCount")).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn order(pods: &[Value]) -> Vec<String> {
        let mut pods: Vec<_> = pods.iter().map(|pod| Arc::new(Object::new(pod.clone()))).collect();
        let related = pods.clone();
        let now = "2026-01-01T12:00:00Z".parse().unwrap();
        sort_for_deletion(&mut pods, &related, now);
        pods.iter().map(|pod| uid(pod).to_owned()).collect()
    }

    fn pod(uid: &str, node: &str, ready_since: &str, cost: &str) -> Value {
        json!({
            "metadata": {
                "uid": uid, "creationTimestamp": "2026-01-01T00:00:00Z", "annotations": { DELETION_COST: cost },
            },
            "spec": { "nodeName": node },
            "status": {
                "phase": if ready_since.is_empty() { "Pending" } else { "Running" },
                "conditions": [{
                    "type": "Ready",
                    "status": if ready_since.is_empty() { "False" } else { "True" },
                    "lastTransitionTime": ready_since,
                }],
            },
        })
    }

    #[test]
    fn those_missed_least_go_first() {
        let old = "2026-01-01T00:00:00Z";
        let pods = [
            pod("dear", "a", old, "10"),
            pod("alone", "b", old, "0"),
            pod("doubled", "a", old, "0"),
            pod("young-and-doubled", "a", "2026-01-01T11:59:00Z", "0"),
            pod("pending", "c", "", "0"),
            pod("unassigned", "", "", "99"),
            pod("cheap", "d", old, "-1"),
        ];
        let expected = ["unassigned", "pending", "cheap", "young-and-doubled", "doubled", "alone", "dear"];
        assert_eq!(order(&pods), expected);
    }
}
