//! Ending the old instance: what cannot be undone.

use cloud::{CloudError, InstanceId};
use serde_json::json;

use super::{ActError, Action, Facts, Outcome, Plan, PlanError, Seen, join};
use crate::reach::{Changes, ReachError, Reads};

/// Looks once more: whatever was seen before may have changed.
pub(super) async fn plan(reads: &Reads, facts: &Facts) -> Result<Plan, PlanError> {
    let node = facts.found_node()?;
    let instance = facts.target.instance_id.clone();
    let ready_nodes = reads.cluster.ready_nodes().await?;
    let pods_left = reads.cluster.forecast(node).await?.to_evict;
    let numbers = json!({
        "pods_left": pods_left,
        "ready_nodes": ready_nodes,
        "ready_nodes_at_first": facts.ready_nodes,
    });
    if let Some(trouble) = join::trouble(reads, facts).await? {
        return Err(PlanError::Failed(trouble, numbers));
    }
    // In shadow mode nothing has been bought, and nothing has left.
    if facts.launched.is_some() {
        if pods_left > 0 {
            return Err(PlanError::Failed(format!("{pods_left} pods are on node {node} again"), numbers));
        }
        if ready_nodes <= facts.ready_nodes {
            let why = format!(
                "{ready_nodes} nodes are Ready: without the old one there would be fewer than the {} at first",
                facts.ready_nodes
            );
            return Err(PlanError::Failed(why, numbers));
        }
    }
    let why = format!("{instance} is ended through its group, which is to have one fewer");
    Ok(Plan { why, numbers, action: Some(Action::Terminate { instance }), ..Plan::default() })
}

pub(super) async fn act(changes: &Changes, instance: &InstanceId) -> Result<Outcome, ActError> {
    match changes.cloud.terminate_in_group(instance).await {
        Ok(()) => Ok(Outcome::Nothing),
        Err(error @ (CloudError::NotFound { .. } | CloudError::Refused { .. })) => {
            // It is refused also for an instance that is on its way out already.
            let is_over = changes.reads().is_over(instance).await?;
            if is_over { Ok(Outcome::Nothing) } else { Err(error.into()) }
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn observe(reads: &Reads, instance: &InstanceId) -> Result<Seen, ReachError> {
    Ok(if reads.is_over(instance).await? {
        Seen::done(format!("{instance} is ended"))
    } else {
        // A lifecycle hook may hold it.
        Seen::NotYet(format!("{instance} is being ended"))
    })
}
