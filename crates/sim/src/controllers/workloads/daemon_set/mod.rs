//! Keeps one pod on each node that a daemon set is for (`pkg/controller/daemon`).

mod status;
mod update;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::fields::{earlier, text, time};
use super::owned::Owned;
use super::placement;
use super::replica_set::delete_exactly;
use super::revisions::Revisions;
use super::{Again, Cluster, Controller, Key, Queue, Recorder, pod};
use crate::kinds::{CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS};
use crate::object::{self, Object};
use crate::status::ApiError;
use crate::store::Change;

/// `DefaultDaemonSetUniqueLabelKey`
const HASH_LABEL: &str = "controller-revision-hash";
/// `BurstReplicas`: how many pods are made or deleted at a time.
const BURST: usize = 250;

pub(crate) struct DaemonSets {
    pods: Owned,
    revisions: Owned,
    recorder: Recorder,
    /// Namespaces and names, all of which a change of a node concerns.
    sets: BTreeSet<(String, String)>,
}

/// A daemon set during one look at it.
struct Look<'a> {
    cluster: &'a Cluster<'a>,
    set: Arc<Object>,
    hash: String,
    nodes: Vec<Arc<Object>>,
    /// The pods by the node that they are for, the oldest first.
    pods: BTreeMap<String, Vec<Arc<Object>>>,
}

impl DaemonSets {
    pub(crate) fn new() -> DaemonSets {
        DaemonSets {
            pods: Owned::new(PODS, DAEMON_SETS),
            revisions: Owned::new(CONTROLLER_REVISIONS, DAEMON_SETS),
            recorder: Recorder::new("daemonset-controller"),
            sets: BTreeSet::new(),
        }
    }
}

impl Controller for DaemonSets {
    fn observe(&mut self, change: &Change, _: &Cluster<'_>, queue: &mut Queue) {
        self.pods.observe(change, queue);
        self.revisions.observe(change, queue);
        let object = &change.object;
        match change.kind.plural {
            "daemonsets" => {
                let place = (object::namespace(object).to_owned(), object::name(object).to_owned());
                if change.deleted {
                    self.sets.remove(&place);
                } else {
                    self.sets.insert(place);
                }
            }
            "nodes" if changes_placement(change) => {
                for (namespace, name) in &self.sets {
                    queue.add(Key::new(DAEMON_SETS, namespace, name));
                }
            }
            _ => {}
        }
    }

    /// `syncDaemonSet`
    fn reconcile(&mut self, key: &Key, cluster: &Cluster<'_>) -> Result<Again, ApiError> {
        let Ok(set) = cluster.api.get(DAEMON_SETS, &key.namespace, &key.name) else { return Ok(None) };
        if set["spec"]["selector"] == json!({}) {
            let message = "This daemon set is selecting all pods. A non-empty selector is required.";
            self.recorder.warning(cluster, &set, "SelectingAll", message);
            return Ok(None);
        }
        if object::is_terminating(&set) {
            return Ok(None);
        }
        let revisions = Revisions::of(&set, &mut self.revisions, HASH_LABEL, cluster)?;
        let hash = text(&revisions.update, &format!("/metadata/labels/{HASH_LABEL}")).to_owned();
        let mut look = Look {
            cluster,
            hash,
            nodes: cluster.api.objects(NODES, None),
            pods: by_node(self.pods.claim(&set, cluster)?),
            set,
        };
        let (create, mut delete) = look.manage(&mut self.recorder);
        let managed = self.apply(&look, create, &mut delete);
        look.pods = by_node(self.pods.of(&look.set, cluster));
        if managed.is_ok() && text(&look.set, "/spec/updateStrategy/type") != "OnDelete" {
            let (create, mut delete) = look.roll();
            self.apply(&look, create, &mut delete)?;
            look.pods = by_node(self.pods.of(&look.set, cluster));
        }
        look.write_status(revisions.collisions)?;
        managed?;
        revisions.truncate(&look.set, &look.revisions_in_use(&revisions), cluster)?;
        Ok(look.next_available())
    }
}

/// A heartbeat of a node concerns no daemon set.
fn changes_placement(change: &Change) -> bool {
    let Some(before) = change.before.as_ref().filter(|_| !change.deleted) else { return true };
    before["spec"] != change.object["spec"]
        || before["metadata"]["labels"] != change.object["metadata"]["labels"]
}

fn by_node(pods: Vec<Arc<Object>>) -> BTreeMap<String, Vec<Arc<Object>>> {
    let mut by_node: BTreeMap<String, Vec<Arc<Object>>> = BTreeMap::new();
    for pod in pods {
        // One that has ended and is being deleted is as good as gone.
        let gone = object::is_terminating(&pod) && pod::is_finished(&pod);
        if let Some(node) = placement::node_of(&pod).filter(|_| !gone).map(str::to_owned) {
            by_node.entry(node).or_default().push(pod);
        }
    }
    for pods in by_node.values_mut() {
        let age = |pod: &Value| (time(pod, "/metadata/creationTimestamp"), object::name(pod).to_owned());
        pods.sort_by_cached_key(|pod| age(pod));
    }
    by_node
}

