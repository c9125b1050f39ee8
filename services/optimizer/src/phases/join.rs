//! Waiting until what was bought is a node that takes work.

use super::{Action, Facts, Outcome, Plan, Seen};
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

/// Why the new node does not take work any more; `None` when it does, or when none was bought, as in shadow mode.
pub(super) async fn trouble(reads: &Reads, facts: &Facts) -> Result<Option<String>, ReachError> {
    if facts.launched.is_none() {
        return Ok(None);
    }
    Ok(match observe(reads, facts).await? {
        Seen::Done(..) => None,
        Seen::NotYet(why) | Seen::Failed(why) => {
            Some(format!("the new node does not take work any more: {why}"))
        }
    })
}
