//! The volumes that are still attached to a node: a machine that goes before they are detached keeps them from being attached
//! elsewhere for minutes.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    time::Duration,
};

use futures_util::StreamExt;
use k8s_openapi::api::{
    core::v1::{PersistentVolume, Pod},
    storage::v1::VolumeAttachment,
};
use kube::{
    Api, Client,
    api::ListParams,
    runtime::{
        WatchStreamExt,
        watcher::{Event, watcher},
    },
};
use serde::Serialize;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    DrainError, Drainer, LONGEST,
    filter::stays,
    listing::{of_node, pages},
    placement::{claims, volumes_of},
    watching::{self, cause, is_forbidden},
};
use crate::AccessError;

/// How waiting for a node's volumes has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Detachment {
    /// None is attached to the node any more.
    Detached,
    /// Some were at the deadline.
    TimedOut {
        /// Names of their VolumeAttachments.
        remaining: Vec<String>,
    },
    /// Somebody ended it.
    Cancelled {
        /// Names of the VolumeAttachments that there were, as far as they were known by then.
        remaining: Vec<String>,
    },
}

impl Drainer {
    /// The names of the VolumeAttachments that tie volumes to a node. Those of pods that no drain evicts, as of DaemonSets, do not
    /// count: they stay attached as long as the machine is there.
    ///
    /// # Errors
    /// [`DrainError::Access`].
    pub async fn volumes(&self, node: &str) -> Result<Vec<String>, DrainError> {
        let mut attached = Attached::new(&self.client, node).await?;
        let all: Api<VolumeAttachment> = Api::all(self.client.clone());
        pages(&all, &ListParams::default(), |attachment| {
            attached.put(&attachment);
        })
        .await?;
        Ok(attached.remaining())
    }

    /// Waits until none of the [`volumes`](Self::volumes) is left. It may be asked for again at any time.
    ///
    /// # Errors
    /// [`DrainError::Access`] where the cluster does not let itself be watched, or has not said until the deadline what is attached.
    pub async fn volumes_detached(
        &self,
        node: &str,
        deadline: Duration,
        cancel: &CancellationToken,
    ) -> Result<Detachment, DrainError> {
        let now = Instant::now();
        let until = now.checked_add(deadline).unwrap_or(now + LONGEST);
        let mut attached = Attached::default();
        let mut failure = None;
        let waiting = cancel.run_until_cancelled(attached.none_left(&self.client, node, &mut failure));
        let ended = tokio::select! {
            ended = waiting => ended.transpose()?,
            () = sleep_until(until) => {
                let remaining = attached.remaining();
                return match failure {
                    _ if attached.is_listed => Ok(Detachment::TimedOut { remaining }),
                    failure => Err(failure.unwrap_or(AccessError::TimedOut(deadline)).into()),
                };
            }
        };
        Ok(match ended {
            Some(()) => Detachment::Detached,
            None => Detachment::Cancelled { remaining: attached.remaining() },
        })
    }
}

/// What is attached to a node, as far as it is known.
#[derive(Default)]
struct Attached {
    node: String,
    /// The persistent volumes of pods that stay.
    staying: BTreeSet<String>,
    /// By the names of the attachments: of which persistent volume, if it is of one.
    attachments: BTreeMap<String, Option<String>>,
    /// Those that the watch has listed so far, while it does.
    listing: Option<BTreeSet<String>>,
    is_listed: bool,
}

impl Attached {
    async fn new(client: &Client, node: &str) -> Result<Self, AccessError> {
        let staying = staying(client, node).await?;
        Ok(Self { node: node.to_owned(), staying, ..Self::default() })
    }

    /// Returns when nothing is attached. `failure` is why it is not known yet.
    async fn none_left(
        &mut self,
        client: &Client,
        node: &str,
        failure: &mut Option<AccessError>,
    ) -> Result<(), AccessError> {
        *self = Self::new(client, node).await?;
        // The API server selects them by no other field than their names.
        let all: Api<VolumeAttachment> = Api::all(client.clone());
        let mut events = pin!(watcher(all, watching::config()).default_backoff());
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    if self.heard(event) {
                        // Perhaps of a DaemonSet's pod that has just come.
                        self.staying = staying(client, node).await?;
                    }
                }
                Err(error) if is_forbidden(&error) => return Err(cause(&error)),
                // It is tried again by itself.
                Err(error) => *failure = Some(cause(&error)),
            }
            if self.is_listed && self.remaining().is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether something was attached that was not before.
    fn heard(&mut self, event: Event<VolumeAttachment>) -> bool {
        match event {
            Event::Init => self.listing = Some(BTreeSet::new()),
            Event::InitApply(attachment) => {
                self.listing.get_or_insert_default().extend(attachment.metadata.name.clone());
                return self.put(&attachment) && self.is_listed;
            }
            Event::InitDone => {
                let listed = self.listing.take().unwrap_or_default();
                self.attachments.retain(|name, _| listed.contains(name));
                self.is_listed = true;
            }
            Event::Apply(attachment) => return self.put(&attachment),
            Event::Delete(attachment) => {
                self.attachments.remove(&attachment.metadata.name.unwrap_or_default());
            }
        }
        false
    }

    /// Whether it is new, and of this node.
    fn put(&mut self, attachment: &VolumeAttachment) -> bool {
        let name = attachment.metadata.name.clone().unwrap_or_default();
        let volume = attachment.spec.source.persistent_volume_name.clone();
        attachment.spec.node_name == self.node && self.attachments.insert(name, volume).is_none()
    }

    fn remaining(&self) -> Vec<String> {
        let counts =
            |volume: &Option<String>| volume.as_ref().is_none_or(|name| !self.staying.contains(name));
        let remaining = self.attachments.iter().filter(|(_, volume)| counts(volume));
        remaining.map(|(name, _)| name.clone()).collect()
    }
}

/// The persistent volumes of the node's pods that stay
/// (as [Karpenter](https://github.com/kubernetes-sigs/karpenter/blob/main/pkg/controllers/node/termination/controller.go) leaves them).
async fn staying(client: &Client, node: &str) -> Result<BTreeSet<String>, AccessError> {
    let mut pods = Vec::new();
    pages(&Api::<Pod>::all(client.clone()), &of_node(node), |pod| pods.push(pod)).await?;
    pods.retain(|pod| stays(pod) && claims(pod).next().is_some());
    let mut volumes = Vec::new();
    if !pods.is_empty() {
        let all: Api<PersistentVolume> = Api::all(client.clone());
        pages(&all, &ListParams::default(), |volume| volumes.push(volume)).await?;
    }
    let used = pods.iter().flat_map(|pod| volumes_of(pod, &volumes));
    Ok(used.filter_map(|volume| volume.metadata.name.clone()).collect())
}
