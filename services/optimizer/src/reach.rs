//! What a phase can reach: a cloud and a cluster, to read them or to change them.
//!
//! What is given [`Reads`] alone cannot change anything, whatever it decides: so shadow mode has nothing else.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use cloud::{CloudChanges, CloudError, CloudReads, InstanceId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

/// What can be read.
#[derive(Clone)]
pub struct Reads {
    /// The account's cloud.
    pub cloud: Arc<dyn CloudReads>,
    /// The cluster.
    pub cluster: Arc<dyn ClusterReads>,
}

impl Reads {
    /// Whether an instance is ended or being ended; also when nothing is heard of it any more.
    pub(crate) async fn is_over(&self, id: &InstanceId) -> Result<bool, CloudError> {
        Ok(self.cloud.instance(id).await?.is_none_or(|instance| instance.state.is_over()))
    }
}

/// What can be changed, and read.
#[derive(Clone)]
pub struct Changes {
    /// The account's cloud.
    pub cloud: Arc<dyn CloudChanges>,
    /// The cluster.
    pub cluster: Arc<dyn ClusterChanges>,
}

impl Changes {
    /// No more than what can be read.
    pub fn reads(&self) -> Reads {
        Reads { cloud: self.cloud.clone(), cluster: self.cluster.clone() }
    }

    /// The node that this instance is; `None` also where its cluster is gone, and every node with it.
    pub(crate) async fn node_left(&self, instance: &InstanceId) -> Result<Option<Node>, ReachError> {
        match self.cluster.node_of(instance).await {
            Err(ReachError::NoCluster(_)) => Ok(None),
            found => found,
        }
    }
}

/// A node, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Whether it says that it is Ready.
    pub is_ready: bool,
    /// Whether nothing new is put on it.
    pub is_cordoned: bool,
}

/// What would come of a drain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Forecast {
    /// Pods that would be evicted.
    pub to_evict: usize,
    /// Pods that are never evicted, because nobody would make them, or their data, anew: they would be lost with the node.
    pub to_lose: usize,
    /// Why it cannot end well; empty when it can.
    pub hindrances: Vec<String>,
}

impl Forecast {
    /// The pods that must be gone before the node is.
    pub fn pods_left(&self) -> usize {
        self.to_evict + self.to_lose
    }
}

/// Hears what is waited for, each time that it is something else.
pub type Tell<'a> = &'a (dyn Fn(String) + Send + Sync);

/// How a drain ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drained {
    /// So many pods were evicted, and are gone.
    Empty(usize),
    /// It did not get so far.
    Not(String),
}

/// Why the cloud or the cluster did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReachError {
    /// It may have been done, or may yet be; or it could not be read. The same again may succeed.
    #[error("{0}")]
    Unknown(String),
    /// There is no such capacity just now. Nothing was done.
    #[error("{0}")]
    Shortage(String),
    /// Nothing was done, and the same again would be refused again.
    #[error("{0}")]
    Refused(String),
    /// There is no such cluster, and so nothing in it.
    #[error("{0}")]
    NoCluster(String),
}

impl From<CloudError> for ReachError {
    fn from(error: CloudError) -> Self {
        match error {
            CloudError::Throttled | CloudError::Unknown { .. } => Self::Unknown(error.to_string()),
            CloudError::Shortage { .. } => Self::Shortage(error.to_string()),
            CloudError::TokenMismatch
            | CloudError::NotFound { .. }
            | CloudError::Denied { .. }
            | CloudError::Refused { .. } => Self::Refused(error.to_string()),
        }
    }
}

/// What can be read of a cluster.
#[async_trait]
pub trait ClusterReads: Send + Sync {
    /// The node that this instance is, by its `spec.providerID`; `None` when it has none.
    ///
    /// # Errors
    /// [`ReachError`].
    async fn node_of(&self, instance: &InstanceId) -> Result<Option<Node>, ReachError>;

    /// How many nodes are Ready.
    ///
    /// # Errors
    /// [`ReachError`].
    async fn ready_nodes(&self) -> Result<usize, ReachError>;

    /// What keeps a node from taking work: it is not Ready, not schedulable, or a DaemonSet has no ready pod on it. Empty when nothing does.
    ///
    /// # Errors
    /// [`ReachError`].
    async fn missing(&self, node: &str) -> Result<Vec<String>, ReachError>;

    /// What would come of a drain.
    ///
    /// # Errors
    /// [`ReachError`].
    async fn forecast(&self, node: &str) -> Result<Forecast, ReachError>;

    /// The volumes that are still attached to a node for pods that have left it.
    ///
    /// # Errors
    /// [`ReachError`].
    async fn volumes(&self, node: &str) -> Result<Vec<String>, ReachError>;
}

/// What can be changed in a cluster. Each call may be repeated.
#[async_trait]
pub trait ClusterChanges: ClusterReads {
    /// Lets nothing new be put on a node.
    ///
    /// # Errors
    /// [`ReachError`].
    async fn cordon(&self, node: &str) -> Result<(), ReachError>;

    /// Lets it be used again; a node that is gone is left alone.
    ///
    /// # Errors
    /// [`ReachError`].
    async fn uncordon(&self, node: &str) -> Result<(), ReachError>;

    /// Evicts what can run elsewhere and waits until it is gone. The node stays cordoned. `tell` hears what is waited for meanwhile.
    ///
    /// # Errors
    /// [`ReachError`]; how a drain that began has ended is in [`Drained`].
    async fn drain(
        &self,
        node: &str,
        deadline: Duration,
        cancel: &CancellationToken,
        tell: Tell<'_>,
    ) -> Result<Drained, ReachError>;
}
