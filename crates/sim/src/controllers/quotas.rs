//! What a quota bounds is counted into its status (`pkg/controller/resourcequota/resource_quota_controller.go`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{Again, Cluster, Controller, Key, Queue};
use crate::admission;
use crate::kinds::{KINDS, RESOURCE_QUOTAS};
use crate::object;
use crate::schema::Quantity;
use crate::status::ApiError;
use crate::store::Change;

/// Looks at resource quotas.
#[derive(Default)]
pub(crate) struct Quotas {
    /// By namespace.
    quotas: BTreeMap<String, BTreeSet<String>>,
}

impl Controller for Quotas {
    fn observe(&mut self, change: &Change, _: &Cluster<'_>, queue: &mut Queue) {
        let (namespace, name) = (object::namespace(&change.object), object::name(&change.object));
        if change.kind.plural == RESOURCE_QUOTAS.plural {
            let quotas = self.quotas.entry(namespace.to_owned()).or_default();
            if change.deleted {
                quotas.remove(name);
            } else {
                quotas.insert(name.to_owned());
            }
        }
        for quota in self.quotas.get(namespace).into_iter().flatten() {
            queue.add(Key::new(RESOURCE_QUOTAS, namespace, quota));
        }
    }

    fn reconcile(&mut self, key: &Key, cluster: &Cluster<'_>) -> Result<Again, ApiError> {
        let Ok(quota) = cluster.api.get(RESOURCE_QUOTAS, &key.namespace, &key.name) else { return Ok(None) };
        let hard = quota["spec"]["hard"].as_object().cloned().unwrap_or_default();
        let mut used: Map<String, Value> =
            hard.keys().map(|resource| (resource.clone(), Quantity::ZERO.to_string().into())).collect();
        for kind in KINDS.iter().filter(|kind| kind.namespaced) {
            let objects = cluster.api.objects(kind, Some(&key.namespace));
            for (resource, amount) in admission::quota::used(kind, &objects) {
                if let Some(told) = used.get_mut(&resource) {
                    *told = (Quantity::of(told) + amount).to_string().into();
                }
            }
        }
        let status = json!({ "hard": hard, "used": used });
        if quota["status"] != status {
            cluster.api.update_status(RESOURCE_QUOTAS, &key.namespace, &key.name, |quota| {
                quota["status"] = status;
            })?;
        }
        Ok(None)
    }
}
