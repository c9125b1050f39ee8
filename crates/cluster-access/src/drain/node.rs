//! The node itself: whether pods may come to it.

use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{DrainError, listing::answered};
use crate::AccessError;

/// The very node: one of the same name that took its place is another one.
pub(super) struct TheNode {
    pub(super) name: String,
    uid: String,
    pub(super) is_cordoned: bool,
}

pub(super) async fn get(client: &Client, name: &str) -> Result<TheNode, DrainError> {
    let nodes: Api<Node> = Api::all(client.clone());
    let node = answered(nodes.get_opt(name)).await?;
    let node = node.ok_or_else(|| DrainError::NoSuchNode(name.to_owned()))?;
    Ok(TheNode {
        name: name.to_owned(),
        uid: node.metadata.uid.unwrap_or_default(),
        is_cordoned: node.spec.is_some_and(|spec| spec.unschedulable == Some(true)),
    })
}

impl TheNode {
    pub(super) async fn cordon(&self, client: &Client) -> Result<(), AccessError> {
        self.set_unschedulable(client, true).await
    }

    pub(super) async fn uncordon(&self, client: &Client) -> Result<(), AccessError> {
        self.set_unschedulable(client, false).await
    }

    async fn set_unschedulable(&self, client: &Client, unschedulable: bool) -> Result<(), AccessError> {
        let nodes: Api<Node> = Api::all(client.clone());
        // The UID is a precondition: the API server refuses to change it.
        let change = json!({"metadata": {"uid": self.uid}, "spec": {"unschedulable": unschedulable}});
        answered(nodes.patch(&self.name, &PatchParams::default(), &Patch::Merge(change))).await.map(drop)
    }
}
