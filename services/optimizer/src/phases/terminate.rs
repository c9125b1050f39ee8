//! Ending the old instance: what cannot be undone.

use cloud::{CloudError, InstanceId, MemberState};
use serde_json::json;

use super::{ActError, Action, Facts, Outcome, Plan, PlanError, Seen, drain, join};
use crate::reach::{Changes, ReachError, Reads};

/// Looks once more: whatever was seen before may have changed.
pub(super) async fn plan(reads: &Reads, facts: &Facts) -> Result<Plan, PlanError> {
    join::insist(reads, facts).await?;
    let instance = facts.target.instance_id.clone();
    let (ready_nodes, pods_left) = counts(reads, facts.found_node()?).await?;
    let numbers = json!({
        "pods_left": pods_left,
        "ready_nodes": ready_nodes,
        "ready_nodes_at_first": facts.ready_nodes,
    });
    if let Some(harm) = harm(facts, ready_nodes, pods_left) {
        return Err(PlanError::Failed(harm, numbers));
    }
    let why = format!("{instance} is ended through its group, which is to have one fewer");
    Ok(Plan { why, numbers, action: Some(Action::Terminate { instance }), ..Plan::default() })
}

/// How many nodes are Ready, and how many pods are on the old one that do not end with it alone.
async fn counts(reads: &Reads, node: &str) -> Result<(usize, usize), ReachError> {
    Ok((reads.cluster.ready_nodes().await?, reads.cluster.forecast(node).await?.pods_left()))
}

/// Why it would do harm to end the old instance; `None` when it does not. In shadow mode nothing has been bought, and nothing has left.
fn harm(facts: &Facts, ready_nodes: usize, pods_left: usize) -> Option<String> {
    facts.launched.as_ref()?;
    if pods_left > 0 {
        let node = facts.node.as_deref().unwrap_or_default();
        return Some(drain::again(node, pods_left));
    }
    let at_first = facts.ready_nodes;
    (ready_nodes <= at_first).then(|| {
        format!(
            "{ready_nodes} nodes are Ready: without the old one there would be fewer than the {at_first} at first"
        )
    })
}

/// Looks again: since it was decided, another process may have carried on, and the new node may be gone.
pub(super) async fn act(
    changes: &Changes,
    facts: &Facts,
    instance: &InstanceId,
) -> Result<Outcome, ActError> {
    let reads = changes.reads();
    // Who may not see that cannot say that it was not done.
    let is_ending = async || {
        let seen = is_ending(&reads, facts, instance).await;
        seen.map_err(|error| {
            ActError::Unknown(format!("whether {instance} is being ended is not to be seen: {error}"))
        })
    };
    if is_ending().await? {
        return Ok(Outcome::Nothing);
    }
    if let Seen::NotYet(why) | Seen::Failed(why) = join::still(&reads, facts).await? {
        return Err(ActError::Failed(why));
    }
    let (ready_nodes, pods_left) = counts(&reads, facts.node.as_deref().unwrap_or_default()).await?;
    if let Some(harm) = harm(facts, ready_nodes, pods_left) {
        return Err(ActError::Failed(harm));
    }
    match changes.cloud.terminate_in_group(instance).await {
        Ok(()) => Ok(Outcome::Nothing),
        Err(error @ (CloudError::NotFound { .. } | CloudError::Refused { .. })) => {
            // It may be refused also for an instance that is on its way out already.
            if is_ending().await? { Ok(Outcome::Nothing) } else { Err(error.into()) }
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether it is ended, or its group is about it; a lifecycle hook may hold it while it runs on.
async fn is_ending(reads: &Reads, facts: &Facts, instance: &InstanceId) -> Result<bool, CloudError> {
    if reads.is_over(instance).await? {
        return Ok(true);
    }
    let Some(seen) = &facts.group else { return Ok(false) };
    let group = reads.cloud.group(&seen.name).await?;
    let state = group.and_then(|group| group.member(instance).map(|member| member.state));
    Ok(matches!(state, Some(MemberState::Terminating | MemberState::TerminatingWait)))
}

pub(super) async fn observe(reads: &Reads, instance: &InstanceId) -> Result<Seen, ReachError> {
    Ok(if reads.is_over(instance).await? {
        Seen::done(format!("{instance} is ended"))
    } else {
        // A lifecycle hook may hold it.
        Seen::NotYet(format!("{instance} is being ended"))
    })
}
