//! Draining a node: whatever can run elsewhere is evicted, with respect for disruption budgets, and waited for.
//!
//! It decides as `kubectl drain` does ([`Verdict`]), and does more: it says before it starts what will come of it
//! ([`Forecast`]), evicts no pod that took the place of another one, holds nobody up behind a budget of others, notices by
//! watching and not by asking again, ends at a deadline, opens the node again when it fails, and reports on every pod.

mod budgets;
mod controllers;
mod cordon;
mod engine;
mod eviction;
mod filter;
mod forecast;
mod listing;
mod moving;
mod node;
mod placement;
mod readiness;
mod report;
mod volumes;
mod watching;

use std::{fmt, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Client;
use serde::Serialize;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

pub use budgets::BudgetName;
pub use cordon::Cordon;
pub use filter::{Peculiarity, Verdict};
pub use forecast::{Forecast, Note, PodForecast};
pub use node::{InstanceError, NodeState};
pub use readiness::{DaemonSetName, Readiness};
pub use report::{Fate, Outcome, PodReport, Progress, Report};

use self::{cordon::CordonFailure, listing::Seen};
use crate::AccessError;

/// For each answer of the API server.
const ANSWER: Duration = Duration::from_secs(30);
/// A deadline that no clock can hold.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// How a node is drained.
#[derive(Clone, Debug)]
pub struct DrainOptions {
    /// Evict pods that nobody makes anew.
    pub force: bool,
    /// Leave the pods of DaemonSets where they are; without it, a drain of a node that has some is refused.
    pub ignore_daemon_sets: bool,
    /// Evict pods whose data in an `emptyDir` is lost by it.
    pub delete_empty_dir_data: bool,
    /// How long pods may take to end, instead of what each says itself.
    pub grace: Option<Duration>,
    /// After so long it has failed.
    pub deadline: Duration,
    /// Only pods with these labels, as kubectl takes them.
    pub pod_selector: Option<String>,
    /// Start although the forecast says that it cannot end well.
    pub despite_forecast: bool,
    /// Leave the node cordoned when it fails. Else it is as it was before: uncordoned, if it was this drain that cordoned it.
    pub keep_cordoned: bool,
}

impl Default for DrainOptions {
    fn default() -> Self {
        Self {
            force: false,
            ignore_daemon_sets: false,
            delete_empty_dir_data: false,
            grace: None,
            deadline: Duration::from_mins(5),
            pod_selector: None,
            despite_forecast: false,
            keep_cordoned: false,
        }
    }
}

/// Which pod: the very one, and not another one of its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct PodName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

impl PodName {
    fn of(pod: &Pod) -> Self {
        let part = |part: &Option<String>| part.clone().unwrap_or_default();
        let metadata = &pod.metadata;
        Self { namespace: part(&metadata.namespace), name: part(&metadata.name), uid: part(&metadata.uid) }
    }
}

impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Why a drain did not start.
#[derive(Debug, Error)]
pub enum DrainError {
    /// There is no such node.
    #[error("there is no node {0}")]
    NoSuchNode(String),
    /// It cannot end well; nothing was changed.
    #[error("the drain of {} was not started, because it cannot end well", .0.node)]
    Hopeless(Box<Forecast>),
    /// The cluster cannot be asked, or refuses. A drain has changed nothing then, or has undone it; after another call its own
    /// description says what may have been changed.
    #[error(transparent)]
    Access(#[from] AccessError),
}

/// Drains nodes of one cluster. Cheap to clone.
#[derive(Clone)]
pub struct Drainer {
    /// One that tries nothing again by itself: a budget's 429 has to be seen.
    client: Client,
    /// Who cordons.
    whom: Option<Arc<str>>,
}

impl Drainer {
    /// Of the cluster of this client, which must not retry by itself.
    pub fn new(client: Client) -> Self {
        Self { client, whom: None }
    }

    /// What would come of a drain. It changes nothing.
    ///
    /// # Errors
    /// [`DrainError`], but not [`DrainError::Hopeless`].
    pub async fn forecast(&self, node: &str, options: &DrainOptions) -> Result<Forecast, DrainError> {
        let (_, seen) = self.look(node, options).await?;
        Ok(forecast::of(node, &seen, options))
    }

    /// Drains a node: cordons it, evicts, waits until the evicted pods are gone. `progress` is told what happens. Ends early, as
    /// at the deadline, when `cancel` is cancelled; nothing is changed any more where it has not begun by then.
    ///
    /// # Errors
    /// [`DrainError`] where nothing was changed; what became of a drain that started is in its [`Report`].
    pub async fn drain(
        &self,
        node: &str,
        options: &DrainOptions,
        cancel: &CancellationToken,
        mut progress: impl FnMut(&Progress),
    ) -> Result<Report, DrainError> {
        let looked = cancel.run_until_cancelled(self.look(node, options)).await;
        let Some((found, seen)) = looked.transpose()? else {
            let why = "it was interrupted before anything was changed".to_owned();
            return Ok(Report::of_none(node, Outcome::Cancelled, why));
        };
        let forecast = forecast::of(node, &seen, options);
        if forecast.is_refused() || !(forecast.can_end_well() || options.despite_forecast) {
            return Err(DrainError::Hopeless(Box::new(forecast)));
        }
        progress(&Progress::Forecast(&forecast));
        let whom = self.whom();
        if cancel.is_cancelled() {
            let mut report = engine::run(&self.client, node, seen, options, cancel, &mut progress).await;
            report.cordoned = Some(node::is_cordoned(&found));
            return Ok(report);
        }
        let changed = match cordon::cordon(&self.client, &found, &whom, cancel).await {
            Ok(cordon) => cordon.changed,
            Err(CordonFailure::Not(error)) => return Err(error),
            Err(CordonFailure::Perhaps(error)) => {
                return match cordon::uncordon(&self.client, node, Some(&found), Some(&whom)).await {
                    Ok(_) | Err(DrainError::NoSuchNode(_)) => Err(error.into()),
                    Err(again) => {
                        let why = format!("it is not known whether the node is cordoned: {again}");
                        Ok(Report::of_none(node, Outcome::Failed, why))
                    }
                };
            }
        };
        if changed {
            progress(&Progress::Cordoned);
        }
        let mut report = engine::run(&self.client, node, seen, options, cancel, &mut progress).await;
        if changed && report.outcome != Outcome::Drained && !options.keep_cordoned {
            self.reopen(&found, &whom, &mut report, progress).await;
        }
        Ok(report)
    }

    async fn look(&self, node: &str, options: &DrainOptions) -> Result<(Node, Seen), DrainError> {
        let found = node::get(&self.client, node).await?;
        let seen = Seen::of(&self.client, node, options).await?;
        Ok((found, seen))
    }

    /// After a drain that has cordoned the node, and failed.
    async fn reopen(
        &self,
        found: &Node,
        whom: &str,
        report: &mut Report,
        mut progress: impl FnMut(&Progress),
    ) {
        match cordon::uncordon(&self.client, &report.node, Some(found), Some(whom)).await {
            Ok(true) => {
                report.cordoned = Some(false);
                progress(&Progress::Uncordoned);
            }
            Ok(false) => report.why.push("somebody else has cordoned the node meanwhile".to_owned()),
            Err(DrainError::NoSuchNode(_)) => {
                report.cordoned = None;
                report.why.push("the node is gone".to_owned());
            }
            Err(error) => report.why.push(format!("the node is still cordoned: {error}")),
        }
    }
}