impl DaemonSets {
    /// Makes and deletes pods, up to a bound.
    fn apply(
        &mut self,
        look: &Look<'_>,
        create: Vec<String>,
        delete: &mut Vec<Arc<Object>>,
    ) -> Result<(), ApiError> {
        for node in create.into_iter().take(BURST) {
            match look.cluster.api.create(look.pod_for(&node)) {
                Ok(created) => {
                    self.pods.note(&created);
                    let message = format!("Created pod: {}", object::name(&created));
                    self.recorder.normal(look.cluster, &look.set, "SuccessfulCreate", &message);
                }
                Err(error) => {
                    let message = format!("Error creating: {}", error.message);
                    self.recorder.warning(look.cluster, &look.set, "FailedCreate", &message);
                    return Err(error);
                }
            }
        }
        delete.truncate(BURST);
        for victim in delete {
            delete_exactly(victim, look.cluster)?;
            let message = format!("Deleted pod: {}", object::name(victim));
            self.recorder.normal(look.cluster, &look.set, "SuccessfulDelete", &message);
        }
        Ok(())
    }
}

impl Look<'_> {
    fn template_spec(&self) -> &Value {
        &self.set["spec"]["template"]["spec"]
    }

    fn pods_on(&self, node: &str) -> &[Arc<Object>] {
        self.pods.get(node).map(Vec::as_slice).unwrap_or_default()
    }

    /// Which nodes lack a pod, and which pods are too many (`podsShouldBeOnNode`).
    fn manage(&self, recorder: &mut Recorder) -> (Vec<String>, Vec<Arc<Object>>) {
        let (mut create, mut delete) = (Vec::new(), Vec::new());
        for node in &self.nodes {
            let name = object::name(node);
            let pods = self.pods_on(name);
            let (should_run, should_stay) = placement::should_run(self.template_spec(), node);
            let staying = pods.iter().filter(|pod| !object::is_terminating(pod));
            if !should_stay {
                delete.extend(staying.cloned());
                continue;
            }
            if pods.is_empty() && should_run {
                create.push(name.to_owned());
            }
            let (ended, running): (Vec<_>, Vec<_>) = staying.cloned().partition(|pod| pod::is_finished(pod));
            for pod in &ended {
                let phase = text(pod, "/status/phase");
                let reason = if phase == "Failed" { "FailedDaemonPod" } else { "SucceededDaemonPod" };
                let message = format!(
                    "Found {} daemon pod {} on node {name}, will try to kill it",
                    phase.to_lowercase(),
                    object::name(pod),
                );
                recorder.warning(self.cluster, &self.set, reason, &message);
            }
            delete.extend(ended);
            // While a node is updated with surge, it has an old and a new pod.
            let (new, old): (Vec<_>, Vec<_>) = running.into_iter().partition(|pod| self.is_new(pod));
            if self.surges() {
                delete.extend(new.into_iter().skip(1).chain(old.into_iter().skip(1)));
            } else {
                // An available pod is not given up for one that may never be.
                delete.extend(old.into_iter().chain(new).skip(1));
            }
        }
        let known: BTreeSet<&str> = self.nodes.iter().map(|node| object::name(node)).collect();
        let stranded = self.pods.iter().filter(|(node, _)| !known.contains(node.as_str()));
        // Those that ran are for the garbage collection of pods.
        let unassigned =
            |pod: &&Arc<Object>| text(pod, "/spec/nodeName").is_empty() && !object::is_terminating(pod);
        delete.extend(stranded.flat_map(|(_, pods)| pods.iter().filter(unassigned).cloned()));
        (create, delete)
    }

    fn is_new(&self, pod: &Value) -> bool {
        text(pod, &format!("/metadata/labels/{HASH_LABEL}")) == self.hash
    }

    /// `CreatePodTemplate` and the node that the pod is for.
    fn pod_for(&self, node: &str) -> Value {
        let mut wanted = pod::from_template(&self.set["spec"]["template"], &self.set);
        let generation = text(&self.set, "/metadata/annotations/deprecated.daemonset.template.generation");
        pod::set_label(&mut wanted, "pod-template-generation", generation);
        pod::set_label(&mut wanted, HASH_LABEL, &self.hash);
        let mut tolerations = super::fields::list(&wanted, "/spec/tolerations").to_vec();
        for toleration in placement::default_tolerations(&wanted["spec"]) {
            if !tolerations.contains(&toleration) {
                tolerations.push(toleration);
            }
        }
        super::fields::set(&mut wanted, &["spec", "tolerations"], tolerations.into());
        placement::tie_to(&mut wanted["spec"], node);
        wanted
    }

    fn available_at(&self, pod: &Value) -> Again {
        pod::available_at(pod, super::fields::number(&self.set, "/spec/minReadySeconds"))
    }

    fn is_available(&self, pod: &Value) -> bool {
        self.available_at(pod).is_some_and(|at| at <= self.cluster.now)
    }

    fn next_available(&self) -> Again {
        let times = self.pods.values().flatten().map(|pod| self.available_at(pod));
        times.filter(|at| at.is_some_and(|at| at > self.cluster.now)).fold(None, earlier)
    }

    /// The names of the revisions that pods have, and that of the template.
    fn revisions_in_use(&self, revisions: &Revisions) -> BTreeSet<String> {
        let hash = |object: &Value| text(object, &format!("/metadata/labels/{HASH_LABEL}")).to_owned();
        let mut hashes: BTreeSet<String> = self.pods.values().flatten().map(|pod| hash(pod)).collect();
        hashes.insert(self.hash.clone());
        let in_use = revisions.all.iter().filter(|revision| hashes.contains(&hash(revision)));
        in_use.map(|revision| object::name(revision).to_owned()).collect()
    }
}
