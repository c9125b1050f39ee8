//! Whether pods may come to a node, and who has said so.
//!
//! Each change is made to the very version of the node for which it was decided on (`metadata.resourceVersion`): the API server
//! refuses it with 409 if anything was changed meanwhile. So whoever cordons knows that it was he who did. And every uncordoning
//! is a change, whatever was there before, so that a request to cordon that was held up on its way does not come after it.

use backon::{BackoffBuilder, ExponentialBuilder};
use k8s_openapi::{api::core::v1::Node, jiff::Timestamp};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use rand::distr::{Alphanumeric, SampleString};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    DrainError, Drainer,
    listing::answered,
    moving::PAUSES,
    node::{get, is_cordoned},
};
use crate::AccessError;

/// On whose behalf a node was cordoned.
const CORDONED_BY: &str = "kubesage.io/cordoned-by";
/// When a node was uncordoned last.
const UNCORDONED_AT: &str = "kubesage.io/uncordoned-at";
/// So often a change is tried that the cluster does not answer, or that others' changes get ahead of.
const TRIES: usize = 4;

/// A node to which no pods come any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cordon {
    /// The node.
    pub node: String,
    /// Whether it was this call that cordoned it; else it was cordoned already.
    pub changed: bool,
    /// On whose behalf it was cordoned ([`Drainer::on_behalf_of`]); none, if that was done otherwise.
    pub by: Option<String>,
}

impl Drainer {
    /// The same, cordoning on somebody's behalf, such as of a process that may have to go on after a crash: the node keeps the name,
    /// and [`Cordon::by`] tells it.
    #[must_use]
    pub fn on_behalf_of(&self, whom: &str) -> Self {
        Self { whom: Some(whom.into()), ..self.clone() }
    }

    /// Lets no pods come to a node. It may be repeated.
    ///
    /// # Errors
    /// [`DrainError::NoSuchNode`]; [`DrainError::Access`], after which it may be cordoned all the same, or become so, until it is
    /// [uncordoned](Self::uncordon).
    pub async fn cordon(&self, node: &str) -> Result<Cordon, DrainError> {
        let found = get(&self.client, node).await?;
        let never = CancellationToken::new();
        cordon(&self.client, &found, &self.whom(), &never).await.map_err(CordonFailure::into_error)
    }

    /// Lets pods come to a node again, whoever cordoned it. It may be repeated. A [`cordon`](Self::cordon) that was asked for before
    /// and was not answered has no effect any more.
    ///
    /// # Errors
    /// [`DrainError::NoSuchNode`]; [`DrainError::Access`], after which it may be uncordoned all the same.
    pub async fn uncordon(&self, node: &str) -> Result<(), DrainError> {
        uncordon(&self.client, node, None, None).await.map(drop)
    }

    /// The same where it was cordoned on the same [behalf](Self::on_behalf_of) or is not cordoned; else nothing is changed. Whether
    /// pods may come to it now. A [`cordon`](Self::cordon) that was asked for before has no effect any more either way.
    ///
    /// # Errors
    /// As [`uncordon`](Self::uncordon).
    pub async fn uncordon_own(&self, node: &str) -> Result<bool, DrainError> {
        uncordon(&self.client, node, None, Some(&self.whom())).await
    }

    /// Who cordons: nobody else has this name, unless it was given.
    pub(super) fn whom(&self) -> String {
        let given = self.whom.as_deref().map(str::to_owned);
        given.unwrap_or_else(|| format!("drain-{}", Alphanumeric.sample_string(&mut rand::rng(), 12)))
    }
}

/// Why a node was not cordoned.
pub(super) enum CordonFailure {
    /// And it is not going to be.
    Not(DrainError),
    /// It may be all the same.
    Perhaps(AccessError),
}

impl CordonFailure {
    fn into_error(self) -> DrainError {
        match self {
            Self::Not(error) => error,
            Self::Perhaps(error) => error.into(),
        }
    }
}

