//! Having everything leave the old node that can run elsewhere.

use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{ActError, Action, Facts, Outcome, Plan, PlanError, Seen};
use crate::reach::{Changes, Drained, Forecast, ReachError, Reads, Tell};

/// How long the pods may take. The phase itself has [`A_MINUTE`] more.
pub(super) const DEADLINE: Duration = Duration::from_mins(5);

/// For the calls before and after.
const A_MINUTE: Duration = Duration::from_mins(1);

pub(super) async fn plan(reads: &Reads, facts: &Facts) -> Result<Plan, PlanError> {
    let node = facts.found_node()?.to_owned();
    let forecast = reads.cluster.forecast(&node).await?;
    let numbers = json!({"pods_to_evict": forecast.to_evict, "deadline_seconds": DEADLINE.as_secs()});
    if let Some(why) = hindrance(&node, &forecast) {
        return Err(PlanError::Failed(why, numbers));
    }
    let why = format!("node {node} is emptied; pods to evict: {}", forecast.to_evict);
    Ok(Plan { why, numbers, action: Some(Action::Drain { node }), ..Plan::default() })
}

/// Why a node cannot be drained; `None` when it can.
pub(super) fn hindrance(node: &str, forecast: &Forecast) -> Option<String> {
    let hindrances = &forecast.hindrances;
    (!hindrances.is_empty()).then(|| format!("node {node} cannot be drained: {}", hindrances.join("; ")))
}

pub(super) async fn act(
    changes: &Changes,
    node: &str,
    patience: Duration,
    cancel: &CancellationToken,
    tell: Tell<'_>,
) -> Result<Outcome, ActError> {
    // Less when another process has tried before.
    let deadline = DEADLINE.min(patience.saturating_sub(A_MINUTE));
    match changes.cluster.drain(node, deadline, cancel, tell).await? {
        Drained::Empty(evicted) => Ok(Outcome::Drained { evicted }),
        Drained::Not(why) => Err(ActError::Failed(format!("node {node} is not drained: {why}"))),
    }
}

pub(super) async fn observe(reads: &Reads, node: &str) -> Result<Seen, ReachError> {
    let left = reads.cluster.forecast(node).await?.pods_left();
    Ok(if left == 0 {
        Seen::done(format!("node {node} is empty but for what stays on every node"))
    } else {
        Seen::Failed(again(node, left))
    })
}

/// What is said of a node that was empty.
pub(super) fn again(node: &str, pods: usize) -> String {
    format!("node {node} is not empty any more; pods on it: {pods}")
}
