//! Waiting until what was bought is a node that takes work.

use super::{Action, Facts, Outcome, Plan, PlanError, Seen};
use crate::reach::{ReachError, Reads};

pub(super) fn plan() -> Plan {
    Plan {
        why: "the new node is waited for, until it is Ready, schedulable, and its DaemonSets are up"
            .to_owned(),
        action: Some(Action::AwaitNode),
        ..Plan::default()
    }
}

pub(super) async fn observe(reads: &Reads, facts: &Facts) -> Result<Seen, ReachError> {
    let Some(id) = &facts.launched else {
        return Ok(Seen::Failed("what was bought is not known".to_owned()));
    };
    if reads.is_over(id).await? {
        return Ok(Seen::Failed(format!("{id} was ended before it was a node")));
    }
    let Some(node) = reads.cluster.node_of(id).await? else {
        return Ok(Seen::NotYet(format!("{id} has not joined the cluster")));
    };
    let missing = reads.cluster.missing(&node.name).await?;
    Ok(if missing.is_empty() {
        Seen::Done(format!("node {} takes work", node.name), Outcome::Joined { node: node.name })
    } else {
        Seen::NotYet(format!("node {}: {}", node.name, missing.join(", ")))
    })
}

/// Whether the new node still takes work; also when none was bought, as in shadow mode.
pub(super) async fn still(reads: &Reads, facts: &Facts) -> Result<Seen, ReachError> {
    if facts.launched.is_none() {
        return Ok(Seen::done("nothing was bought"));
    }
    let trouble = |why| format!("the new node does not take work any more: {why}");
    Ok(match observe(reads, facts).await? {
        done @ Seen::Done(..) => done,
        Seen::NotYet(why) => Seen::NotYet(trouble(why)),
        Seen::Failed(why) => Seen::Failed(trouble(why)),
    })
}

/// Has nothing decided while the new node does not take work. It may be for a moment, such as when a DaemonSet's pod starts anew: that is waited
/// for.
pub(super) async fn insist(reads: &Reads, facts: &Facts) -> Result<(), PlanError> {
    match still(reads, facts).await? {
        Seen::Done(..) => Ok(()),
        Seen::NotYet(why) => Err(PlanError::Unreadable(why)),
        Seen::Failed(why) => Err(PlanError::failed(why)),
    }
}
