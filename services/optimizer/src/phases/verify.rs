//! Seeing that everything is as it should be.

use super::{Action, Facts, Plan, Seen};
use crate::reach::{ReachError, Reads};

pub(super) fn plan() -> Plan {
    Plan {
        why: "it is looked whether the old node is gone and everything else as it was".to_owned(),
        action: Some(Action::Verify),
        ..Plan::default()
    }
}

pub(super) async fn observe(reads: &Reads, facts: &Facts) -> Result<Seen, ReachError> {
    let target = &facts.target;
    if !reads.is_over(&target.instance_id).await? {
        return Ok(Seen::NotYet(format!("{} is not ended yet", target.instance_id)));
    }
    if let Some(node) = reads.cluster.node_of(&target.instance_id).await? {
        return Ok(Seen::NotYet(format!("node {} is still in the cluster", node.name)));
    }
    let ready = reads.cluster.ready_nodes().await?;
    if ready < facts.ready_nodes {
        return Ok(Seen::NotYet(format!("{ready} nodes are Ready, at first it was {}", facts.ready_nodes)));
    }
    if let Some(seen) = &facts.group
        && let Some(group) = reads.cloud.group(&seen.name).await?
        && group.desired != seen.desired
    {
        // Somebody else may have wanted that: it is told, and not changed.
        return Ok(Seen::done(format!(
            "the old node is gone, {ready} nodes are Ready; group {} is to have {} now, at first it was {}",
            seen.name, group.desired, seen.desired
        )));
    }
    Ok(Seen::done(format!("the old node is gone, {ready} nodes are Ready, the group is as it was")))
}
