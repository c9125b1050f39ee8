//! `POST /execute-kubectl-direct/{cluster_id}`: the real `kubectl`.

use ::kubectl::{Command, Refused};
use axum::extract::State;
use contracts::auth::Scope;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{Caller, Json, Path, Problem};

use super::Api;
use crate::kubectl_runs::Output;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(execute))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct KubectlRequest {
    /// As you would type it, with or without `kubectl` before it: `get pods -A -o wide`.
    #[schema(max_length = 4096)]
    command: String,
}

#[derive(Serialize, ToSchema)]
struct KubectlResponse {
    /// What it printed.
    output: String,
    /// What it printed of errors and warnings.
    error: String,
    /// Null when it was killed.
    exit_code: Option<i32>,
    duration_ms: u64,
    /// Whether it printed more than is told here.
    truncated: bool,
    /// Present and true when it was killed because it took too long.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    timed_out: bool,
    /// The output of `-o json`, parsed.
    #[serde(skip_serializing_if = "Option::is_none")]
    parsed: Option<Value>,
    /// Present and true when the cluster says that it is a simulated one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    simulated: bool,
}

/// Why a command is refused, and which setting of the service would allow it.
fn with_setting(refused: &Refused) -> String {
    match refused {
        Refused::Changes { .. } => format!("{refused} (setting KUBECTL_WRITES)"),
        Refused::Secrets => format!("{refused} (setting KUBECTL_SECRETS)"),
        _ => refused.to_string(),
    }
}

/// Run a kubectl command on a cluster
///
/// Needs the scope `operate`. Commands that change the cluster, and Secrets, are allowed by settings only. Each run is in the audit
/// log, with the command and without its output.
#[utoipa::path(post, path = "/execute-kubectl-direct/{cluster_id}", tag = "stored clusters",
    params(("cluster_id" = i64, Path, description = "The cluster's id")),
    request_body = KubectlRequest, responses((status = 200, body = KubectlResponse)))]
async fn execute(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
    Json(KubectlRequest { command: line }): Json<KubectlRequest>,
) -> Result<Json<KubectlResponse>, Problem> {
    caller.require(&Scope::Operate)?;
    // Whose it is comes first: what is allowed is not told of clusters of others.
    let cluster = api.clusters.get(&caller.user, id).await?;
    let command = Command::parse(&line, api.kubectl.permissions())
        .map_err(|refused| Problem::invalid("command", with_setting(&refused)))?;
    let is_json = command.is_json();
    let Output { output, error, exit_code, duration_ms, truncated, timed_out } =
        api.kubectl.run(&caller.user, &cluster, command).await?;
    // What was cut is no JSON.
    let parsed = if is_json { serde_json::from_str(&output).ok() } else { None };
    // A cluster that has just answered answers again.
    let simulated = exit_code == Some(0) && api.clusters.is_simulated(&cluster).await;
    Ok(Json(KubectlResponse {
        output,
        error,
        exit_code,
        duration_ms,
        truncated,
        timed_out,
        parsed,
        simulated,
    }))
}
