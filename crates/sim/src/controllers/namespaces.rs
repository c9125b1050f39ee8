//! The end of a namespace: everything in it is deleted, pods before all else, and then the namespace goes
//! (`pkg/controller/namespace/deletion/namespaced_resources_deleter.go`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Again, Cluster, Controller, Key, Queue, later};
use crate::api::{DeleteOptions, Part, Propagation, WriteOptions};
use crate::kinds::{KINDS, Kind, NAMESPACES};
use crate::object;
use crate::status::ApiError;
use crate::store::Change;

/// The finalizer that this controller takes away.
const FINALIZER: &str = "kubernetes";

/// Ends namespaces.
#[derive(Default)]
pub(crate) struct Namespaces {
    terminating: BTreeSet<String>,
}

impl Controller for Namespaces {
    fn observe(&mut self, change: &Change, _: &Cluster<'_>, queue: &mut Queue) {
        if change.kind.plural == "namespaces" {
            let name = object::name(&change.object);
            if change.deleted {
                self.terminating.remove(name);
            } else if object::is_terminating(&change.object) {
                self.terminating.insert(name.to_owned());
                queue.add(Key::new(NAMESPACES, "", name));
            }
        } else if self.terminating.contains(object::namespace(&change.object)) {
            queue.add(Key::new(NAMESPACES, "", object::namespace(&change.object)));
        }
    }

    fn reconcile(&mut self, key: &Key, cluster: &Cluster<'_>) -> Result<Again, ApiError> {
        let Ok(namespace) = cluster.api.get(NAMESPACES, "", &key.name) else { return Ok(None) };
        let is_ours =
            namespace["spec"]["finalizers"].as_array().is_some_and(|all| all.contains(&FINALIZER.into()));
        if !object::is_terminating(&namespace) || !is_ours {
            return Ok(None);
        }
        let deleted = object::field(&namespace, "metadata.deletionTimestamp").parse().unwrap_or(cluster.now);
        let start = later(deleted, cluster.delays.namespace);
        if start > cluster.now {
            return Ok(Some(start));
        }
        let (pods, others): (Vec<&'static Kind>, Vec<&'static Kind>) =
            KINDS.iter().filter(|kind| kind.namespaced).partition(|kind| kind.plural == "pods");
        let mut remaining = Remaining::default();
        for kind in pods {
            empty(kind, &key.name, cluster, &mut remaining)?;
        }
        if remaining.counts.is_empty() {
            for kind in others {
                empty(kind, &key.name, cluster, &mut remaining)?;
            }
        }
        write_conditions(&key.name, &remaining, cluster)?;
        if remaining.counts.is_empty() {
            let finalize = |namespace: &mut Value| {
                if let Some(finalizers) = namespace["spec"]["finalizers"].as_array_mut() {
                    finalizers.retain(|finalizer| finalizer != FINALIZER);
                }
                Ok(())
            };
            let options = WriteOptions::default();
            gone_is_fine(cluster.api.update_with(
                NAMESPACES,
                "",
                &key.name,
                Part::Finalize,
                &options,
                finalize,
            ))?;
        }
        Ok(None)
    }
}

/// What is left of a namespace.
#[derive(Default)]
struct Remaining {
    /// `pods.` or `leases.coordination.k8s.io`, and how many.
    counts: BTreeMap<String, usize>,
    finalizers: BTreeMap<String, usize>,
}

/// Deletes the objects of a kind, and counts those that stay for now.
fn empty(
    kind: &'static Kind,
    namespace: &str,
    cluster: &Cluster<'_>,
    remaining: &mut Remaining,
) -> Result<(), ApiError> {
    let options = DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
    for object in cluster.api.objects(kind, Some(namespace)) {
        if !object::is_terminating(&object) {
            gone_is_fine(cluster.api.delete(kind, namespace, object::name(&object), &options))?;
        }
    }
    let left = cluster.api.objects(kind, Some(namespace));
    if !left.is_empty() {
        remaining.counts.insert(format!("{}.{}", kind.plural, kind.group), left.len());
    }
    for object in &left {
        for finalizer in object["metadata"]["finalizers"].as_array().into_iter().flatten() {
            let finalizer = finalizer.as_str().unwrap_or_default().to_owned();
            *remaining.finalizers.entry(finalizer).or_default() += 1;
        }
    }
    Ok(())
}

/// `namespaceConditionUpdater`
fn write_conditions(name: &str, remaining: &Remaining, cluster: &Cluster<'_>) -> Result<(), ApiError> {
    let list = |entries: &BTreeMap<String, usize>, verb: &str| {
        let entries = entries.iter().map(|(what, count)| format!("{what} {verb} {count} resource instances"));
        entries.collect::<Vec<_>>().join(", ")
    };
    let content = list(&remaining.counts, "has");
    let finalizers = list(&remaining.finalizers, "in");
    let conditions = [
        (
            "NamespaceDeletionDiscoveryFailure",
            None,
            ("ResourcesDiscovered", "All resources successfully discovered"),
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            None,
            ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ),
        (
            "NamespaceDeletionContentFailure",
            None,
            ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        ),
        (
            "NamespaceContentRemaining",
            (!content.is_empty())
                .then(|| ("SomeResourcesRemain", format!("Some resources are remaining: {content}"))),
            ("ContentRemoved", "All content successfully removed"),
        ),
        (
            "NamespaceFinalizersRemaining",
            (!finalizers.is_empty()).then(|| {
                let message = format!("Some content in the namespace has finalizers remaining: {finalizers}");
                ("SomeFinalizersRemain", message)
            }),
            ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        ),
    ];
    let now = object::time(cluster.now);
    let write = |namespace: &mut Value| {
        for (condition_type, problem, (reason, message)) in conditions {
            let (status, reason, message) = match problem {
                Some((reason, message)) => ("True", reason, message),
                None => ("False", reason, message.to_owned()),
            };
            let same = |present: &&Value| {
                present["status"] == status
                    && present["reason"] == reason
                    && present["message"] == message.as_str()
            };
            if object::condition(namespace, condition_type).filter(same).is_none() {
                let condition = json!({
                    "type": condition_type,
                    "status": status,
                    "lastTransitionTime": now,
                    "reason": reason,
                    "message": message,
                });
                object::set_condition(namespace, condition);
            }
        }
    };
    gone_is_fine(cluster.api.update_status(NAMESPACES, "", name, write))
}

fn gone_is_fine<T>(answer: Result<T, ApiError>) -> Result<(), ApiError> {
    match answer {
        Err(error) if error.code != 404 => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}
