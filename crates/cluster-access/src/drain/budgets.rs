//! Disruption budgets, and which of them a pod's eviction takes from.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::{
    api::{core::v1::Pod, policy::v1::PodDisruptionBudget},
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::core::{Selector, SelectorExt};
use serde::Serialize;

use super::filter::{is_finished, is_ready, phase};

/// Which budget.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct BudgetName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for BudgetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What is known of a budget.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    pub(super) name: BudgetName,
    /// So often something was heard of it.
    pub(super) heard: u64,
    /// None: it is of no pod.
    selector: Option<Selector>,
    /// So many disruptions it allows now.
    pub(super) allowed: i32,
    /// So many it would allow if all of its pods were well. None: not known.
    at_best: Option<i32>,
    /// So many pods it is of, when it was counted last.
    expected: i32,
    /// Whether it is a number of pods that it wants, so that its pods are counted as they are, and not as their controllers want them
    /// (<https://kubernetes.io/docs/tasks/run-application/configure-pdb/#arbitrary-controllers-and-selectors>).
    counts_pods: bool,
    healthy: i32,
    wanted: i32,
    lets_unhealthy_go: bool,
}

impl Budget {
    pub(super) fn of(budget: &PodDisruptionBudget) -> Self {
        let spec = budget.spec.clone().unwrap_or_default();
        let status = budget.status.clone().unwrap_or_default();
        // Until its controller has seen it, nothing of its status is about it.
        let is_seen =
            status.observed_generation.unwrap_or_default() >= budget.metadata.generation.unwrap_or_default();
        let name = budget.metadata.name.clone().unwrap_or_default();
        let wanted = status.desired_healthy.unwrap_or_default();
        let expected = status.expected_pods.unwrap_or_default();
        Self {
            heard: 0,
            name: BudgetName { namespace: budget.metadata.namespace.clone().unwrap_or_default(), name },
            // One that cannot be read is the API server's to judge.
            selector: spec.selector.and_then(|selector| Selector::try_from(selector).ok()),
            allowed: if is_seen { status.disruptions_allowed.unwrap_or_default() } else { 0 },
            at_best: (is_seen && expected > 0).then_some(expected - wanted),
            expected,
            counts_pods: matches!(spec.min_available, Some(IntOrString::Int(_))),
            healthy: status.current_healthy.unwrap_or_default(),
            wanted,
            lets_unhealthy_go: spec.unhealthy_pod_eviction_policy.as_deref() == Some("AlwaysAllow"),
        }
    }

    /// Whether it wants as many pods as there are just now, of which it is not known whether some are missing.
    pub(super) fn wants_all_there_are(&self) -> bool {
        self.counts_pods && self.wants_all()
    }

    /// Whether it can never allow a disruption. `complete`: how many pods its controller has, if none is missing; one that has just come
    /// may not be counted yet.
    pub(super) fn never_allows(&self, complete: Option<i64>) -> bool {
        let all_are_counted = complete.is_some_and(|there| i64::from(self.expected) >= there);
        self.wants_all() && (all_are_counted || !self.counts_pods)
    }

    fn wants_all(&self) -> bool {
        self.at_best.is_some_and(|at_best| at_best <= 0)
    }

    /// Whether it is of a pod of its namespace.
    fn is_of(&self, pod: &Pod) -> bool {
        let none = BTreeMap::new();
        let labels = pod.metadata.labels.as_ref().unwrap_or(&none);
        self.selector.as_ref().is_some_and(|selector| selector.matches(labels))
    }

    /// Whether a pod that is not ready goes without a disruption being counted
    /// (<https://kubernetes.io/docs/tasks/run-application/configure-pdb/#unhealthy-pod-eviction-policy>).
    fn lets_go(&self, pod: &Pod) -> bool {
        !is_ready(pod) && (self.lets_unhealthy_go || (self.healthy >= self.wanted && self.wanted > 0))
    }

    /// Why it allows nothing, for a person.
    pub(super) fn why(&self) -> String {
        if self.allowed > 0 {
            return "what it allows is under way".to_owned();
        }
        format!("it needs {} healthy pods and has {}", self.wanted, self.healthy)
    }
}

/// All budgets that there are, as far as they are known.
#[derive(Clone, Debug, Default)]
pub(super) struct Budgets(BTreeMap<BudgetName, Budget>);

impl Budgets {
    pub(super) fn put(&mut self, mut budget: Budget) {
        budget.heard = self.0.get(&budget.name).map_or(0, |earlier| earlier.heard + 1);
        self.0.insert(budget.name.clone(), budget);
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&BudgetName) -> bool) {
        self.0.retain(|name, _| keep(name));
    }

    pub(super) fn remove(&mut self, name: &BudgetName) {
        self.0.remove(name);
    }

    pub(super) fn get_mut(&mut self, name: &BudgetName) -> Option<&mut Budget> {
        self.0.get_mut(name)
    }

    /// The budgets that the pod's eviction would take from; the API server evicts none that has several.
    pub(super) fn of(&self, pod: &Pod) -> Vec<&Budget> {
        // `canIgnorePDB` of the API server: it is no use to anybody any more, or not yet.
        if is_finished(pod) || phase(pod) == "Pending" || pod.metadata.deletion_timestamp.is_some() {
            return Vec::new();
        }
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let from = BudgetName { namespace: namespace.clone(), name: String::new() };
        let of_namespace = self.0.range(from..).take_while(|(name, _)| name.namespace == namespace);
        let of: Vec<&Budget> =
            of_namespace.map(|(_, budget)| budget).filter(|budget| budget.is_of(pod)).collect();
        match of.as_slice() {
            [budget] if budget.lets_go(pod) => Vec::new(),
            _ => of,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A controller's third pod has come, and the budget does not know of it yet.
    #[test]
    fn a_budget_that_has_not_counted_all_pods_may_come_to_allow_one() {
        let counted = |pods: i32| {
            let budget = json!({
                "metadata": {"namespace": "shop", "name": "web", "generation": 1},
                "spec": {"minAvailable": 2},
                "status": {
                    "observedGeneration": 1, "expectedPods": pods, "desiredHealthy": 2, "currentHealthy": 2,
                    "disruptionsAllowed": 0,
                },
            });
            Budget::of(&serde_json::from_value(budget).unwrap())
        };
        assert!(counted(2).never_allows(Some(2)));
        assert!(!counted(2).never_allows(Some(3)) && !counted(2).never_allows(None));
        assert!(!counted(3).never_allows(Some(3)));
    }
}
