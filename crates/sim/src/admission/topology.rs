//! `PodTopologyLabels`: a pod bears the region and the zone of its node.

use serde_json::Value;

use crate::kinds::NODES;
use crate::store::Transaction;

const LABELS: [&str; 2] = ["topology.kubernetes.io/region", "topology.kubernetes.io/zone"];

/// A pod that is created on a node.
pub(super) fn pod(store: &Transaction<'_>, pod: &mut Value) {
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned();
    if !node.is_empty() {
        labels(store, &node, pod);
    }
}

/// A pod that is bound to a node.
pub(crate) fn labels(store: &Transaction<'_>, node: &str, pod: &mut Value) {
    let Some(node) = store.get(NODES, node) else { return };
    for key in LABELS {
        let value = &node["metadata"]["labels"][key];
        let metadata = pod.get_mut("metadata").and_then(Value::as_object_mut);
        if let (Value::String(_), Some(metadata)) = (value, metadata) {
            let labels = metadata.entry("labels").or_insert_with(|| Value::Object(serde_json::Map::new()));
            if let Some(labels) = labels.as_object_mut() {
                labels.insert(key.to_owned(), value.clone());
            }
        }
    }
}
