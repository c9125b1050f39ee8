//! What the tests make and wait for.

use std::time::Duration;

use anyhow::{Context as _, Result};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, PostParams};
use serde_json::{Value, json};
use sim::{Delays, Options, Seed};
use testkit::{Cluster, eventually_within};

/// How long a cluster may take for what it shall do. A real one starts containers meanwhile, and looks at a namespace
/// with finalizers in it every few seconds only.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A real node has to fetch it.
pub(crate) const IMAGE: &str = "nginx:1.27";

/// A simulator without objects, in which everything happens at once.
pub(crate) fn at_once() -> Options {
    Options { seed: Seed::Empty, delays: Delays::none(), ..Options::default() }
}

/// A simulator with one node, or a real cluster, which has nodes.
pub(crate) async fn with_nodes() -> Result<Cluster> {
    let cluster = Cluster::simulated_or_real(at_once()).await?;
    if cluster.sim().is_some() {
        node(&cluster, "a").await?;
    }
    Ok(cluster)
}

/// The objects of any kind, by `apiVersion` and `kind`, in the test's namespace.
pub(crate) fn objects(cluster: &Cluster, api_version: &str, kind: &str) -> Api<DynamicObject> {
    Api::namespaced_with(cluster.client(), cluster.namespace(), &resource(api_version, kind))
}

/// The objects of any kind that is in no namespace.
pub(crate) fn cluster_objects(cluster: &Cluster, api_version: &str, kind: &str) -> Api<DynamicObject> {
    Api::all_with(cluster.client(), &resource(api_version, kind))
}

/// Any kind, by `apiVersion` and `kind`.
pub(crate) fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk(group, version, kind))
}

/// Creates an object; one that says no namespace lands in the test's.
pub(crate) async fn create(cluster: &Cluster, object: Value) -> Result<DynamicObject> {
    let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let is_cluster_wide = ["Node", "Namespace", "PersistentVolume", "StorageClass"].contains(&kind.as_str());
    let api = if is_cluster_wide {
        cluster_objects(cluster, &api_version, &kind)
    } else {
        objects(cluster, &api_version, &kind)
    };
    Ok(api.create(&PostParams::default(), &serde_json::from_value(object)?).await?)
}

/// A node of a simulator, whose kubelet runs what is bound to it.
pub(crate) async fn node(cluster: &Cluster, name: &str) -> Result<String> {
    let name = cluster.unique(name);
    create(cluster, json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name } })).await?;
    Ok(name)
}

/// A pod with one container.
pub(crate) fn pod(name: &str, spec: Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "labels": { "app": name } },
        "spec": { "containers": [{ "name": "c", "image": IMAGE }] },
    });
    if let Value::Object(fields) = spec {
        for (field, value) in fields {
            pod["spec"][field] = value;
        }
    }
    pod
}

/// The same pod with annotations of the simulator.
pub(crate) fn told(mut pod: Value, annotations: &[(&str, &str)]) -> Value {
    for (name, value) in annotations {
        pod["metadata"]["annotations"][format!("sim.kubesage.io/{name}")] = (*value).into();
    }
    pod
}

/// The object as soon as something holds of it.
pub(crate) async fn until(
    api: &Api<DynamicObject>,
    name: &str,
    holds: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let found = eventually_within(PATIENCE, name, async || {
        let object = serde_json::to_value(api.get_opt(name).await.ok()??).ok()?;
        holds(&object).then_some(object)
    })
    .await;
    match found {
        Ok(object) => Ok(object),
        Err(error) => {
            let last = api.get_opt(name).await?.map(serde_json::to_value).transpose()?;
            Err(error).with_context(|| format!("{name} is now {last:#?}"))
        }
    }
}

/// Waits until an object is gone.
pub(crate) async fn until_gone(api: &Api<DynamicObject>, name: &str) -> Result<()> {
    eventually_within(PATIENCE, name, async || api.get_opt(name).await.ok()?.is_none().then_some(())).await
}

/// The status of a condition of an object.
pub(crate) fn condition<'a>(object: &'a Value, condition_type: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == condition_type)
}

/// Whether a condition of an object is true.
pub(crate) fn is_true(object: &Value, condition_type: &str) -> bool {
    condition(object, condition_type).is_some_and(|condition| condition["status"] == "True")
}
