//! `/api/v1/install`: what install scripts fetch. There is no API key here, but a token that is good once.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use contracts::{Token, TokenKind};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{Path, Problem, Query};

use super::Api;
use crate::{
    clusters::{Grant, GrantedKey},
    install::{AgentSecret, Manifest, UNINSTALL},
};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(manifest)).routes(routes!(uninstall))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ManifestQuery {
    /// The token of an install script.
    token: String,
}

/// The objects of an agent, for its install script
///
/// The Secret with the agent's key is among them only the first time that a token is shown.
#[utoipa::path(get, path = "/api/v1/install/{agent_id}/manifest.yaml", tag = "install",
    params(("agent_id" = String, Path, description = "The agent's id")),
    responses((status = 200, body = String, content_type = "application/yaml")), security(()))]
async fn manifest(
    State(api): State<Api>,
    Path(agent_id): Path<String>,
    Query(query): Query<ManifestQuery>,
) -> Result<Response, Problem> {
    let token = Token::parse(TokenKind::InstallToken, &query.token)
        .map_err(|error| Problem::unauthenticated(error.to_string()))?;
    let Grant { cluster_id, provider, features, key } =
        api.clusters.grant(&token, &agent_id, api.now()).await?;
    let manifest = Manifest {
        cluster_id: &cluster_id,
        agent_id: &agent_id,
        endpoint: &api.install.public_url,
        image: &api.install.agent_image,
        provider,
        features: &features,
        secret: match &key {
            GrantedKey::New(key) => AgentSecret::Key(key),
            GrantedKey::GivenBefore { hash } => AgentSecret::Given { hash },
        },
    };
    let yaml = manifest.to_yaml().map_err(|error| Problem::internal(&error))?;
    // It may hold a key.
    let headers = [(header::CONTENT_TYPE, "application/yaml"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, yaml).into_response())
}

/// A script that takes an agent out of its cluster
#[utoipa::path(get, path = "/api/v1/install/uninstall.sh", tag = "install",
    responses((status = 200, body = String, content_type = "text/x-shellscript")), security(()))]
async fn uninstall() -> Response {
    ([(header::CONTENT_TYPE, "text/x-shellscript")], UNINSTALL).into_response()
}
