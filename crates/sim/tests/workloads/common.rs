//! What the tests make and wait for.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Result, bail};
use k8s_openapi::api::core::v1::Event;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, core::GroupVersionKind, discovery::ApiResource};
use serde_json::{Value, json};
use sim::{Delays, Options, Seed};
use testkit::Cluster;

/// How long a cluster may take for what it shall do; a real one starts containers meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is asked.
const INTERVAL: Duration = Duration::from_millis(20);

/// A cluster with three nodes where nothing takes time, or a real one.
pub(crate) async fn cluster() -> Result<Cluster> {
    let cluster = Cluster::simulated_or_real(options()).await?;
    if cluster.sim().is_some() {
        add_nodes(&cluster).await?;
    }
    Ok(cluster)
}

/// A simulator with three nodes where nothing takes time, for tests in which more happens than stand-in nodes do.
pub(crate) async fn simulated() -> Result<Cluster> {
    let cluster = Cluster::simulated(options()).await?;
    add_nodes(&cluster).await?;
    Ok(cluster)
}

/// The host names of some nodes that are ready and take any pod of a daemon set.
pub(crate) async fn workers(cluster: &Cluster) -> Result<Vec<String>> {
    let takes_all = |node: &Value| {
        let mut taints = node["spec"]["taints"].as_array().into_iter().flatten();
        condition(node, "Ready")["status"] == "True"
            // Another test may be draining it; a daemon set does not mind.
            && taints.all(|taint| taint["key"] == "node.kubernetes.io/unschedulable")
    };
    let look = async || {
        let nodes = Objects::all(cluster, "v1", "Node").list("kubernetes.io/hostname").await?;
        let workers = nodes.iter().filter(|node| takes_all(node)).take(3);
        let workers: Vec<_> = workers
            .filter_map(|node| node["metadata"]["labels"]["kubernetes.io/hostname"].as_str())
            .map(str::to_owned)
            .collect();
        Ok(if workers.is_empty() { Err(nodes) } else { Ok(workers) })
    };
    wait("a node that is ready", look).await
}

async fn add_nodes(cluster: &Cluster) -> Result<()> {
    for number in 0..3 {
        Objects::all(cluster, "v1", "Node").create(node(&format!("node-{number}"))).await?;
    }
    Ok(())
}

pub(crate) fn options() -> Options {
    Options { seed: Seed::Empty, delays: Delays::none(), ..Options::default() }
}

/// A node that has room.
pub(crate) fn node(name: &str) -> Value {
    let resources = json!({ "cpu": "64", "memory": "256Gi", "pods": "500", "ephemeral-storage": "100Gi" });
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } },
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "",
                "lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
        },
    })
}

/// A template whose pods run until they are stopped.
pub(crate) fn template(app: &str, image: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": app } },
        "spec": { "terminationGracePeriodSeconds": 1, "containers": [{ "name": "main", "image": image }] },
    })
}

/// The node selector of pods that no node is for.
pub(crate) fn nowhere() -> Value {
    json!({ "kubernetes.io/hostname": "nowhere" })
}

/// The objects of a kind, as JSON.
pub(crate) struct Objects {
    api: Api<DynamicObject>,
    api_version: &'static str,
    kind: &'static str,
}

impl Objects {
    /// Those of the test's namespace.
    pub(crate) fn of(cluster: &Cluster, api_version: &'static str, kind: &'static str) -> Objects {
        let api = Api::namespaced_with(cluster.client(), cluster.namespace(), &resource(api_version, kind));
        Objects { api, api_version, kind }
    }

    /// Those outside of namespaces.
    pub(crate) fn all(cluster: &Cluster, api_version: &'static str, kind: &'static str) -> Objects {
        let api = Api::all_with(cluster.client(), &resource(api_version, kind));
        Objects { api, api_version, kind }
    }

    pub(crate) async fn create(&self, mut object: Value) -> Result<Value> {
        object["apiVersion"] = self.api_version.into();
        object["kind"] = self.kind.into();
        let object = serde_json::from_value(object)?;
        Ok(serde_json::to_value(self.api.create(&PostParams::default(), &object).await?)?)
    }

