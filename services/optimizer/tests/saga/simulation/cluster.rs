//! A cluster, as far as a replaced node can tell.

use std::{collections::BTreeMap, time::Duration};

use cloud::InstanceId;
use tokio::time::Instant;

/// What comes and goes by itself, as the pods of a cron job do.
pub(super) const JOB: &str = "cron";
/// So long it takes.
const JOB_TAKES: Duration = Duration::from_secs(90);

/// A pod that nobody makes anew, as `kubectl debug node` begins one: it comes also to a node that is cordoned, and is never evicted.
pub(super) const LONER: &str = "loner";

/// A cluster of nodes and pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Cluster {
    pub(super) nodes: BTreeMap<String, ModelNode>,
    pub(super) pods: BTreeMap<String, ModelPod>,
    /// The fewest ready pods of each app that its budget allows.
    pub(super) budgets: BTreeMap<&'static str, usize>,
    next_pod: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct ModelNode {
    pub(super) instance: InstanceId,
    pub(super) is_ready: bool,
    pub(super) has_daemons: bool,
    pub(super) is_cordoned: bool,
    /// Raised with every write.
    pub(super) version: u64,
    /// Volumes that are still attached for pods that have left.
    pub(super) volumes: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct ModelPod {
    pub(super) app: &'static str,
    pub(super) node: String,
    pub(super) is_ready: bool,
    /// Since when it is there.
    pub(super) since: Instant,
}

impl ModelNode {
    pub(super) fn new(instance: InstanceId) -> Self {
        Self { instance, is_ready: false, has_daemons: false, is_cordoned: false, version: 0, volumes: 0 }
    }

    pub(super) fn takes_work(&self) -> bool {
        self.is_ready && self.has_daemons && !self.is_cordoned
    }
}

impl Cluster {
    pub(super) fn name_of(instance: &InstanceId) -> String {
        format!("node-{instance}")
    }

    pub(super) fn node_of(&self, instance: &InstanceId) -> Option<(&String, &ModelNode)> {
        self.nodes.iter().find(|(_, node)| node.instance == *instance)
    }

    pub(super) fn ready_nodes(&self) -> usize {
        self.nodes.values().filter(|node| node.is_ready).count()
    }

    /// How many nodes take work.
    pub(super) fn working_nodes(&self) -> usize {
        self.nodes.values().filter(|node| node.takes_work()).count()
    }

    pub(super) fn pods_on(&self, node: &str) -> Vec<String> {
        self.pods.iter().filter(|(_, pod)| pod.node == node).map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn ready_of(&self, app: &str) -> usize {
        self.pods.values().filter(|pod| pod.app == app && pod.is_ready).count()
    }

    /// Puts a pod on the schedulable node with the fewest.
    pub(super) fn place(&mut self, app: &'static str, is_ready: bool) -> Option<String> {
        let fits = |node: &ModelNode| node.is_ready && !node.is_cordoned;
        let counts = self.nodes.iter().filter(|(_, node)| fits(node));
        let node = counts.min_by_key(|(name, _)| (self.pods_on(name).len(), (*name).clone()))?.0.clone();
        let name = format!("{app}-{}", self.next_pod);
        self.next_pod += 1;
        self.pods.insert(name.clone(), ModelPod { app, node, is_ready, since: Instant::now() });
        Some(name)
    }

    /// Starts a job, and lets those end that have had their time.
    pub(super) fn begin_job(&mut self) {
        self.pods.retain(|_, pod| pod.app != JOB || pod.since.elapsed() < JOB_TAKES);
        self.place(JOB, true);
    }

    /// Puts the loner on a node.
    pub(super) fn begin_loner(&mut self, node: &str) {
        let pod = ModelPod { app: LONER, node: node.to_owned(), is_ready: true, since: Instant::now() };
        self.pods.insert(LONER.to_owned(), pod);
    }

    /// Whether the loner is on a node.
    pub(super) fn has_loner(&self, node: &str) -> bool {
        self.pods.get(LONER).is_some_and(|pod| pod.node == node)
    }

    /// As it would be without any job.
    pub(super) fn forget_jobs(&mut self) {
        self.pods.retain(|_, pod| pod.app != JOB && pod.app != LONER);
        self.next_pod = 0;
    }

    /// Evicts a pod if its budget allows it, and tells which pod takes its place.
    pub(super) fn evict(&mut self, name: &str, has_budgets: bool) -> Option<String> {
        let pod = self.pods.get(name)?;
        let (app, node) = (pod.app, pod.node.clone());
        let left = self.ready_of(app) - usize::from(pod.is_ready);
        if has_budgets && left < self.budgets.get(app).copied().unwrap_or_default() {
            return None;
        }
        self.pods.remove(name);
        if let Some(node) = self.nodes.get_mut(&node) {
            node.volumes += 1;
        }
        // A job is not begun again.
        if app == JOB { Some(name.to_owned()) } else { self.place(app, false) }
    }
}
