//! What every namespace has for its pods to speak with the API server: the service account `default`
//! (`pkg/controller/serviceaccount/serviceaccounts_controller.go`) and the certificate of the cluster's authority
//! (`pkg/controller/certificates/rootcacertpublisher/publisher.go`).

use serde_json::json;

use super::{Again, Cluster, Controller, Key, Queue};
use crate::kinds::{CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS};
use crate::object;
use crate::status::ApiError;
use crate::store::Change;

const ACCOUNT: &str = "default";
const AUTHORITY: &str = "kube-root-ca.crt";

/// Looks at namespaces.
pub(crate) struct ServiceAccounts {
    pub(crate) ca_pem: String,
}

impl Controller for ServiceAccounts {
    fn observe(&mut self, change: &Change, _: &Cluster<'_>, queue: &mut Queue) {
        let (namespace, name) = (object::namespace(&change.object), object::name(&change.object));
        let namespace = match change.kind.plural {
            "namespaces" => name,
            "serviceaccounts" if name == ACCOUNT => namespace,
            "configmaps" if name == AUTHORITY => namespace,
            _ => return,
        };
        queue.add(Key::new(NAMESPACES, "", namespace));
    }

    fn reconcile(&mut self, key: &Key, cluster: &Cluster<'_>) -> Result<Again, ApiError> {
        let api = cluster.api;
        let namespace = key.name.as_str();
        let Ok(present) = api.get(NAMESPACES, "", namespace) else { return Ok(None) };
        if object::is_terminating(&present) {
            return Ok(None);
        }
        if api.get(SERVICE_ACCOUNTS, namespace, ACCOUNT).is_err() {
            api.create(json!({
                "apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": { "name": ACCOUNT, "namespace": namespace },
            }))?;
        }
        let data = json!({ "ca.crt": self.ca_pem });
        match api.get(CONFIG_MAPS, namespace, AUTHORITY) {
            Ok(present) if present["data"] == data => {}
            Ok(_) => drop(api.update(CONFIG_MAPS, namespace, AUTHORITY, |map| map["data"] = data)?),
            Err(_) => {
                // The annotation is `DescriptionAnnotation` of the publisher.
                let description = "Contains a CA bundle that can be used to verify the kube-apiserver when using \
                                   internal endpoints such as the internal service IP or kubernetes.default.svc. \
                                   No other usage is guaranteed across distributions of Kubernetes clusters.";
                let annotations = json!({ "kubernetes.io/description": description });
                api.create(json!({
                    "apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": { "name": AUTHORITY, "namespace": namespace, "annotations": annotations },
                    "data": data,
                }))?;
            }
        }
        Ok(None)
    }
}
