//! The controllers of workloads: those that make pods, and those that make objects which do.

mod daemon_set;
mod deployment;
mod fields;
mod hash;
mod job;
mod owned;
mod placement;
mod pod;
mod ranking;
mod replica_set;
mod revisions;

use self::daemon_set::DaemonSets;
use self::deployment::Deployments;
use self::job::Jobs;
use self::replica_set::ReplicaSets;
use super::{Again, Cluster, Controller, Key, Queue, Recorder};

/// All of them.
pub(super) fn crew() -> Vec<Box<dyn Controller>> {
    vec![
        Box::new(DaemonSets::new()),
        Box::new(Deployments::new()),
        Box::new(Jobs::new()),
        Box::new(ReplicaSets::new()),
    ]
}
