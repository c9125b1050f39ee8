//! Waiting until the volumes of what has left the old node are let go: before that they cannot be attached where they are needed.

use super::{Action, Facts, Plan, PlanError, Seen};
use crate::reach::{ReachError, Reads};

pub(super) fn plan(facts: &Facts) -> Result<Plan, PlanError> {
    let node = facts.found_node()?.to_owned();
    let why = format!("the volumes of what has left node {node} are waited for");
    Ok(Plan { why, action: Some(Action::AwaitVolumes { node }), ..Plan::default() })
}

pub(super) async fn observe(reads: &Reads, node: &str) -> Result<Seen, ReachError> {
    let volumes = reads.cluster.volumes(node).await?;
    Ok(if volumes.is_empty() {
        Seen::done(format!("no volume is attached to node {node} any more"))
    } else {
        Seen::NotYet(format!("still attached to node {node}: {}", volumes.join(", ")))
    })
}
