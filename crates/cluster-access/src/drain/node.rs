//! Nodes, as they are found.

use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client, api::ListParams};
use serde::Serialize;
use thiserror::Error;

use super::{
    DrainError, Drainer,
    listing::{answered, pages},
};
use crate::AccessError;

/// A node, as far as it matters to whom drains some.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeState {
    /// Its name.
    pub name: String,
    /// Whether its condition `Ready` is true.
    pub ready: bool,
    /// Whether it is not cordoned.
    pub schedulable: bool,
}

/// Why the node of an instance is not known.
#[derive(Debug, Error)]
pub enum InstanceError {
    /// Several nodes say that they are this instance.
    #[error("several nodes are the instance {instance}: {}", .nodes.join(", "))]
    Ambiguous {
        /// The instance's ID.
        instance: String,
        /// The nodes' names.
        nodes: Vec<String>,
    },
    /// The cluster cannot be asked.
    #[error(transparent)]
    Access(#[from] AccessError),
}

impl Drainer {
    /// All nodes, by name.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn nodes(&self) -> Result<Vec<NodeState>, AccessError> {
        self.nodes_where(|_| true).await
    }

    /// The node that is a machine of this ID, such as `i-0abc`: its `spec.providerID` ends with the ID after a slash. None, if there
    /// is no such node (yet).
    ///
    /// # Errors
    /// [`InstanceError`].
    pub async fn node_of_instance(&self, instance: &str) -> Result<Option<NodeState>, InstanceError> {
        let end = format!("/{instance}");
        let is_of = |node: &Node| {
            let id = node.spec.as_ref().and_then(|spec| spec.provider_id.as_deref());
            !instance.is_empty() && id.is_some_and(|id| id.ends_with(&end))
        };
        let mut nodes = self.nodes_where(is_of).await?;
        if nodes.len() > 1 {
            let nodes = nodes.into_iter().map(|node| node.name).collect();
            return Err(InstanceError::Ambiguous { instance: instance.to_owned(), nodes });
        }
        Ok(nodes.pop())
    }

    async fn nodes_where(&self, is_meant: impl Fn(&Node) -> bool) -> Result<Vec<NodeState>, AccessError> {
        let mut nodes = Vec::new();
        pages(&Api::<Node>::all(self.client.clone()), &ListParams::default(), |node| {
            nodes.extend(is_meant(&node).then(|| NodeState::of(&node)));
        })
        .await?;
        nodes.sort_by(|a: &NodeState, b| a.name.cmp(&b.name));
        Ok(nodes)
    }
}

impl NodeState {
    fn of(node: &Node) -> Self {
        let name = node.metadata.name.clone().unwrap_or_default();
        Self { name, ready: is_ready(node), schedulable: !is_cordoned(node) }
    }
}

pub(super) async fn get(client: &Client, name: &str) -> Result<Node, DrainError> {
    let node = answered(Api::<Node>::all(client.clone()).get_opt(name)).await?;
    node.ok_or_else(|| DrainError::NoSuchNode(name.to_owned()))
}

pub(super) fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

pub(super) fn is_cordoned(node: &Node) -> bool {
    node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true))
}
