//! The volumes that are still attached to a node: a machine that goes before they are detached keeps them from being attached
//! elsewhere for minutes.

use std::collections::BTreeSet;

use k8s_openapi::api::{
    core::v1::{PersistentVolume, Pod},
    storage::v1::VolumeAttachment,
};
use kube::{Api, Client, api::ListParams};

use super::{
    DrainError, Drainer,
    filter::stays,
    listing::{of_node, pages},
    placement::{claims, volumes_of},
};
use crate::AccessError;

impl Drainer {
    /// The names of the VolumeAttachments that tie volumes to a node. Those of pods that no drain evicts, as of DaemonSets, do not
    /// count: they stay attached as long as the machine is there.
    ///
    /// # Errors
    /// [`DrainError::Access`].
    pub async fn volumes(&self, node: &str) -> Result<Vec<String>, DrainError> {
        let staying = staying(&self.client, node).await?;
        let mut names = Vec::new();
        // The API server selects them by no other field than their names.
        let all: Api<VolumeAttachment> = Api::all(self.client.clone());
        pages(&all, &ListParams::default(), |attachment| {
            let volume = attachment.spec.source.persistent_volume_name;
            if attachment.spec.node_name == node && volume.is_none_or(|volume| !staying.contains(&volume)) {
                names.extend(attachment.metadata.name);
            }
        })
        .await?;
        Ok(names)
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