/// Cordons a node as it was found, on somebody's behalf.
pub(super) async fn cordon(
    client: &Client,
    found: &Node,
    whom: &str,
    cancel: &CancellationToken,
) -> Result<Cordon, CordonFailure> {
    let mut pauses = pauses();
    let mut now = Ok(found.clone());
    // Whether one was sent that may have been done.
    let mut is_asked = false;
    loop {
        let failure = match now {
            Ok(node) if is_cordoned(&node) => {
                let by = held_by(&node);
                let changed = is_asked && by.as_deref() == Some(whom);
                return Ok(Cordon { node: name(&node), changed, by });
            }
            Ok(node) => {
                let annotations = json!({CORDONED_BY: whom, UNCORDONED_AT: null});
                match patch(client, &node, true, &annotations).await {
                    Ok(()) => {
                        return Ok(Cordon { node: name(&node), changed: true, by: Some(whom.to_owned()) });
                    }
                    Err(error) if is_gone(&error) => {
                        return Err(CordonFailure::Not(DrainError::NoSuchNode(name(&node))));
                    }
                    Err(error) => {
                        is_asked |= is_unclear(&error);
                        error
                    }
                }
            }
            Err(DrainError::Access(error)) => error,
            Err(error) => return Err(CordonFailure::Not(error)),
        };
        let pause = pauses.next().filter(|_| is_passing(&failure));
        let waited = match pause {
            Some(pause) => cancel.run_until_cancelled(sleep(pause)).await.is_some(),
            None => false,
        };
        if !waited {
            return Err(match is_asked {
                true => CordonFailure::Perhaps(failure),
                false => CordonFailure::Not(failure.into()),
            });
        }
        now = again(client, found).await;
    }
}

/// Uncordons a node; with `found` only this very one, and with `whom` only if it was cordoned on his behalf or is not cordoned.
/// Whether it is not cordoned now.
pub(super) async fn uncordon(
    client: &Client,
    name: &str,
    found: Option<&Node>,
    whom: Option<&str>,
) -> Result<bool, DrainError> {
    let mut pauses = pauses();
    loop {
        let now = match found {
            Some(found) => again(client, found).await,
            None => get(client, name).await,
        };
        let failure = match now {
            Ok(node) if is_cordoned(&node) && whom.is_some() && held_by(&node).as_deref() != whom => {
                return Ok(false);
            }
            Ok(node) => {
                let at = Timestamp::now().to_string();
                match patch(client, &node, false, &json!({CORDONED_BY: null, UNCORDONED_AT: at})).await {
                    Ok(()) => return Ok(true),
                    Err(error) if is_gone(&error) => {
                        return Err(DrainError::NoSuchNode(name.to_owned()));
                    }
                    Err(error) => error,
                }
            }
            Err(DrainError::Access(error)) => error,
            Err(error) => return Err(error),
        };
        match pauses.next().filter(|_| is_passing(&failure)) {
            Some(pause) => sleep(pause).await,
            None => return Err(failure.into()),
        }
    }
}

fn pauses() -> impl Iterator<Item = std::time::Duration> {
    let pauses = ExponentialBuilder::default().with_min_delay(PAUSES.0).with_max_delay(PAUSES.1);
    pauses.with_max_times(TRIES - 1).with_jitter().build()
}

fn name(node: &Node) -> String {
    node.metadata.name.clone().unwrap_or_default()
}

fn held_by(node: &Node) -> Option<String> {
    node.metadata.annotations.as_ref()?.get(CORDONED_BY).cloned()
}

/// The very node as it is now: one of the same name that took its place is another one.
async fn again(client: &Client, found: &Node) -> Result<Node, DrainError> {
    let node = get(client, &name(found)).await?;
    if node.metadata.uid == found.metadata.uid { Ok(node) } else { Err(DrainError::NoSuchNode(name(found))) }
}

async fn patch(
    client: &Client,
    node: &Node,
    unschedulable: bool,
    annotations: &Value,
) -> Result<(), AccessError> {
    let change = json!({
        "metadata": {"resourceVersion": node.metadata.resource_version, "annotations": annotations},
        "spec": {"unschedulable": unschedulable},
    });
    let nodes: Api<Node> = Api::all(client.clone());
    answered(nodes.patch(&name(node), &PatchParams::default(), &Patch::Merge(change))).await.map(drop)
}

fn is_gone(error: &AccessError) -> bool {
    matches!(error, AccessError::Refused { status: 404, .. })
}

/// Whether it may have been done all the same.
fn is_unclear(error: &AccessError) -> bool {
    !matches!(
        error,
        AccessError::Refused { status: 400..=499, .. } | AccessError::Busy | AccessError::Credentials(_)
    )
}

/// Whether the same may be answered otherwise soon.
fn is_passing(error: &AccessError) -> bool {
    match error {
        AccessError::Refused { status, .. } => matches!(status, 408 | 409 | 425 | 429 | 500..=599),
        AccessError::Credentials(_) => false,
        _ => true,
    }
}
