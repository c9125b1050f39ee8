//! Letting nothing new be put on the old node.

use super::{ActError, Action, Facts, Outcome, Plan, PlanError, Seen, join};
use crate::reach::{Changes, ReachError, Reads};

pub(super) async fn plan(reads: &Reads, facts: &Facts) -> Result<Plan, PlanError> {
    join::insist(reads, facts).await?;
    let found = reads.cluster.node_of(&facts.target.instance_id).await?;
    let node = found.ok_or_else(|| PlanError::failed("the old node is gone"))?;
    Ok(if node.is_cordoned {
        Plan { why: format!("node {} is cordoned already, and stays so", node.name), ..Plan::default() }
    } else {
        let why = format!("nothing new is put on node {}", node.name);
        Plan { why, action: Some(Action::Cordon { node: node.name }), ..Plan::default() }
    })
}

pub(super) async fn act(changes: &Changes, node: &str) -> Result<Outcome, ActError> {
    changes.cluster.cordon(node).await?;
    Ok(Outcome::Nothing)
}

pub(super) async fn observe(reads: &Reads, facts: &Facts, name: &str) -> Result<Seen, ReachError> {
    Ok(match reads.cluster.node_of(&facts.target.instance_id).await? {
        Some(node) if node.is_cordoned => Seen::done(format!("node {name} is cordoned")),
        Some(_) => Seen::Failed(format!("somebody has uncordoned node {name}")),
        None => Seen::Failed(format!("node {name} is gone")),
    })
}

/// It is uncordoned whether it is to be seen that it was cordoned or not: so a late cordon, which was made for an earlier version of the node,
/// is refused.
pub(super) async fn undo(changes: &Changes, facts: &Facts, name: &str) -> Result<Seen, ReachError> {
    let instance = &facts.target.instance_id;
    if changes.node_left(instance).await?.is_none() {
        return Ok(Seen::done(format!("node {name} is gone")));
    }
    changes.cluster.uncordon(name).await?;
    Ok(Seen::done(match changes.node_left(instance).await? {
        None => format!("node {name} is gone"),
        Some(node) if node.is_cordoned => format!("somebody else keeps node {name} cordoned"),
        Some(_) => format!("node {name} is uncordoned"),
    }))
}
