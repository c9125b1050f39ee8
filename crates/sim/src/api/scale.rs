//! The `scale` subresource: the replicas of a workload, as `autoscaling/v1` sees them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Api, Part, WriteOptions};
use crate::kinds::Kind;
use crate::object::{self, Object};
use crate::selector::LabelSelector;
use crate::status::ApiError;

/// The `Scale` of a workload.
pub(crate) fn of(workload: &Value) -> Value {
    let metadata = &workload["metadata"];
    let mut scale = json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": {},
        "status": { "replicas": workload["status"]["replicas"].as_i64().unwrap_or_default() },
    });
    // `replicas` of a Scale is omitted when it is zero.
    if let Some(replicas) = workload["spec"]["replicas"].as_i64().filter(|replicas| *replicas != 0) {
        scale["spec"]["replicas"] = replicas.into();
    }
    if let Some(selector) = LabelSelector::of_workload(workload) {
        scale["status"]["selector"] = selector.to_string().into();
    }
    scale
}

impl Api {
    /// Writes the `Scale` of a workload: its replicas are set, what it asks for of the object is checked.
    pub(crate) fn update_scale(
        &self,
        kind: &'static Kind,
        namespace: &str,
        name: &str,
        options: &WriteOptions,
        change: impl FnOnce(&mut Value) -> Result<(), ApiError>,
    ) -> Result<Arc<Object>, ApiError> {
        self.update_with(kind, namespace, name, Part::Scale, options, |workload| {
            let mut scale = of(workload);
            change(&mut scale)?;
            let replicas = scale["spec"]["replicas"].as_i64().unwrap_or_default();
            if replicas < 0 {
                let why = format!("Invalid value: {replicas}: must be greater than or equal to 0");
                return Err(ApiError::invalid(
                    "autoscaling",
                    "Scale",
                    name,
                    "spec.replicas",
                    "FieldValueInvalid",
                    &why,
                ));
            }
            let (wanted, actual) =
                (object::field(&scale, "metadata.uid"), object::field(workload, "metadata.uid"));
            if !wanted.is_empty() && wanted != actual {
                let why = format!(
                    "Precondition failed: UID in precondition: {wanted}, UID in object meta: {actual}"
                );
                return Err(ApiError::conflict_on(kind.group, &format!("{}/scale", kind.plural), name, &why));
            }
            let version = &scale["metadata"]["resourceVersion"];
            object::set_or_remove(&mut workload["metadata"], "resourceVersion", version);
            workload["spec"]["replicas"] = replicas.into();
            Ok(())
        })
    }
}
