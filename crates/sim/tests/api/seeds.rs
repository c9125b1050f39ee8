//! What the seeds plant.

use anyhow::{Context as _, Result};
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, Namespace, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::api::storage::v1::StorageClass;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sim::kinds::{KINDS, by_plural};
use sim::{Api, ListQuery, Options, Seed, Sim};

async fn planted(seed: Seed) -> Result<Sim> {
    Ok(Sim::start(Options { seed, ..Options::default() }).await?)
}

fn items(api: &Api, plural: &str) -> Result<Vec<Value>> {
    let kind = by_plural(plural).with_context(|| format!("no kind {plural}"))?;
    let page = api.list(kind, &ListQuery::default())?;
    Ok(page.items.iter().map(|object| Value::clone(object)).collect())
}

fn names(api: &Api) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for kind in KINDS {
        for object in items(api, kind.plural)? {
            names.push(format!(
                "{}/{}/{}",
                kind.plural, object["metadata"]["namespace"], object["metadata"]["name"]
            ));
        }
    }
    Ok(names)
}

/// Reads all objects of a kind as their type; nothing may be lost on the way.
fn check<K: DeserializeOwned + Serialize>(api: &Api, plural: &str) -> Result<usize> {
    let objects = items(api, plural)?;
    for object in &objects {
        let typed: K = serde_json::from_value(object.clone()).with_context(|| object.to_string())?;
        let unknown = lost(object, &serde_json::to_value(typed)?, String::new());
        assert_eq!(unknown, Vec::<String>::new(), "{}", object["metadata"]["name"]);
    }
    Ok(objects.len())
}

/// Paths that are in `before` and not in `after`; empty values may go.
fn lost(before: &Value, after: &Value, path: String) -> Vec<String> {
    match before {
        Value::Null => Vec::new(),
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| lost(value, &after[name], format!("{path}.{name}")))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .flat_map(|(at, item)| lost(item, &after[at], format!("{path}[{at}]")))
            .collect(),
        scalar if scalar == after || !after.is_null() => Vec::new(),
        scalar if *scalar == "" => Vec::new(),
        _ => vec![path],
    }
}

#[tokio::test]
async fn every_object_of_the_shop_is_one_of_its_type() -> Result<()> {
    let sim = planted(Seed::Shop).await?;
    let store = sim.api();
    let checked = [
        check::<Namespace>(store, "namespaces")?,
        check::<Node>(store, "nodes")?,
        check::<Pod>(store, "pods")?,
        check::<Service>(store, "services")?,
        check::<ConfigMap>(store, "configmaps")?,
        check::<Deployment>(store, "deployments")?,
        check::<ReplicaSet>(store, "replicasets")?,
        check::<StatefulSet>(store, "statefulsets")?,
        check::<DaemonSet>(store, "daemonsets")?,
        check::<ControllerRevision>(store, "controllerrevisions")?,
        check::<Job>(store, "jobs")?,
        check::<CronJob>(store, "cronjobs")?,
        check::<PodDisruptionBudget>(store, "poddisruptionbudgets")?,
        check::<ClusterRole>(store, "clusterroles")?,
        check::<ClusterRoleBinding>(store, "clusterrolebindings")?,
        check::<Endpoints>(store, "endpoints")?,
        check::<EndpointSlice>(store, "endpointslices")?,
        check::<PriorityClass>(store, "priorityclasses")?,
        check::<StorageClass>(store, "storageclasses")?,
    ];
    assert!(checked.iter().all(|count| *count > 0), "{checked:?}");
    assert_eq!(checked.iter().sum::<usize>(), names(store)?.len(), "a kind is not checked");
    assert_eq!(checked[1], 4);
    assert!(checked[2] >= 48, "{} pods", checked[2]);
    Ok(())
}

#[tokio::test]
async fn the_shop_has_troubles() -> Result<()> {
    let sim = planted(Seed::Shop).await?;
    let pods = items(sim.api(), "pods")?;
    let waiting = |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].clone();
    for reason in ["CrashLoopBackOff", "ImagePullBackOff"] {
        assert_eq!(pods.iter().filter(|pod| waiting(pod) == reason).count(), 1, "{reason}");
    }
    assert!(pods.iter().any(|pod| pod["status"]["phase"] == "Pending" && pod["spec"]["nodeName"].is_null()));
    assert!(pods.iter().any(|pod| pod["status"]["phase"] == "Succeeded"));
    Ok(())
}

#[tokio::test]
async fn owners_are_there() -> Result<()> {
    let sim = planted(Seed::Shop).await?;
    let mut uids = Vec::new();
    let mut owners = Vec::new();
    for kind in KINDS {
        for object in items(sim.api(), kind.plural)? {
            uids.push(object["metadata"]["uid"].clone());
            owners.extend(object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default());
        }
    }
    assert!(!owners.is_empty());
    assert!(owners.iter().all(|owner| uids.contains(&owner["uid"])));
    Ok(())
}

#[tokio::test]
async fn the_same_seed_gives_the_same_names() -> Result<()> {
    for seed in [Seed::Shop, Seed::Empty, Seed::Sized { nodes: 3, pods: 25 }] {
        assert_eq!(names(planted(seed).await?.api())?, names(planted(seed).await?.api())?);
    }
    Ok(())
}

#[tokio::test]
async fn sizes_are_as_asked() -> Result<()> {
    let sim = planted(Seed::Sized { nodes: 7, pods: 1234 }).await?;
    assert_eq!(check::<Node>(sim.api(), "nodes")?, 7);
    assert_eq!(check::<Pod>(sim.api(), "pods")?, 1234);
    let empty = planted(Seed::Empty).await?;
    assert_eq!(check::<Namespace>(empty.api(), "namespaces")?, 4);
    assert_eq!(check::<Pod>(empty.api(), "pods")?, 0);
    Ok(())
}
