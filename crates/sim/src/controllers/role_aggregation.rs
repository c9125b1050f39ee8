//! Cluster roles that are made of others (`pkg/controller/clusterroleaggregation/clusterroleaggregation_controller.go`).

use serde_json::Value;

use super::{Again, Cluster, Controller, Key, Queue};
use crate::kinds::CLUSTER_ROLES;
use crate::object;
use crate::selector::LabelSelector;
use crate::status::ApiError;
use crate::store::Change;

/// Looks at cluster roles with an `aggregationRule`.
pub(crate) struct RoleAggregation;

impl Controller for RoleAggregation {
    fn observe(&mut self, change: &Change, cluster: &Cluster<'_>, queue: &mut Queue) {
        if !std::ptr::eq(change.kind, CLUSTER_ROLES) {
            return;
        }
        for role in cluster.api.objects(CLUSTER_ROLES, None) {
            if role["aggregationRule"].is_object() {
                queue.add(Key::of(CLUSTER_ROLES, &role));
            }
        }
    }

    fn reconcile(&mut self, key: &Key, cluster: &Cluster<'_>) -> Result<Again, ApiError> {
        let Ok(role) = cluster.api.get(CLUSTER_ROLES, "", &key.name) else { return Ok(None) };
        let Some(selectors) = role["aggregationRule"]["clusterRoleSelectors"].as_array() else {
            return Ok(None);
        };
        let others = cluster.api.objects(CLUSTER_ROLES, None);
        let mut rules: Vec<Value> = Vec::new();
        for selector in selectors.iter().filter_map(LabelSelector::of) {
            let parts =
                others.iter().filter(|other| object::name(other) != key.name && selector.matches(other));
            for rule in parts.flat_map(|other| other["rules"].as_array().into_iter().flatten()) {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
        }
        let rules = Value::Array(rules);
        if role["rules"] != rules {
            cluster.api.update(CLUSTER_ROLES, "", &key.name, |role| role["rules"] = rules)?;
        }
        Ok(None)
    }
}
