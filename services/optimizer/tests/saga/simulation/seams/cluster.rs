//! The cluster as a process sees it.

use std::time::Duration;

use async_trait::async_trait;
use cloud::InstanceId;
use optimizer::reach::{ClusterChanges, ClusterReads, Drained, Forecast, Node, ReachError, Tell};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{Failed, Seam};
use crate::simulation::{lies::Lie, nature, world::Everything};

/// What keeps a node from being drained.
const ALONE: &str = "pod loner: it has no controller, and nobody makes it anew";

impl Seam {
    async fn cluster_read<T>(
        &self,
        what: &str,
        read: impl FnOnce(&mut Everything) -> T,
    ) -> Result<T, ReachError> {
        Ok(self.read(what, |all, _| read(all)).await?)
    }

    /// Changes a node if it still is as it was when it was read: a late change comes to nothing.
    async fn set_cordoned(&self, name: &str, to: bool) -> Result<(), ReachError> {
        let node = name.to_owned();
        let read = self.cluster_read("the node", move |all| {
            all.cluster.nodes.get(&node).map(|node| (node.version, node.is_cordoned))
        });
        let Some((version, is)) = read.await? else {
            return if to { Err(ReachError::Refused("there is no such node".to_owned())) } else { Ok(()) };
        };
        if (is && to) || (!to && self.lies(Lie::Uncordoned)) {
            return Ok(());
        }
        let node = name.to_owned();
        let done = self.change(if to { "cordon" } else { "uncordon" }, move |seam| {
            seam.world().change(|all, _| {
                let there = all.cluster.nodes.get_mut(&node).filter(|node| node.version == version);
                there.map(|node| {
                    node.version += 1;
                    node.is_cordoned = to;
                })
            })
        });
        done.await?.ok_or_else(|| ReachError::Unknown("the node was changed meanwhile".to_owned()))
    }

    /// Evicts a pod; whether that was allowed.
    fn evict(&self, pod: &str) -> bool {
        let world = self.world();
        if !world.can_leave() {
            return false;
        }
        world.change(|all, _| {
            let Some(node) = all.cluster.pods.get(pod).map(|pod| pod.node.clone()) else { return false };
            let newcomer = all.cluster.evict(pod, !self.lies(Lie::NoBudgets));
            let is_gone = newcomer.is_some();
            if is_gone {
                tokio::spawn(nature::detaches(world.clone(), node));
            }
            if let Some(newcomer) = newcomer {
                tokio::spawn(nature::starts(world.clone(), newcomer));
            }
            is_gone
        })
    }
}

#[async_trait]
impl ClusterReads for Seam {
    async fn node_of(&self, instance: &InstanceId) -> Result<Option<Node>, ReachError> {
        self.cluster_read("a node", |all| {
            let is_over = self.lies(Lie::OldIsOver) && self.process.log.ends_old(self.lease.saga);
            let found = all.cluster.node_of(instance).filter(|_| !is_over);
            found.map(|(name, node)| Node {
                name: name.clone(),
                is_ready: node.is_ready || self.lies(Lie::TakesWork),
                is_cordoned: node.is_cordoned && !self.lies(Lie::NotCordoned),
            })
        })
        .await
    }

    async fn ready_nodes(&self) -> Result<usize, ReachError> {
        self.cluster_read("the nodes", |all| {
            if self.lies(Lie::TakesWork) { all.cluster.nodes.len() } else { all.cluster.ready_nodes() }
        })
        .await
    }

    async fn missing(&self, node: &str) -> Result<Vec<String>, ReachError> {
        self.cluster_read("a node's readiness", |all| match all.cluster.nodes.get(node) {
            Some(node) if node.takes_work() || self.lies(Lie::TakesWork) => Vec::new(),
            Some(_) => vec!["it is not ready".to_owned()],
            None => vec!["it is gone".to_owned()],
        })
        .await
    }

    async fn forecast(&self, node: &str) -> Result<Forecast, ReachError> {
        self.cluster_read("a forecast", |all| {
            let to_lose = usize::from(all.cluster.has_loner(node));
            let to_evict = all.cluster.pods_on(node).len() - to_lose;
            let hindrances = if to_lose > 0 { vec![ALONE.to_owned()] } else { Vec::new() };
            if self.lies(Lie::Empty) {
                Forecast::default()
            } else {
                Forecast { to_evict, to_lose, hindrances }
            }
        })
        .await
    }

    async fn volumes(&self, node: &str) -> Result<Vec<String>, ReachError> {
        self.cluster_read("volumes", |all| {
            let left = all.cluster.nodes.get(node).map_or(0, |node| node.volumes);
            (0..left).map(|number| format!("volume {number}")).collect()
        })
        .await
    }
}

#[async_trait]
impl ClusterChanges for Seam {
    async fn cordon(&self, node: &str) -> Result<(), ReachError> {
        self.set_cordoned(node, true).await
    }

    async fn uncordon(&self, node: &str) -> Result<(), ReachError> {
        self.set_cordoned(node, false).await
    }

    async fn drain(
        &self,
        node: &str,
        deadline: Duration,
        cancel: &CancellationToken,
        tell: Tell<'_>,
    ) -> Result<Drained, ReachError> {
        let began = Instant::now();
        let mut evicted = 0;
        loop {
            if self.world().is_denied() {
                return Err(Failed::Denied.into());
            }
            if self.world().read(|all, _| all.cluster.has_loner(node)) && !self.lies(Lie::Empty) {
                return Ok(Drained::Not(ALONE.to_owned()));
            }
            let pods = self.world().read(|all, _| all.cluster.pods_on(node));
            let pod = pods.first().filter(|_| !self.lies(Lie::Empty)).cloned();
            let Some(pod) = pod else { return Ok(Drained::Empty(evicted)) };
            tell(format!("still to leave: {}", pods.join(", ")));
            if cancel.is_cancelled() {
                return Ok(Drained::Not("cancelled".to_owned()));
            }
            if began.elapsed() > deadline {
                return Ok(Drained::Not("the deadline has passed".to_owned()));
            }
            let done = self.change("evict", move |seam| seam.evict(&pod)).await;
            evicted += usize::from(matches!(done, Ok(true)));
            sleep(Duration::from_millis(500)).await;
        }
    }
}
