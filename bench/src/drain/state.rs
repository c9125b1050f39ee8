//! What there is before and after a drain, whoever does it.

use std::collections::BTreeMap;

use anyhow::Result;
use k8s_openapi::api::{
    core::v1::{Node, Pod},
    policy::v1::PodDisruptionBudget,
};
use kube::{Api, Client, api::ListParams};
use testkit::eventually_within;

use super::{Case, MAX_UNAVAILABLE, NODES, PATIENCE};

/// By the name of each thing what is to be said of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct State(BTreeMap<String, String>);

impl State {
    /// All pods are ready on this node, the budgets allow what they can, and these nodes are cordoned.
    pub(super) fn expected(case: Case, node: &str, cordoned: &[&str]) -> Self {
        let mut state = Self::default();
        for name in NODES {
            state.tell_node(name, cordoned.contains(&name));
        }
        for (app, replicas) in case.apps() {
            state.tell_pods(&app, &BTreeMap::from([(pods_on(node, true), replicas)]));
            if case.with_budgets {
                let wanted = replicas.saturating_sub(MAX_UNAVAILABLE);
                state.tell_budget(&app, [replicas, replicas, wanted, replicas - wanted]);
            }
        }
        state
    }

    async fn of(client: &Client) -> Result<Self> {
        let all = ListParams::default();
        let mut state = Self::default();
        for node in Api::<Node>::all(client.clone()).list(&all).await?.items {
            let name = node.metadata.name.unwrap_or_default();
            state.tell_node(&name, node.spec.is_some_and(|spec| spec.unschedulable == Some(true)));
        }
        let mut pods: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
        for pod in Api::<Pod>::all(client.clone()).list(&all).await?.items {
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or("no node");
            *pods.entry(app(&pod)).or_default().entry(pods_on(node, is_ready(&pod))).or_default() += 1;
        }
        for (app, counts) in pods {
            state.tell_pods(&app, &counts);
        }
        for budget in Api::<PodDisruptionBudget>::all(client.clone()).list(&all).await?.items {
            let status = budget.status.unwrap_or_default();
            let counts = [
                status.current_healthy,
                status.expected_pods,
                status.desired_healthy,
                status.disruptions_allowed,
            ];
            state.tell_budget(
                &budget.metadata.name.unwrap_or_default(),
                counts.map(Option::unwrap_or_default),
            );
        }
        Ok(state)
    }

    fn tell_node(&mut self, name: &str, is_cordoned: bool) {
        let how = if is_cordoned { "cordoned" } else { "schedulable" };
        self.0.insert(format!("node {name}"), how.to_owned());
    }

    fn tell_pods(&mut self, app: &str, counts: &BTreeMap<String, usize>) {
        let counts: Vec<_> =
            counts.iter().map(|(where_and_how, count)| format!("{count} {where_and_how}")).collect();
        self.0.insert(format!("pods of {app}"), counts.join(", "));
    }

    fn tell_budget<N: std::fmt::Display>(&mut self, app: &str, [healthy, pods, wanted, allowed]: [N; 4]) {
        let counts = format!("{healthy} of {pods} healthy, {wanted} wanted, {allowed} may go");
        self.0.insert(format!("budget of {app}"), counts);
    }

    /// What is not as it should be, each thing by its name.
    pub(super) fn differences(&self, expected: &Self) -> Vec<String> {
        let names = self.0.keys().chain(expected.0.keys().filter(|name| !self.0.contains_key(*name)));
        let of = |state: &Self, name: &String| state.0.get(name).map_or("none", String::as_str).to_owned();
        names
            .map(|name| (name, of(self, name), of(expected, name)))
            .filter(|(_, is, should)| is != should)
            .map(|(name, is, should)| format!("{name}: {is}, and should be {should}"))
            .collect()
    }
}

/// Waits until there is what is expected; what there is in the end.
pub(super) async fn settled(client: &Client, expected: &State) -> Result<State> {
    let mut state = State::of(client).await?;
    let is_expected = async || {
        state = State::of(client).await.ok()?;
        (state == *expected).then_some(())
    };
    // Where it is not, whoever asked tells the difference.
    let _ = eventually_within(PATIENCE, "what is expected", is_expected).await;
    Ok(state)
}

fn pods_on(node: &str, are_ready: bool) -> String {
    format!("{} on {node}", if are_ready { "ready" } else { "not ready" })
}

/// The Deployment of a pod: the name of its ReplicaSet without the hash.
fn app(pod: &Pod) -> String {
    let owner = pod.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    let app = owner.and_then(|owner| owner.name.rsplit_once('-')).map(|(app, _)| app);
    app.unwrap_or("nobody").to_owned()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut conditions = conditions.into_iter();
    pod.metadata.deletion_timestamp.is_none()
        && conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named() {
        let case = Case { pods: 13, with_budgets: true };
        let [here, other] = NODES;
        let (before, after) = (State::expected(case, here, &[]), State::expected(case, other, &[here]));
        assert_eq!(after.differences(&after), Vec::<String>::new());
        assert_eq!(
            before.differences(&after),
            [
                "node drained: schedulable, and should be cordoned",
                "pods of app-0: 10 ready on drained, and should be 10 ready on other",
                "pods of app-10: 3 ready on drained, and should be 3 ready on other",
            ]
        );
        let without = State::expected(Case { with_budgets: false, ..case }, other, &[here]);
        assert_eq!(
            without.differences(&after),
            [
                "budget of app-0: none, and should be 10 of 10 healthy, 8 wanted, 2 may go",
                "budget of app-10: none, and should be 3 of 3 healthy, 1 wanted, 2 may go",
            ]
        );
    }
}
