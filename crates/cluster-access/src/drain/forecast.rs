//! What will come of a drain, said before it starts.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use serde::Serialize;

use super::{
    BudgetName, DrainOptions, PodName,
    filter::{Verdict, controller, is_finished, verdict},
    listing::Seen,
    placement::places_of_volumes,
};

/// What a pod has without saying so, in seconds.
const USUAL_GRACE: i64 = 30;
/// By which a pod asks programs not to move it, and with what value: what Karpenter and the Cluster Autoscaler heed
/// (<https://karpenter.sh/docs/concepts/disruption/#pod-level-controls>,
/// <https://kubernetes.io/docs/reference/labels-annotations-taints/#cluster-autoscaler-kubernetes-io-safe-to-evict>).
const ASKS_TO_STAY: [(&str, &str); 2] =
    [("karpenter.sh/do-not-disrupt", "true"), ("cluster-autoscaler.kubernetes.io/safe-to-evict", "false")];

/// What will come of a drain.
#[derive(Clone, Debug, Serialize)]
pub struct Forecast {
    /// The node.
    pub node: String,
    /// Its pods, by namespace and name.
    pub pods: Vec<PodForecast>,
    /// What could not be read, and so is not foreseen.
    pub gaps: Vec<String>,
}

/// What will come of a pod.
#[derive(Clone, Debug, Serialize)]
pub struct PodForecast {
    /// Which.
    #[serde(flatten)]
    pub pod: PodName,
    /// What the drain does with it.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What is to be expected.
    pub notes: Vec<Note>,
}

/// What is to be expected of a pod's eviction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// Its budget allows no disruption even if all pods are well.
    BudgetNeverAllows {
        /// Which.
        budget: BudgetName,
    },
    /// Several budgets are of it, and the API server evicts no such pod.
    SeveralBudgets {
        /// Which.
        budgets: Vec<BudgetName>,
    },
    /// Its budget allows no disruption now.
    BudgetAllowsNoneNow {
        /// Which.
        budget: BudgetName,
        /// What it needs, and has.
        why: String,
    },
    /// It may take longer to end than the drain lasts.
    GraceBeyondDeadline {
        /// In seconds.
        grace: i64,
    },
    /// No other node would take the pod that comes after it: by labels, taints and the places of its volumes.
    NowhereElse,
    /// It asks programs not to move it. A person who drains a node moves it all the same, as `kubectl drain` does.
    AsksToStay {
        /// By which annotation.
        annotation: &'static str,
    },
    /// It is being deleted already.
    Leaving,
}

impl Note {
    fn is_fatal(&self) -> bool {
        matches!(self, Self::BudgetNeverAllows { .. } | Self::SeveralBudgets { .. })
    }
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BudgetNeverAllows { budget } => write!(f, "its budget {budget} never allows a disruption"),
            Self::SeveralBudgets { budgets } => {
                let names: Vec<String> = budgets.iter().map(ToString::to_string).collect();
                write!(f, "it has several budgets, and cannot be evicted: {}", names.join(", "))
            }
            Self::BudgetAllowsNoneNow { budget, why } => {
                write!(f, "its budget {budget} allows no disruption now: {why}")
            }
            Self::GraceBeyondDeadline { grace } => {
                write!(f, "it may take {grace} s to end, longer than the drain")
            }
            Self::NowhereElse => f.write_str("no other node would take it"),
            Self::AsksToStay { annotation } => {
                write!(f, "it asks not to be moved by programs, by {annotation}")
            }
            Self::Leaving => f.write_str("it is being deleted already"),
        }
    }
}

impl PodForecast {
    /// Whether nothing is known that keeps the pod from leaving, if it has to.
    pub fn can_leave(&self) -> bool {
        !matches!(self.verdict, Verdict::Refuse { .. }) && !self.notes.iter().any(Note::is_fatal)
    }
}

impl Forecast {
    /// The pods that are evicted.
    pub fn evicted(&self) -> impl Iterator<Item = &PodForecast> {
        self.pods.iter().filter(|pod| matches!(pod.verdict, Verdict::Evict { .. }))
    }

    /// Whether there are pods that would be lost, or lose something, and nobody has said that this is meant.
    pub fn is_refused(&self) -> bool {
        self.pods.iter().any(|pod| matches!(pod.verdict, Verdict::Refuse { .. }))
    }

    /// Whether nothing is known that makes it fail.
    pub fn can_end_well(&self) -> bool {
        self.pods.iter().all(PodForecast::can_leave)
    }
}

pub(super) fn of(node: &str, seen: &Seen, options: &DrainOptions) -> Forecast {
    let mut pods: Vec<_> = seen.pods.iter().map(|pod| of_pod(pod, seen, options)).collect();
    pods.sort_by(|a, b| a.pod.cmp(&b.pod));
    Forecast { node: node.to_owned(), pods, gaps: seen.gaps.clone() }
}

fn of_pod(pod: &Pod, seen: &Seen, options: &DrainOptions) -> PodForecast {
    let verdict = verdict(pod, &seen.daemon_sets, options);
    let notes = match verdict {
        Verdict::Evict { .. } => notes(pod, seen, options),
        Verdict::Stay { .. } | Verdict::Refuse { .. } => Vec::new(),
    };
    PodForecast { pod: PodName::of(pod), verdict, notes }
}

fn notes(pod: &Pod, seen: &Seen, options: &DrainOptions) -> Vec<Note> {
    if pod.metadata.deletion_timestamp.is_some() {
        return vec![Note::Leaving];
    }
    let mut notes: Vec<Note> = of_budgets(pod, seen).into_iter().collect();
    notes.extend(asks_to_stay(pod).map(|annotation| Note::AsksToStay { annotation }));
    let grace = grace(pod, options.grace);
    if u64::try_from(grace).unwrap_or_default() > options.deadline.as_secs() {
        notes.push(Note::GraceBeyondDeadline { grace });
    }
    let volumes = places_of_volumes(pod, &seen.volumes);
    let spec = pod.spec.as_ref().filter(|_| !is_finished(pod));
    if let Some((spec, places)) = spec.zip(seen.places.as_ref())
        && !places.iter().any(|place| place.takes(spec, &volumes))
    {
        notes.push(Note::NowhereElse);
    }
    notes
}

fn of_budgets(pod: &Pod, seen: &Seen) -> Option<Note> {
    let complete = controller(pod).and_then(|owner| seen.complete.get(&owner.uid).copied().flatten());
    match seen.budgets.of(pod).as_slice() {
        [] => None,
        [budget] if budget.never_allows(complete) => {
            Some(Note::BudgetNeverAllows { budget: budget.name.clone() })
        }
        [budget] if budget.allowed <= 0 => {
            Some(Note::BudgetAllowsNoneNow { budget: budget.name.clone(), why: budget.why() })
        }
        [_] => None,
        several => {
            let budgets = several.iter().map(|budget| budget.name.clone()).collect();
            Some(Note::SeveralBudgets { budgets })
        }
    }
}

fn asks_to_stay(pod: &Pod) -> Option<&'static str> {
    let annotations = pod.metadata.annotations.as_ref().filter(|_| !is_finished(pod))?;
    let asks = |(name, value): &&(&str, &str)| annotations.get(*name).is_some_and(|is| is == value);
    ASKS_TO_STAY.iter().find(asks).map(|(name, _)| *name)
}

/// In seconds.
fn grace(pod: &Pod, instead: Option<Duration>) -> i64 {
    let own = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
    let instead = instead.map(|grace| i64::try_from(grace.as_secs()).unwrap_or(i64::MAX));
    instead.or(own).unwrap_or(USUAL_GRACE)
}
