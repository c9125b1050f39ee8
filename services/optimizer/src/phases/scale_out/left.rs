//! Having everything leave what was bought before it is ended: it may be a node by then, and pods may have come to it.

use cloud::InstanceId;
use tokio_util::sync::CancellationToken;

use crate::{
    phases::drain,
    reach::{Changes, Drained, ReachError},
};

/// Why an instance cannot be ended yet; `None` when nothing that can run elsewhere is on it. What joins the cluster in the moment between this
/// and its end comes too late to be seen.
pub(crate) async fn stays(changes: &Changes, id: &InstanceId) -> Result<Option<String>, ReachError> {
    let Some(node) = changes.node_left(id).await? else { return Ok(None) };
    if !node.is_cordoned {
        changes.cluster.cordon(&node.name).await?;
    }
    // The saga was cancelled already, if it was: this has to be done all the same.
    let cancel = CancellationToken::new();
    let Drained::Not(why) = changes.cluster.drain(&node.name, drain::DEADLINE, &cancel, &|_| {}).await?
    else {
        return Ok(None);
    };
    // Nobody ends pods on a node that does not answer: it would be waited for as long as it costs money.
    let is_ready = changes.cluster.node_of(id).await?.is_some_and(|node| node.is_ready);
    Ok(is_ready.then(|| format!("node {} is not drained: {why}", node.name)))
}
