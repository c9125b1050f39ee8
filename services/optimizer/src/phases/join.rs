//! Waiting until what was bought is a node that takes work.

use tokio_util::sync::CancellationToken;

use super::{Action, Facts, Outcome, Plan, Seen, drain};
use crate::reach::{Changes, Drained, ReachError, Reads};

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

/// Has what has come to the new node meanwhile leave it again: it is ended next.
pub(super) async fn undo(changes: &Changes, facts: &Facts) -> Result<Seen, ReachError> {
    let Some(id) = &facts.launched else { return Ok(Seen::done("nothing was bought")) };
    let Some(node) = changes.cluster.node_of(id).await? else {
        return Ok(Seen::done(format!("{id} is no node of the cluster")));
    };
    if !node.is_cordoned {
        changes.cluster.cordon(&node.name).await?;
    }
    // It was cancelled already, if it was: this has to be done all the same.
    let cancel = CancellationToken::new();
    let why = match changes.cluster.drain(&node.name, drain::DEADLINE, &cancel).await? {
        Drained::Empty(evicted) => {
            return Ok(Seen::done(format!("{evicted} pods have left node {}", node.name)));
        }
        Drained::Not(why) => why,
    };
    // Nobody ends pods on a node that does not answer: it would be waited for as long as it costs money.
    let is_ready = changes.cluster.node_of(id).await?.is_some_and(|node| node.is_ready);
    Ok(if is_ready {
        Seen::NotYet(format!("node {} is not drained: {why}", node.name))
    } else {
        Seen::done(format!("node {} is not Ready, and is not waited for: {why}", node.name))
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
