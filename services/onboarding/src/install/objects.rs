//! The agent's objects are those of `k8s/agent`: what `kubectl apply -k` takes, the install script applies.

use std::{collections::BTreeSet, sync::LazyLock};

use json_patch::Patch;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Feature;
use crate::provider::Provider;

/// A file of `k8s/agent`.
macro_rules! file {
    ($path:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../k8s/agent/", $path))
    };
}

/// The objects, each by what it is, before what is special to a cluster.
#[derive(Clone)]
pub(super) struct Objects {
    pub(super) namespace: Value,
    pub(super) service_account: Value,
    pub(super) cluster_role: Value,
    pub(super) cluster_role_binding: Value,
    pub(super) deployment: Value,
}

static BASE: LazyLock<Objects> = LazyLock::new(|| Objects {
    namespace: parsed(file!("namespace.yaml")),
    service_account: parsed(file!("service-account.yaml")),
    cluster_role: parsed(file!("cluster-role.yaml")),
    cluster_role_binding: parsed(file!("cluster-role-binding.yaml")),
    deployment: parsed(file!("deployment.yaml")),
});

impl Objects {
    /// The objects with what differs at this provider, and the rights of these features.
    pub(super) fn of(provider: Provider, features: &BTreeSet<Feature>) -> Self {
        let mut objects = BASE.clone();
        if let Some(patch) = provider_patch(provider) {
            apply(&mut objects.deployment, patch);
        }
        for feature in features {
            apply(&mut objects.cluster_role, feature_patch(*feature));
        }
        objects
    }
}

/// The rules of the ClusterRole of an agent with these features, as Kubernetes writes them.
pub fn role_rules(features: &BTreeSet<Feature>) -> Value {
    Objects::of(Provider::Other, features).cluster_role["rules"].take()
}

fn provider_patch(provider: Provider) -> Option<&'static str> {
    match provider {
        Provider::Aks => Some(file!("providers/aks/patch.yaml")),
        Provider::Gke => Some(file!("providers/gke/patch.yaml")),
        Provider::Openshift => Some(file!("providers/openshift/patch.yaml")),
        Provider::Eks | Provider::Kops | Provider::Other => None,
    }
}

fn feature_patch(feature: Feature) -> &'static str {
    match feature {
        Feature::Logs => file!("features/logs/patch.yaml"),
        Feature::Analysis => file!("features/analysis/patch.yaml"),
        Feature::Usage => file!("features/usage/patch.yaml"),
    }
}

/// Applies a patch of kustomize, which is a JSON patch written as YAML.
fn apply(object: &mut Value, patch: &str) {
    let patch: Patch = parsed(patch);
    json_patch::patch(object, &patch).expect("the tests apply every patch of k8s/agent");
}

fn parsed<T: DeserializeOwned>(yaml: &str) -> T {
    serde_saphyr::from_str(yaml).expect("the tests read every file of k8s/agent")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_read_and_every_patch_fits() {
        for provider in Provider::ALL {
            let features = BTreeSet::from([Feature::Logs, Feature::Analysis, Feature::Usage]);
            let objects = Objects::of(provider, &features);
            assert_eq!(objects.namespace["kind"], "Namespace");
            assert_eq!(objects.deployment["kind"], "Deployment");
            assert!(objects.cluster_role["rules"].to_string().contains("pods/log"));
        }
    }

    #[test]
    fn no_feature_reads_secrets_or_changes_anything() {
        let rules = role_rules(&BTreeSet::from([Feature::Logs, Feature::Analysis, Feature::Usage]));
        for rule in rules.as_array().unwrap() {
            let texts = |field: &str| -> Vec<String> { serde_json::from_value(rule[field].clone()).unwrap() };
            assert!(
                texts("verbs").iter().all(|verb| ["get", "list", "watch"].contains(&verb.as_str())),
                "{rule}"
            );
            assert!(!texts("resources").iter().any(|kind| kind == "secrets" || kind == "*"), "{rule}");
        }
    }
}
