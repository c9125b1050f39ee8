//! `POST /api/v1/clusters/generate-install-script`, and the same for a cluster that is there.

use std::collections::BTreeSet;

use axum::extract::State;
use contracts::{Timestamp, auth::Scope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{Caller, Json, Path, Problem};

use super::Api;
use crate::{
    clusters::Installation,
    install::{Feature, Install},
    provider::Provider,
};

/// The longest name of a cluster, in characters.
const MAX_NAME: usize = 100;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(generate)).routes(routes!(renew))
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
struct InstallScript {
    cluster_id: String,
    agent_id: String,
    /// A POSIX shell script that installs the agent with kubectl. It holds no key, but a token with which it fetches one,
    /// once.
    script: String,
    /// The script is worth nothing from then on, unless it was run before.
    expires_at: Option<Timestamp>,
}

/// Make a cluster, its agent, and the script that installs the agent
///
/// Needs the scope `operate`.
#[utoipa::path(post, path = "/api/v1/clusters/generate-install-script", tag = "clusters",
    request_body = GenerateRequest, responses((status = 200, body = InstallScript)))]
async fn generate(
    State(api): State<Api>,
    caller: Caller,
    Json(request): Json<GenerateRequest>,
) -> Result<Json<InstallScript>, Problem> {
    caller.require(&Scope::Operate)?;
    let GenerateRequest { provider, cluster_name, features } = request;
    let name = checked_name(&cluster_name)?;
    let made = api.clusters.create(&caller.user, name, provider, features, api.now()).await?;
    api.script(made)
}

/// Make a new install script for a cluster, in place of one that was not run
///
/// When it is run, the agent gets a new key beside the one that it has; two can be used at a time. Needs the scope `operate`.
#[utoipa::path(post, path = "/api/v1/clusters/{cluster_id}/install-script", tag = "clusters",
    params(("cluster_id" = String, Path, description = "The cluster's id")),
    responses((status = 200, body = InstallScript)))]
async fn renew(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<InstallScript>, Problem> {
    caller.require(&Scope::Operate)?;
    let installation = api.clusters.reinstall(&caller.user, &id, api.now()).await?;
    api.script(installation)
}

impl Api {
    fn script(&self, installation: Installation) -> Result<Json<InstallScript>, Problem> {
        let install = Install {
            cluster_name: &installation.cluster_name,
            cluster_id: &installation.cluster_id,
            agent_id: &installation.agent_id,
            provider: installation.provider,
            features: &installation.features,
            endpoint: &self.install.public_url,
            token: &installation.token,
        };
        let script = install.to_script().map_err(|error| Problem::internal(&error))?;
        Ok(Json(InstallScript {
            script,
            cluster_id: installation.cluster_id,
            agent_id: installation.agent_id,
            expires_at: Timestamp::from_millis(installation.expires_at),
        }))
    }
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
