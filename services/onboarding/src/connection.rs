//! What is known of an agent that is not there, and what its user does next.

use contracts::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    provider::Provider,
    store::{Cluster, State},
};

/// Why a cluster is not connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Reason {
    pub(crate) code: ReasonCode,
    /// For a person.
    pub(crate) detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReasonCode {
    /// Every key of the agent was revoked.
    Revoked,
    /// An agent came with a key of this cluster and was refused.
    Refused,
    /// Nobody has run the install script.
    ScriptNotRun,
    /// Nobody has run it in time.
    ScriptExpired,
    /// The agent did not come within the time in which its key must be used first.
    KeyExpired,
    /// The agent has a key and has not come with it yet.
    Awaited,
    /// The agent was there.
    Gone,
}

/// Why the cluster has no agent now, by what happened last.
pub(crate) fn why_absent(cluster: &Cluster, now: Timestamp) -> Reason {
    let at = |millis: i64| Timestamp::from_millis(millis).map_or_else(String::new, |time| time.to_string());
    let refused = cluster.refused_at.filter(|refused| {
        let came_since = cluster.connected_at.into_iter().chain(cluster.ended_at).max();
        came_since.is_none_or(|came| *refused > came)
    });
    let (code, detail) = if let Some(refused) = refused {
        let why = cluster.refused_why.as_deref().unwrap_or_default();
        (ReasonCode::Refused, format!("the agent was refused at {}: {why}", at(refused)))
    } else if cluster.usable_keys == 0 && cluster.revoked_keys > 0 {
        (ReasonCode::Revoked, "every key of the agent was revoked: make a new install script".to_owned())
    } else if State::read(&cluster.state) != State::Pending {
        let seen = cluster.last_heartbeat.or(cluster.connected_at).map(at).unwrap_or_default();
        // Of an earlier session it says nothing.
        let is_of_the_last = cluster.ended_at >= cluster.connected_at;
        let why = cluster.ended_why.as_deref().filter(|_| is_of_the_last).unwrap_or("nothing more was heard");
        (ReasonCode::Gone, format!("the agent was last seen at {seen}; {why}"))
    } else if cluster.usable_keys > 0 {
        let run = cluster.script_run_at.map(|run| format!("the install script was run at {}; ", at(run)));
        let run = run.unwrap_or_default();
        (ReasonCode::Awaited, format!("{run}the agent has a key and has not connected yet"))
    } else if cluster.expired_keys > 0 {
        let detail =
            "the agent's key was not used within 24 hours and has expired: make a new install script";
        (ReasonCode::KeyExpired, detail.to_owned())
    } else if cluster.script_expires_at.is_some_and(|expires| expires <= now.as_millis()) {
        let detail = "the install script was not run within 24 hours and has expired: make a new one";
        (ReasonCode::ScriptExpired, detail.to_owned())
    } else {
        (ReasonCode::ScriptNotRun, "the install script has not been run yet".to_owned())
    };
    Reason { code, detail }
}

/// What a user does to have all of a cluster, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct NextStep {
    pub(crate) step: Step,
    pub(crate) done: bool,
    /// How, or what has come of it.
    pub(crate) detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// Run the install script where kubectl reaches the cluster.
    RunScript,
    /// Enter what the cluster's resources cost.
    EnterCosts,
    /// Hand over a read-only role, where the cluster is on EKS.
    ConnectAwsRole,
}

/// The steps for this cluster, done or not.
pub(crate) fn next_steps(cluster: &Cluster, is_connected: bool, now: Timestamp) -> Vec<NextStep> {
    let id = &cluster.id;
    let detail =
        if is_connected { "the agent is connected".to_owned() } else { why_absent(cluster, now).detail };
    let mut steps =
        vec![NextStep { step: Step::RunScript, done: is_connected || can_come_back(cluster), detail }];
    let (done, detail) = match cluster.costs_entered_at {
        Some(_) if cluster.rates().are_known() => (true, format!("see GET /api/v1/clusters/{id}/costs")),
        _ => (false, format!("POST /api/v1/clusters/{id}/resource-costs with cpu_cost and memory_cost")),
    };
    steps.push(NextStep { step: Step::EnterCosts, done, detail });
    if is_on_eks(cluster) {
        let (done, detail) = match &cluster.aws_role_arn {
            Some(role) => (true, role.clone()),
            None => (false, format!("GET /api/v1/clusters/{id}/aws-role tells how to make the role")),
        };
        steps.push(NextStep { step: Step::ConnectAwsRole, done, detail });
    }
    steps
}

/// Its agent was there, and has a key to come back with.
fn can_come_back(cluster: &Cluster) -> bool {
    cluster.connected_at.is_some() && cluster.usable_keys > 0
}

fn is_on_eks(cluster: &Cluster) -> bool {
    let detected = cluster.detected_provider.as_deref().unwrap_or(&cluster.provider);
    detected == Provider::Eks.as_str()
}

/// Where the nodes tell of another provider than the user chose.
pub(crate) fn mismatch(cluster: &Cluster) -> Option<String> {
    let detected = cluster.detected_provider.as_deref()?;
    let chosen = Provider::read(&cluster.provider);
    // Who chose `other` has said nothing that could be wrong.
    (chosen != Provider::Other && detected != chosen.as_str())
        .then(|| format!("you chose {}, but the nodes are of {detected}", chosen.as_str()))
}
