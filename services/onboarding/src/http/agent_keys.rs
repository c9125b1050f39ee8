//! `/api/v1/clusters/{id}/agent-keys`: the keys with which a cluster's agent connects.

use axum::{extract::State, http::StatusCode};
use contracts::{Timestamp, WireSecret, auth::Scope};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{Caller, Json, Path, Problem};

use super::Api;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(revoke))
}

#[derive(Serialize, ToSchema)]
struct AgentKeyView {
    id: String,
    /// The beginning of the key, by which you recognise it.
    preview: String,
    created_at: Option<Timestamp>,
    /// Absent while no agent has used it.
    first_used_at: Option<Timestamp>,
    /// When it ends unless it is used before; absent once it was.
    expires_at: Option<Timestamp>,
}

#[derive(Serialize, ToSchema)]
struct AgentKeyList {
    agent_keys: Vec<AgentKeyView>,
    total_count: usize,
}

#[derive(Serialize, ToSchema)]
struct NewAgentKey {
    id: String,
    /// Shown this once.
    #[schema(value_type = String)]
    key: WireSecret,
    preview: String,
    /// When it ends unless it is used before.
    expires_at: Option<Timestamp>,
}

/// The keys of a cluster's agent that can be used
#[utoipa::path(get, path = "/api/v1/clusters/{cluster_id}/agent-keys", tag = "agent keys",
    params(("cluster_id" = String, Path, description = "The cluster's id")),
    responses((status = 200, body = AgentKeyList)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<AgentKeyList>, Problem> {
    caller.require(&Scope::Read)?;
    let keys = api.clusters.keys(&caller.user, &id, api.now()).await?;
    let view = |key: crate::store::AgentKey| AgentKeyView {
        id: key.id,
        preview: key.preview,
        created_at: Timestamp::from_millis(key.created_at),
        first_used_at: key.first_used_at.and_then(Timestamp::from_millis),
        expires_at: key.first_used_at.is_none().then(|| Timestamp::from_millis(key.unused_until)).flatten(),
    };
    let agent_keys: Vec<AgentKeyView> = keys.into_iter().map(view).collect();
    Ok(Json(AgentKeyList { total_count: agent_keys.len(), agent_keys }))
}

/// Make a further key for a cluster's agent; two can be used at a time
///
/// Needs the scope `operate`.
#[utoipa::path(post, path = "/api/v1/clusters/{cluster_id}/agent-keys", tag = "agent keys",
    params(("cluster_id" = String, Path, description = "The cluster's id")),
    responses((status = 201, body = NewAgentKey)))]
async fn create(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<NewAgentKey>), Problem> {
    caller.require(&Scope::Operate)?;
    let made = api.clusters.create_key(&caller.user, &id, api.now()).await?;
    let view = NewAgentKey {
        id: made.id,
        preview: made.key.preview(),
        key: made.key.secret().clone().into(),
        expires_at: Timestamp::from_millis(made.unused_until),
    };
    Ok((StatusCode::CREATED, Json(view)))
}

/// Revoke a key of a cluster's agent; the session that it opened is closed
///
/// Needs the scope `operate`.
#[utoipa::path(delete, path = "/api/v1/clusters/{cluster_id}/agent-keys/{key_id}", tag = "agent keys",
    params(("cluster_id" = String, Path, description = "The cluster's id"),
           ("key_id" = String, Path, description = "The key's id")),
    responses((status = 204, description = "Revoked")))]
async fn revoke(
    State(api): State<Api>,
    caller: Caller,
    Path((id, key_id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    caller.require(&Scope::Operate)?;
    api.clusters.revoke_key(&caller.user, &id, &key_id, api.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}