    pub(crate) async fn get(&self, name: &str) -> Result<Value> {
        Ok(serde_json::to_value(self.api.get(name).await?)?)
    }

    pub(crate) async fn find(&self, name: &str) -> Result<Option<Value>> {
        Ok(self.api.get_opt(name).await?.map(serde_json::to_value).transpose()?)
    }

    /// Those with the labels.
    pub(crate) async fn list(&self, labels: &str) -> Result<Vec<Value>> {
        let page = self.api.list(&ListParams::default().labels(labels)).await?;
        page.items.into_iter().map(|item| Ok(serde_json::to_value(item)?)).collect()
    }

    /// A merge patch.
    pub(crate) async fn patch(&self, name: &str, patch: Value) -> Result<Value> {
        let patched = self.api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(serde_json::to_value(patched)?)
    }

    pub(crate) async fn delete(&self, name: &str, params: &DeleteParams) -> Result<()> {
        self.api.delete(name, params).await?;
        Ok(())
    }

    /// Waits until the object is as it should be.
    pub(crate) async fn until(&self, name: &str, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
        let look = async || match self.find(name).await? {
            Some(object) if is_so(&object) => Ok(Ok(object)),
            other => Ok(Err(other)),
        };
        wait(&format!("{} {name}", self.kind), look).await
    }

    /// Waits until the objects with the labels are as they should be.
    pub(crate) async fn until_all(
        &self,
        labels: &str,
        are_so: impl Fn(&[Value]) -> bool,
    ) -> Result<Vec<Value>> {
        let look = async || {
            let all = self.list(labels).await?;
            Ok(if are_so(&all) { Ok(all) } else { Err(all) })
        };
        wait(&format!("{} with {labels}", self.kind), look).await
    }

    pub(crate) async fn until_gone(&self, name: &str) -> Result<()> {
        let look = async || Ok(self.find(name).await?.map_or(Ok(()), Err));
        wait(&format!("{} {name} to be gone", self.kind), look).await
    }
}

/// Looks again until there is an answer; says what was seen last when it takes too long.
async fn wait<T, U: Debug>(what: &str, look: impl AsyncFn() -> Result<Result<T, U>>) -> Result<T> {
    let mut seen = None;
    let waiting = async {
        loop {
            match look().await? {
                Ok(found) => return Ok(found),
                Err(other) => seen = Some(other),
            }
            tokio::time::sleep(INTERVAL).await;
        }
    };
    match tokio::time::timeout(PATIENCE, waiting).await {
        Ok(found) => found,
        Err(_) => bail!("{what} is not as it should be: {seen:#?}"),
    }
}

fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// Whether the pods that are there, stopping ones aside, are so many and all ready.
pub(crate) fn ready(pods: &[Value], many: usize) -> bool {
    let staying: Vec<_> = pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).collect();
    staying.len() == many && staying.iter().all(|pod| is_ready(pod))
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// The condition of a type.
pub(crate) fn condition<'a>(object: &'a Value, condition_type: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().find(|condition| condition["type"] == condition_type).unwrap_or(&Value::Null)
}

/// Names of objects.
pub(crate) fn names(objects: &[Value]) -> Vec<String> {
    objects.iter().filter_map(|object| object["metadata"]["name"].as_str().map(str::to_owned)).collect()
}

/// Waits for an event about an object, by reason and the beginning of its message.
pub(crate) async fn until_told(
    cluster: &Cluster,
    kind: &str,
    name: &str,
    reason: &str,
    message: &str,
) -> Result<Event> {
    let events: Api<Event> = cluster.namespaced();
    let fields = format!("involvedObject.kind={kind},involvedObject.name={name},reason={reason}");
    let look = async || {
        let told = events.list(&ListParams::default().fields(&fields)).await?.items;
        let found =
            told.iter().find(|event| event.message.as_deref().is_some_and(|text| text.starts_with(message)));
        Ok(found.cloned().ok_or(told))
    };
    wait(&format!("{kind} {name} {reason} {message}"), look).await
}
