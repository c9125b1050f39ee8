//! The controllers of workloads: those that make pods, and those that make objects which do.

mod cron_job;
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
mod stateful_set;

use self::cron_job::CronJobs;
use self::daemon_set::DaemonSets;
use self::deployment::Deployments;
use self::job::Jobs;
pub(crate) use self::owned::controller_of;
pub(crate) use self::placement::{default_tolerations, tie_to};
use self::replica_set::ReplicaSets;
pub(crate) use self::revisions::first as first_revision;
use self::stateful_set::StatefulSets;
use super::{Again, Cluster, Controller, Key, Queue, Recorder};

/// All of them.
pub(super) fn crew() -> Vec<Box<dyn Controller>> {
    vec![
        Box::new(CronJobs::new()),
        Box::new(DaemonSets::new()),
        Box::new(Deployments::new()),
        Box::new(Jobs::new()),
        Box::new(ReplicaSets::new()),
        Box::new(ReplicaSets::replication_controllers()),
        Box::new(StatefulSets::new()),
    ]
}
