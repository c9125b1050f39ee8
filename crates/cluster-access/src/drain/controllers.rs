//! Whether the controller of a pod has all the pods that it wants: a budget that wants as many as there are allows one more
//! disruption once a missing one is back.

use std::collections::HashMap;

use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject},
    core::GroupVersionKind,
};

use super::{budgets::Budgets, filter::controller, listing::answered};

/// By the UIDs of controllers: how many pods they have, if these are known to be all that they want.
pub(super) type Complete = HashMap<String, Option<i64>>;

/// Asks the controllers of those pods whose budget wants as many as there are. What cannot be read is not complete.
pub(super) async fn complete(client: &Client, pods: &[Pod], budgets: &Budgets) -> Complete {
    let mut complete = Complete::new();
    for pod in pods.iter().filter(|pod| budgets.of(pod).iter().any(|budget| budget.wants_all_there_are())) {
        let Some(owner) = controller(pod).filter(|owner| !complete.contains_key(&owner.uid)) else {
            continue;
        };
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        complete.insert(owner.uid.clone(), has_all(client, namespace, owner).await);
    }
    complete
}

async fn has_all(client: &Client, namespace: &str, owner: &OwnerReference) -> Option<i64> {
    let (group, version) = owner.api_version.split_once('/').unwrap_or(("", &owner.api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &owner.kind));
    let all: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let found = answered(all.get(&owner.name)).await.ok()?;
    let (wanted, there) = (&found.data["spec"]["replicas"], &found.data["status"]["replicas"]);
    wanted.as_i64().filter(|wanted| there.as_i64() == Some(*wanted))
}
