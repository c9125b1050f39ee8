//! What happens during a drain, and what has come of it.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::{BudgetName, Forecast, Peculiarity, PodName};

/// Something that happens during a drain.
#[derive(Debug)]
pub enum Progress<'a> {
    /// What will come of it.
    Forecast(&'a Forecast),
    /// No pod comes to the node any more.
    Cordoned,
    /// A pod's eviction is accepted: it is on its way out.
    Evicted(&'a PodName),
    /// A pod's budget allows no disruption now. Told once for each time that it begins.
    Blocked(&'a PodName, &'a str),
    /// The API server could not evict a pod now; it is asked again.
    Retried(&'a PodName, &'a str),
    /// A pod is gone.
    Gone(&'a PodName),
    /// The node is open again, because the drain has failed.
    Uncordoned,
}

/// How a drain has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every pod that had to go is gone.
    Drained,
    /// Some were there at the deadline.
    TimedOut,
    /// Some can never be evicted; no further ones were, once that was known.
    Failed,
    /// Somebody ended it.
    Cancelled,
}

/// What has come of a drain.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The node.
    pub node: String,
    /// How it has ended.
    pub outcome: Outcome,
    /// Why, where it has not ended well.
    pub why: Vec<String>,
    /// Whether the node is cordoned now; none, if that is not known or the node is gone.
    pub cordoned: Option<bool>,
    /// How long it took.
    #[serde(rename = "took_ms", serialize_with = "milliseconds")]
    pub took: Duration,
    /// Every pod that was on the node, by namespace and name.
    pub pods: Vec<PodReport>,
}

impl Report {
    /// Of a drain that has not come to any pod.
    pub(super) fn of_none(node: &str, outcome: Outcome, why: String) -> Self {
        let (node, why) = (node.to_owned(), vec![why]);
        Self { node, outcome, why, cordoned: None, took: Duration::ZERO, pods: Vec::new() }
    }
}

/// What has come of a pod.
#[derive(Clone, Debug, Serialize)]
pub struct PodReport {
    /// Which.
    #[serde(flatten)]
    pub pod: PodName,
    /// What has come of it.
    #[serde(flatten)]
    pub fate: Fate,
    /// So often its eviction was asked for.
    pub evictions: u32,
    /// The budget that made it wait.
    pub budget: Option<BudgetName>,
    /// From the start of the drain until it was gone.
    #[serde(rename = "gone_after_ms", serialize_with = "milliseconds_if_any")]
    pub gone_after: Option<Duration>,
}

/// What has come of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "fate", rename_all = "snake_case")]
pub enum Fate {
    /// It was evicted and is gone.
    Evicted,
    /// It went without being evicted by this drain.
    Left,
    /// It stays, as it is meant to.
    Stays {
        /// Why.
        because: Peculiarity,
    },
    /// It is there, and should not be.
    Remains {
        /// Why.
        why: String,
    },
}

fn milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

fn milliseconds_if_any<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => milliseconds(duration, serializer),
        None => serializer.serialize_none(),
    }
}
