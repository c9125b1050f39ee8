//! Reading a cluster of EKS.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use cloud::InstanceId;
use cluster_access::drain::NodeState;

use super::{access::Access, options, trouble::Trouble, words};
use crate::reach::{ClusterReads, Forecast, Node, ReachError};

/// The half that changes nothing.
pub(super) struct EksReads(pub(super) Arc<Access>);

/// By it the grace of pods would be judged, which hinders no drain.
const ANY_DEADLINE: Duration = Duration::from_mins(5);

#[async_trait]
impl ClusterReads for EksReads {
    async fn node_of(&self, instance: &InstanceId) -> Result<Option<Node>, ReachError> {
        let asked = self.0.ask(|drainer| async move { drainer.node_of_instance(instance.as_str()).await });
        let found = asked.await.map_err(|trouble| self.0.reach_error(trouble))?;
        Ok(found.map(|NodeState { name, ready, schedulable }| Node {
            name,
            is_ready: ready,
            is_cordoned: !schedulable,
        }))
    }

    async fn ready_nodes(&self) -> Result<usize, ReachError> {
        let asked = self.0.ask(|drainer| async move { drainer.nodes().await });
        let nodes = asked.await.map_err(|trouble| self.0.reach_error(trouble))?;
        Ok(nodes.iter().filter(|node| node.ready).count())
    }

    async fn missing(&self, node: &str) -> Result<Vec<String>, ReachError> {
        match self.0.ask(|drainer| async move { drainer.readiness(node).await }).await {
            Ok(readiness) => Ok(words::bounded(readiness.missing().into_iter())),
            Err(Trouble::NoSuchNode(_)) => Ok(vec!["it is gone".to_owned()]),
            Err(trouble) => Err(self.0.reach_error(trouble)),
        }
    }

    async fn forecast(&self, node: &str) -> Result<Forecast, ReachError> {
        let options = options(ANY_DEADLINE);
        let options = &options;
        match self.0.ask(|drainer| async move { drainer.forecast(node, options).await }).await {
            Ok(forecast) => Ok(Forecast {
                to_evict: forecast.evicted().count(),
                to_lose: words::to_lose(&forecast),
                hindrances: words::hindrances(&forecast),
            }),
            // Everything has left it.
            Err(Trouble::NoSuchNode(_)) => Ok(Forecast::default()),
            Err(trouble) => Err(self.0.reach_error(trouble)),
        }
    }

    async fn volumes(&self, node: &str) -> Result<Vec<String>, ReachError> {
        let asked = self.0.ask(|drainer| async move { drainer.volumes(node).await });
        asked.await.map_err(|trouble| self.0.reach_error(trouble))
    }
}
