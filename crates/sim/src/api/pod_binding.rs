//! The `binding` subresource: how the scheduler gives a pod to a node (`pkg/registry/core/pod/storage/storage.go`).

use std::sync::Arc;

use serde_json::json;

use super::{Api, Part, WriteOptions};
use crate::kinds::PODS;
use crate::object::{self, Object};
use crate::status::ApiError;

impl Api {
    /// Gives a pod that waits for a node to one.
    ///
    /// # Errors
    /// 404 when the pod is not there, 409 when it has a node already or is terminating.
    pub fn bind(&self, namespace: &str, pod: &str, node: &str) -> Result<Arc<Object>, ApiError> {
        self.bind_with(namespace, pod, node, &WriteOptions::default())
    }

    pub(crate) fn bind_with(
        &self,
        namespace: &str,
        pod: &str,
        node: &str,
        options: &WriteOptions,
    ) -> Result<Arc<Object>, ApiError> {
        let now = object::time(self.clock.now());
        self.update_with(PODS, namespace, pod, Part::Binding, options, |object| {
            let bound = object["spec"]["nodeName"].as_str().unwrap_or_default();
            if !bound.is_empty() {
                let why = format!("pod {pod} is already assigned to node \"{bound}\"");
                return Err(ApiError::conflict_on("", "pods/binding", pod, &why));
            }
            if object::is_terminating(object) {
                let why = format!("pod {pod} is being deleted, cannot be assigned to a host");
                return Err(ApiError::conflict_on("", "pods/binding", pod, &why));
            }
            object["spec"]["nodeName"] = node.into();
            let scheduled = json!({
                "type": "PodScheduled",
                "status": "True",
                "lastProbeTime": null,
                "lastTransitionTime": now,
            });
            object::set_condition(object, scheduled);
            Ok(())
        })
    }
}
