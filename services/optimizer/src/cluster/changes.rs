//! Changing a cluster of EKS on behalf of a saga.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use cloud::InstanceId;
use cluster_access::{
    AccessError,
    drain::{DrainError, Fate, Outcome, Progress, Report},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{access::Access, left::Left, options, reads::EksReads, trouble::Trouble, words};
use crate::{
    reach::{ClusterChanges, ClusterReads, Drained, Forecast, Node, ReachError, Tell},
    saga::SagaId,
};

/// The half that changes things, on behalf of one saga.
pub(super) struct EksChanges {
    reads: EksReads,
    access: Arc<Access>,
    whom: String,
}

impl EksChanges {
    pub(super) fn new(access: Arc<Access>, saga: SagaId) -> Self {
        Self { reads: EksReads(access.clone()), access, whom: saga.to_string() }
    }

    /// What is known before anything is changed: why not to begin.
    async fn hindrances(&self, node: &str, deadline: Duration) -> Result<Vec<String>, Trouble> {
        let options = options(deadline);
        let options = &options;
        let asked =
            self.access.ask_for(deadline, |drainer| async move { drainer.forecast(node, options).await });
        let forecast = asked.await?;
        let mut why = words::hindrances(&forecast);
        // What replaces the node is there by now: a pod that no node would take, it would not take either.
        why.extend(words::without_a_place(&forecast));
        Ok(why)
    }

    async fn empty(
        &self,
        node: &str,
        deadline: Duration,
        cancel: &CancellationToken,
        tell: Tell<'_>,
    ) -> Result<Report, Trouble> {
        let until = Instant::now() + deadline;
        let work = self.access.ask_for(deadline, |drainer| async move {
            // In whole seconds, as it is told.
            let left = until.saturating_duration_since(Instant::now()).as_secs() + 1;
            let options = options(Duration::from_secs(left));
            let drainer = drainer.on_behalf_of(&self.whom);
            let mut left = Left::default();
            let progress = |progress: &Progress<'_>| left.hear(progress).into_iter().for_each(tell);
            let report = drainer.drain(node, &options, cancel, progress).await?;
            // It ends so, too, when the cluster does not know the token any more: then it goes on with another.
            if report.outcome == Outcome::Failed
                && let Err(error @ AccessError::Refused { status: 401, .. }) = drainer.nodes().await
            {
                return Err(error.into());
            }
            Ok::<_, DrainError>(report)
        });
        self.access.meanwhile(work).await
    }

    fn reach_error(&self, trouble: Trouble) -> ReachError {
        self.access.reach_error(trouble)
    }
}

#[async_trait]
impl ClusterReads for EksChanges {
    async fn node_of(&self, instance: &InstanceId) -> Result<Option<Node>, ReachError> {
        self.reads.node_of(instance).await
    }

    async fn ready_nodes(&self) -> Result<usize, ReachError> {
        self.reads.ready_nodes().await
    }

    async fn missing(&self, node: &str) -> Result<Vec<String>, ReachError> {
        self.reads.missing(node).await
    }

    async fn forecast(&self, node: &str) -> Result<Forecast, ReachError> {
        self.reads.forecast(node).await
    }

    async fn volumes(&self, node: &str) -> Result<Vec<String>, ReachError> {
        self.reads.volumes(node).await
    }
}

#[async_trait]
impl ClusterChanges for EksChanges {
    async fn cordon(&self, node: &str) -> Result<(), ReachError> {
        let whom = &self.whom;
        let asked = self.access.ask(|drainer| async move { drainer.on_behalf_of(whom).cordon(node).await });
        asked.await.map(drop).map_err(|trouble| self.reach_error(trouble))
    }

    async fn uncordon(&self, node: &str) -> Result<(), ReachError> {
        let whom = &self.whom;
        let asked =
            self.access.ask(|drainer| async move { drainer.on_behalf_of(whom).uncordon_own(node).await });
        match asked.await {
            // Also where somebody else has cordoned it, for whom it stays so.
            Ok(_) | Err(Trouble::NoSuchNode(_)) => Ok(()),
            Err(trouble) => Err(self.reach_error(trouble)),
        }
    }

    async fn drain(
        &self,
        node: &str,
        deadline: Duration,
        cancel: &CancellationToken,
        tell: Tell<'_>,
    ) -> Result<Drained, ReachError> {
        let started = Instant::now();
        let Some(foreseen) = cancel.run_until_cancelled(self.hindrances(node, deadline)).await else {
            return Ok(Drained::Not("it was cancelled before it began".to_owned()));
        };
        let drained = match foreseen {
            Ok(why) if !why.is_empty() => return Ok(Drained::Not(why.join("; "))),
            Ok(_) => self.empty(node, deadline.saturating_sub(started.elapsed()), cancel, tell).await,
            Err(trouble) => Err(trouble),
        };
        match drained {
            Ok(Report { outcome: Outcome::Drained, pods, .. }) => {
                Ok(Drained::Empty(pods.iter().filter(|pod| pod.fate == Fate::Evicted).count()))
            }
            Ok(report) => Ok(Drained::Not(words::failure(&report))),
            // Everything has left it.
            Err(Trouble::NoSuchNode(_)) => Ok(Drained::Empty(0)),
            Err(Trouble::Hopeless(why)) => Ok(Drained::Not(why.join("; "))),
            Err(trouble) => Err(self.reach_error(trouble)),
        }
    }
}
