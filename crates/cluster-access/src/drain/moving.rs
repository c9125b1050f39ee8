//! A pod on its way from the node, and what is to be told of it.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use k8s_openapi::api::core::v1::Pod;
use tokio::time::Instant;

use super::{BudgetName, Fate, Peculiarity, PodName, PodReport, Progress};

/// What the API server could not do is asked for again with growing pauses.
pub(super) const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(2500));

/// Where a pod is on its way.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its eviction is to be asked for, not before this time.
    Waiting(Instant),
    Asked,
    /// It is being deleted, because this drain has evicted it or anyway.
    Leaving {
        evicted: bool,
    },
    Gone {
        evicted: bool,
    },
    Stays(Peculiarity),
    /// It cannot be evicted.
    Never(String),
}

pub(super) struct Moving {
    pub(super) pod: Pod,
    pub(super) name: PodName,
    pub(super) stage: Stage,
    pub(super) evictions: u32,
    pub(super) pauses: ExponentialBackoff,
    /// The budget that makes it wait now.
    pub(super) blocked: Option<String>,
    /// The budget that has made it wait.
    pub(super) budget: Option<BudgetName>,
    pub(super) trouble: Option<String>,
    pub(super) gone_after: Option<Duration>,
}

impl Moving {
    pub(super) fn new(name: PodName, stage: Stage) -> Self {
        let pauses = ExponentialBuilder::default().with_min_delay(PAUSES.0).with_max_delay(PAUSES.1);
        Self {
            pod: Pod::default(),
            name,
            stage,
            evictions: 0,
            pauses: pauses.without_max_times().with_jitter().build(),
            blocked: None,
            budget: None,
            trouble: None,
            gone_after: None,
        }
    }

    pub(super) fn block(
        &mut self,
        budget: Option<&BudgetName>,
        why: &str,
        progress: &mut impl FnMut(&Progress),
    ) {
        if self.blocked.is_none() {
            progress(&Progress::Blocked(&self.name, &no_disruption(budget, "allows", why)));
        }
        self.blocked = Some(no_disruption(budget, "allowed", why));
        self.budget = budget.cloned().or(self.budget.take());
    }

    pub(super) fn report(self) -> PodReport {
        let finalizers = self.pod.metadata.finalizers.unwrap_or_default();
        let remains = |why: String| Fate::Remains { why };
        let fate = match (self.stage, self.blocked) {
            (Stage::Gone { evicted: true }, _) => Fate::Evicted,
            (Stage::Gone { evicted: false }, _) => Fate::Left,
            (Stage::Stays(because), _) => Fate::Stays { because },
            (Stage::Never(why), _) => remains(why),
            (Stage::Leaving { .. }, _) if finalizers.is_empty() => {
                remains("it is being deleted, and has not ended yet".to_owned())
            }
            (Stage::Leaving { .. }, _) => {
                remains(format!("it is being deleted, and its finalizers hold it: {}", finalizers.join(", ")))
            }
            (Stage::Asked, _) => remains("its eviction was asked for, and not answered".to_owned()),
            (Stage::Waiting(_), Some(why)) => remains(why),
            (Stage::Waiting(_), None) => {
                remains(self.trouble.unwrap_or_else(|| "its eviction was not asked for".to_owned()))
            }
        };
        PodReport {
            pod: self.name,
            fate,
            evictions: self.evictions,
            budget: self.budget,
            gone_after: self.gone_after,
        }
    }
}

fn no_disruption(budget: Option<&BudgetName>, allows: &str, why: &str) -> String {
    match budget {
        Some(budget) => format!("its budget {budget} {allows} no disruption: {why}"),
        None => format!("its budget {allows} no disruption: {why}"),
    }
}
