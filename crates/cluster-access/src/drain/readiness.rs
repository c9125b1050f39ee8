//! Whether a node can do its work: what a new machine is waited for.

use std::{
    collections::{BTreeSet, HashSet},
    fmt,
};

use k8s_openapi::api::{
    apps::v1::DaemonSet,
    core::v1::{Node, Pod, Taint},
};
use kube::{Api, api::ListParams};
use serde::Serialize;

use super::{
    DrainError, Drainer,
    filter::{controller, is_ready},
    listing::{of_node, pages},
    node::{self, is_cordoned},
    placement::Place,
};

/// What a node has until it is set up. Beside these whatever is named `…/agent-not-ready`, as by Cilium and the CSI drivers of AWS
/// (<https://kubernetes.io/docs/reference/labels-annotations-taints/>).
const STARTUP: [&str; 4] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/network-unavailable",
    "node.cloudprovider.kubernetes.io/uninitialized",
];
/// What others call their taints of this kind.
const STARTUP_PARTS: [&str; 4] = [
    "startup-taint.cluster-autoscaler.kubernetes.io/",
    "ignore-taint.cluster-autoscaler.kubernetes.io/",
    "readiness.k8s.io/",
    "/agent-not-ready",
];
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// What the pods of DaemonSets tolerate by themselves
/// (<https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#taints-and-tolerations>).
const TOLERATED: [&str; 4] = [
    UNSCHEDULABLE,
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/pid-pressure",
];

/// Which DaemonSet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DaemonSetName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for DaemonSetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Whether a node can do its work, and what is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// The node.
    pub node: String,
    /// Whether its condition `Ready` is true.
    pub ready: bool,
    /// Whether it is not cordoned.
    pub schedulable: bool,
    /// Keys of the taints that it has until it is set up, such as `node.kubernetes.io/not-ready`: one key may stand for several effects.
    pub startup_taints: BTreeSet<String>,
    /// The DaemonSets that are to run on it and have no ready pod there.
    pub missing_daemon_sets: Vec<DaemonSetName>,
}

impl Readiness {
    /// Whether nothing is missing.
    pub fn is_complete(&self) -> bool {
        self.missing().is_empty()
    }

    /// What is missing, for a person.
    pub fn missing(&self) -> Vec<String> {
        let state = [(self.ready, "it is not ready"), (self.schedulable, "it is cordoned")];
        let state = state.into_iter().filter(|(is_so, _)| !is_so).map(|(_, otherwise)| otherwise.to_owned());
        let taints = self.startup_taints.iter().map(|taint| format!("it has the taint {taint}"));
        let sets =
            self.missing_daemon_sets.iter().map(|set| format!("the DaemonSet {set} has no ready pod on it"));
        state.chain(taints).chain(sets).collect()
    }
}

impl Drainer {
    /// Whether a node can do its work: it is ready, takes pods, is set up, and each DaemonSet that is to run on it does.
    ///
    /// # Errors
    /// [`DrainError::NoSuchNode`] and [`DrainError::Access`].
    pub async fn readiness(&self, node: &str) -> Result<Readiness, DrainError> {
        let found = node::get(&self.client, node).await?;
        let mut daemon_sets = Vec::new();
        let everything = ListParams::default();
        pages(&Api::<DaemonSet>::all(self.client.clone()), &everything, |one| daemon_sets.push(one)).await?;
        // The pods come last: those of a DaemonSet that was listed are not older than it.
        let mut served = HashSet::new();
        pages(&Api::<Pod>::all(self.client.clone()), &of_node(node), |pod| {
            if is_ready(&pod) && pod.metadata.deletion_timestamp.is_none() {
                served.extend(controller(&pod).map(|owner| owner.uid.clone()));
            }
        })
        .await?;
        Ok(judged(found, &daemon_sets, &served))
    }
}

/// `served`: the UIDs of what has ready pods on the node.
fn judged(node: Node, daemon_sets: &[DaemonSet], served: &HashSet<String>) -> Readiness {
    let name = node.metadata.name.clone().unwrap_or_default();
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let schedulable = !is_cordoned(&node);
    let place = Place::of(node);
    let ready = place.is_ready;
    // A DaemonSet that a startup taint keeps off comes when the taint goes.
    let place = place.without_taints(|taint| is_startup(taint) || TOLERATED.contains(&taint.key.as_str()));
    let is_missing = |set: &&DaemonSet| {
        let uid = set.metadata.uid.as_deref().unwrap_or_default();
        set.metadata.deletion_timestamp.is_none() && !served.contains(uid) && is_for(set, &place)
    };
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    let missing = daemon_sets.iter().filter(is_missing);
    let mut missing_daemon_sets: Vec<_> = missing
        .map(|DaemonSet { metadata, .. }| DaemonSetName {
            namespace: part(&metadata.namespace),
            name: part(&metadata.name),
        })
        .collect();
    missing_daemon_sets.sort();
    Readiness {
        node: name,
        ready,
        schedulable,
        startup_taints: taints.into_iter().filter(is_startup).map(|taint| taint.key).collect(),
        missing_daemon_sets,
    }
}

fn is_startup(taint: &Taint) -> bool {
    STARTUP.contains(&taint.key.as_str()) || STARTUP_PARTS.iter().any(|part| taint.key.contains(part))
}

/// Whether it is to run there.
fn is_for(daemon_set: &DaemonSet, place: &Place) -> bool {
    let template = daemon_set.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    template.is_some_and(|pod| {
        pod.node_name.as_ref().is_none_or(|name| *name == place.name) && place.suits(pod, &[])
    })
}
