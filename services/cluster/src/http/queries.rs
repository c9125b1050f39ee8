//! `GET /api/v3.0/cluster/{namespaces,nodes,…}`: what a cluster's agent answers.

use axum::{Extension, extract::State, response::Response};
use contracts::{
    TraceParent,
    auth::Scope,
    query::Command,
    resources::{DeploymentList, NamespaceList, NodeList, PodList, PodLogs, ResourceCounts, ServiceList},
};
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{Caller, Path, Problem, Query};

use super::{
    deadline::Deadline,
    envelope::{Envelope, envelope},
    selection::{ListSelection, LogSelection, Selection},
};
use crate::agents::{self, Agents};

pub(super) fn routes() -> OpenApiRouter<Agents> {
    OpenApiRouter::new()
        .routes(routes!(namespaces))
        .routes(routes!(nodes))
        .routes(routes!(pods))
        .routes(routes!(deployments))
        .routes(routes!(services))
        .routes(routes!(resources))
        .routes(routes!(logs))
}

/// Asks the caller's agent and wraps its answer.
async fn answer(
    agents: &Agents,
    caller: &Caller,
    (trace, Deadline(deadline)): (TraceParent, Deadline),
    command: Command,
    selection: Selection,
) -> Result<Response, Problem> {
    caller.require(&Scope::Read)?;
    let message = format!("Successfully retrieved {} from cluster", what(&command));
    let Selection { agent_id, cluster_id, params } = selection;
    let query = agents::Query { agent_id: agent_id.clone(), cluster_id: cluster_id.clone(), command, params };
    let answer = agents.ask(&caller.user, query, deadline, trace).await?;
    envelope(&Envelope::new(agent_id, cluster_id, message), answer, deadline).await
}

/// The thing that a command retrieves, in words.
fn what(command: &Command) -> &str {
    match command {
        Command::GetClusterResources => "resources",
        Command::GetPodLogs => "logs",
        other => other.as_str().trim_start_matches("get-"),
    }
}

macro_rules! lists {
    ($($(#[doc = $doc:literal])+ $name:ident, $path:literal, $command:ident, $body:ty;)*) => {$(
        $(#[doc = $doc])+
        #[utoipa::path(get, path = $path, tag = "queries", params(ListSelection),
            responses((status = 200, body = inline(WithEnvelope<$body>))))]
        async fn $name(
            State(agents): State<Agents>,
            Extension(trace): Extension<TraceParent>,
            Extension(deadline): Extension<Deadline>,
            caller: Caller,
            Query(selection): Query<ListSelection>,
        ) -> Result<Response, Problem> {
            let command = Command::$command;
            let selection = selection.check(&command)?;
            answer(&agents, &caller, (trace, deadline), command, selection).await
        }
    )*};
}

/// An answer: the envelope's fields and the result's in one object.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes what `envelope` writes")]
struct WithEnvelope<T> {
    #[schema(inline)]
    #[serde(flatten)]
    envelope: Envelope,
    #[serde(flatten)]
    result: T,
}

lists! {
    /// Namespaces
    namespaces, "/api/v3.0/cluster/namespaces", GetNamespaces, NamespaceList;
    /// Nodes
    nodes, "/api/v3.0/cluster/nodes", GetNodes, NodeList;
    /// Pods
    pods, "/api/v3.0/cluster/pods", GetPods, PodList;
    /// Deployments
    deployments, "/api/v3.0/cluster/deployments", GetDeployments, DeploymentList;
    /// Services
    services, "/api/v3.0/cluster/services", GetServices, ServiceList;
    /// How many there are of each kind
    resources, "/api/v3.0/cluster/resources", GetClusterResources, ResourceCounts;
}

/// The last lines of a pod's log
///
/// Needs the feature `logs` of the cluster's agent.
#[utoipa::path(get, path = "/api/v3.0/cluster/pods/{namespace}/{name}/logs", tag = "queries",
    params(("namespace" = String, Path, description = "The pod's namespace"),
           ("name" = String, Path, description = "The pod's name"), LogSelection),
    responses((status = 200, body = inline(WithEnvelope<PodLogs>))))]
async fn logs(
    State(agents): State<Agents>,
    Extension(trace): Extension<TraceParent>,
    Extension(deadline): Extension<Deadline>,
    caller: Caller,
    Path((namespace, name)): Path<(String, String)>,
    Query(selection): Query<LogSelection>,
) -> Result<Response, Problem> {
    answer(&agents, &caller, (trace, deadline), Command::GetPodLogs, selection.check(namespace, name)?).await
}
