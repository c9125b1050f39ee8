//! `POST /api/v1/clusters/generate-install-script`.

use std::collections::BTreeSet;

use axum::extract::State;
use contracts::{Timestamp, WireSecret, auth::Scope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{Caller, Json, Problem};

use super::Api;
use crate::{
    install::{Feature, Install, script},
    provider::Provider,
};

/// The longest name of a cluster, in characters.
const MAX_NAME: usize = 100;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(generate))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct GenerateRequest {
    /// Who runs the cluster.
    provider: Provider,
    /// What you call it; unique among your clusters.
    cluster_name: String,
    /// What the agent may do beyond reading the basic kinds.
    #[serde(default)]
    features: BTreeSet<Feature>,
}

#[derive(Serialize, ToSchema)]
struct GenerateResponse {
    cluster_id: String,
    agent_id: String,
    /// The agent's key, shown this once, for an agent that runs outside of the cluster; the script holds it too.
    #[schema(value_type = String)]
    agent_key: WireSecret,
    /// A POSIX shell script that installs the agent with kubectl. It holds the key: keep it as a secret.
    script: String,
    /// The key ends now unless the agent has connected by then.
    expires_at: Option<Timestamp>,
}

/// Make a cluster, its agent and its agent's key, and the script that installs the agent
///
/// Needs the scope `operate`.
#[utoipa::path(post, path = "/api/v1/clusters/generate-install-script", tag = "clusters",
    request_body = GenerateRequest, responses((status = 200, body = GenerateResponse)))]
async fn generate(
    State(api): State<Api>,
    caller: Caller,
    Json(request): Json<GenerateRequest>,
) -> Result<Json<GenerateResponse>, Problem> {
    caller.require(&Scope::Operate)?;
    let name = checked_name(&request.cluster_name)?;
    let made = api
        .clusters
        .create(&caller.user, name, request.provider, &request.features, Timestamp::now())
        .await?;
    let script = script(&Install {
        cluster_id: &made.cluster_id,
        agent_id: &made.agent_id,
        endpoint: &api.install.public_url,
        key: &made.key,
        image: &api.install.agent_image,
        features: &request.features,
    });
    Ok(Json(GenerateResponse {
        cluster_id: made.cluster_id,
        agent_id: made.agent_id,
        agent_key: made.key.secret().clone().into(),
        script,
        expires_at: Timestamp::from_millis(made.key_unused_until),
    }))
}

fn checked_name(name: &str) -> Result<&str, Problem> {
    let acceptable = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ' | '/' | ':' | '@');
    let trimmed = name.trim();
    if trimmed.is_empty() || trimmed.chars().count() > MAX_NAME || !trimmed.chars().all(acceptable) {
        let message = format!("must be 1 to {MAX_NAME} letters, digits, spaces and -_./:@");
        return Err(Problem::invalid("cluster_name", message));
    }
    Ok(trimmed)
}
