//! Clusters by stored credentials: onboard, list, select, remove, look into.

use axum::{extract::State, http::StatusCode};
use cluster_access::{Credentials, Trust, Version};
use contracts::{Timestamp, auth::Scope};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{Caller, Json, Path, Problem, Query};

use super::Api;
use crate::{
    store::StoredCluster,
    stored::{Checked, Given, StoredError},
};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(onboard))
        .routes(routes!(list))
        .routes(routes!(remove))
        .routes(routes!(credentials, replace_credentials))
        .routes(routes!(namespaces))
        .routes(routes!(select))
}

/// A cluster as its user gives it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ClusterConfigRequest {
    /// What you call it; each of your clusters has another name.
    #[schema(max_length = 253)]
    cluster_name: String,
    /// The URL of its API server, such as `https://203.0.113.7:6443`.
    server_url: String,
    /// A bearer token.
    #[schema(value_type = Option<String>, write_only)]
    token: Option<SecretString>,
    context_name: Option<String>,
    provider_name: Option<String>,
    tags: Option<String>,
    /// Whether the server has to prove that it is the one, by a certificate of `ca_data`. True unless you say otherwise; without it,
    /// whoever answers gets the token.
    #[serde(default = "yes")]
    #[schema(default = true)]
    use_secure_tls: bool,
    /// The certificates of the authorities, as PEM or PEM in Base64.
    ca_data: Option<String>,
    /// The name in the server's certificate, where it is another than the URL's host.
    tls_server_name: Option<String>,
    /// A client's certificate, as PEM or PEM in Base64.
    tls_cert: Option<String>,
    /// Its key, as PEM or PEM in Base64.
    #[schema(value_type = Option<String>, write_only)]
    tls_key: Option<SecretString>,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OnboardParams {
    /// Ask the cluster for its version first, and store nothing when it does not answer.
    #[serde(default)]
    verify: bool,
}

/// A cluster as it is stored, without what is secret of it.
#[derive(Serialize, ToSchema)]
pub(super) struct ClusterConfig {
    id: i64,
    cluster_name: String,
    server_url: String,
    context_name: Option<String>,
    provider_name: Option<String>,
    tags: Option<String>,
    use_secure_tls: bool,
    ca_data: Option<String>,
    tls_server_name: Option<String>,
    /// Always null: it is among the credentials.
    tls_key: Option<String>,
    /// Always null: it is among the credentials.
    tls_cert: Option<String>,
    user_id: String,
    /// Always false: an agent belongs to a cluster of its own.
    is_operator_installed: bool,
    /// Whether it is the one that you have selected.
    is_active: bool,
    created_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
}

impl From<StoredCluster> for ClusterConfig {
    fn from(cluster: StoredCluster) -> Self {
        Self {
            id: cluster.id,
            cluster_name: cluster.name,
            server_url: cluster.server_url,
            context_name: cluster.context_name,
            provider_name: cluster.provider_name,
            tags: cluster.tags,
            use_secure_tls: cluster.use_secure_tls != 0,
            ca_data: cluster.ca_data,
            tls_server_name: cluster.tls_server_name,
            tls_key: None,
            tls_cert: None,
            user_id: cluster.user_id,
            is_operator_installed: false,
            is_active: cluster.is_active != 0,
            created_at: Timestamp::from_millis(cluster.created_at),
            updated_at: Timestamp::from_millis(cluster.updated_at),
        }
    }
}

#[derive(Serialize, ToSchema)]
struct Onboarded {
    #[serde(flatten)]
    cluster: ClusterConfig,
    message: String,
    /// What the cluster says that it is; present where it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    kubernetes_version: Option<String>,
    /// Present and true when the cluster says that it is a simulated one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    simulated: bool,
}

/// Store a cluster's credentials
///
/// Needs the scope `operate`.
#[utoipa::path(post, path = "/onboard-cluster", tag = "stored clusters",
    request_body = ClusterConfigRequest, responses((status = 201, body = Onboarded)))]
async fn onboard(
    State(api): State<Api>,
    caller: Caller,
    Query(OnboardParams { verify }): Query<OnboardParams>,
    Json(request): Json<ClusterConfigRequest>,
) -> Result<(StatusCode, Json<Onboarded>), Problem> {
    caller.require(&Scope::Operate)?;
    let given = Given {
        cluster_name: request.cluster_name,
        server_url: request.server_url,
        token: request.token,
        context_name: request.context_name,
        provider_name: request.provider_name,
        tags: request.tags,
        use_secure_tls: request.use_secure_tls,
        ca_data: request.ca_data,
        public_ca: false,
        tls_server_name: request.tls_server_name,
        tls_cert: request.tls_cert,
        tls_key: request.tls_key,
    };
    let checked = api.check(given)?;
    let version = if verify {
        let _place = api.in_flight.enter(&caller.user.id)?;
        Some(api.clusters.verify(&checked.credentials).await?)
    } else {
        None
    };
    let cluster = api.clusters.onboard(&caller.user, &checked, api.now()).await?;
    let message = format!("Cluster {:?} is onboarded", cluster.name);
    let (kubernetes_version, simulated) = match version {
        Some(Version { git_version, simulated, .. }) => (Some(git_version), simulated),
        None => (None, false),
    };
    let onboarded = Onboarded { cluster: cluster.into(), message, kubernetes_version, simulated };
    Ok((StatusCode::CREATED, Json(onboarded)))
}

impl Api {
    /// Checks what a user gives, by the settings and the time.
    pub(super) fn check(&self, given: Given) -> Result<Checked, StoredError> {
        given.check(self.clusters.clients.limits().any_address, self.now())
    }
}

#[derive(Serialize, ToSchema)]
struct ClusterList {
    clusters: Vec<ClusterConfig>,
}

/// Your clusters by name
#[utoipa::path(get, path = "/clusters", tag = "stored clusters", responses((status = 200, body = ClusterList)))]
async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<ClusterList>, Problem> {
    caller.require(&Scope::Read)?;
    let _place = api.in_flight.enter(&caller.user.id)?;
    let clusters = api.clusters.list(&caller.user).await?;
    Ok(Json(ClusterList { clusters: clusters.into_iter().map(ClusterConfig::from).collect() }))
}

#[derive(Serialize, ToSchema)]
struct Removed {
    message: String,
    cluster_id: i64,
    cluster_name: String,
}

/// Remove a cluster with its credentials; the cluster itself stays as it is
///
/// Needs the scope `operate`.
#[utoipa::path(delete, path = "/remove-cluster/{cluster_id}", tag = "stored clusters",
    params(("cluster_id" = i64, Path, description = "The cluster's id")),
    responses((status = 200, body = Removed)))]
async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<Removed>, Problem> {
    caller.require(&Scope::Operate)?;
    let cluster = api.clusters.remove(&caller.user, id).await?;
    let message = format!("Cluster {:?} is removed", cluster.name);
    Ok(Json(Removed { message, cluster_id: cluster.id, cluster_name: cluster.name }))
}

/// What is stored of a cluster, with what is secret.
#[derive(Serialize, ToSchema)]
struct CredentialsView {
    id: i64,
    cluster_name: String,
    server_url: String,
    token: Option<String>,
    use_secure_tls: bool,
    ca_data: Option<String>,
    tls_server_name: Option<String>,
    tls_cert: Option<String>,
    tls_key: Option<String>,
}

/// A cluster's credentials
///
/// Needs the scope `admin`. That they were shown is in the audit log.
#[utoipa::path(get, path = "/cluster/{cluster_name}/credentials", tag = "stored clusters",
    params(("cluster_name" = String, Path, description = "The cluster's name")),
    responses((status = 200, body = CredentialsView)))]
async fn credentials(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<([(axum::http::HeaderName, &'static str); 1], Json<CredentialsView>), Problem> {
    caller.require(&Scope::Admin)?;
    let (cluster, credentials) = api.clusters.show_credentials(&caller.user, &name).await?;
    let Credentials { token, identity, trust, .. } = credentials;
    let exposed = |secret: &SecretString| secret.expose_secret().to_owned();
    let view = CredentialsView {
        id: cluster.id,
        cluster_name: cluster.name,
        server_url: cluster.server_url,
        token: token.as_ref().map(exposed),
        use_secure_tls: trust != Trust::Nobody,
        ca_data: cluster.ca_data,
        tls_server_name: cluster.tls_server_name,
        tls_cert: identity.as_ref().map(|identity| identity.certificate.clone()),
        tls_key: identity.as_ref().map(|identity| exposed(&identity.key)),
    };
    Ok(([(axum::http::header::CACHE_CONTROL, "no-store")], Json(view)))
}

/// Other credentials for a cluster that is stored.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CredentialsRequest {
    /// The URL of its API server.
    server_url: String,
    /// A bearer token.
    #[schema(value_type = Option<String>, write_only)]
    token: Option<SecretString>,
    /// Whether the server has to prove that it is the one, by a certificate of `ca_data`.
    #[serde(default = "yes")]
    #[schema(default = true)]
    use_secure_tls: bool,
    /// The certificates of the authorities, as PEM or PEM in Base64.
    ca_data: Option<String>,
    /// The name in the server's certificate, where it is another than the URL's host.
    tls_server_name: Option<String>,
    /// A client's certificate, as PEM or PEM in Base64.
    tls_cert: Option<String>,
    /// Its key, as PEM or PEM in Base64.
    #[schema(value_type = Option<String>, write_only)]
    tls_key: Option<SecretString>,
}

/// Replace a cluster's credentials, all of them
///
/// Needs the scope `operate`.
#[utoipa::path(put, path = "/cluster/{cluster_name}/credentials", tag = "stored clusters",
    params(("cluster_name" = String, Path, description = "The cluster's name")),
    request_body = CredentialsRequest, responses((status = 200, body = ClusterConfig)))]
async fn replace_credentials(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
    Query(OnboardParams { verify }): Query<OnboardParams>,
    Json(request): Json<CredentialsRequest>,
) -> Result<Json<ClusterConfig>, Problem> {
    caller.require(&Scope::Operate)?;
    let cluster = api.clusters.named(&caller.user, &name).await?;
    let given = Given {
        cluster_name: name,
        server_url: request.server_url,
        token: request.token,
        use_secure_tls: request.use_secure_tls,
        ca_data: request.ca_data,
        // As it is of a kubeconfig without authorities, and stays so.
        public_ca: cluster.use_secure_tls != 0 && cluster.ca_data.is_none(),
        tls_server_name: request.tls_server_name,
        tls_cert: request.tls_cert,
        tls_key: request.tls_key,
        ..Given::default()
    };
    let Checked { credentials, .. } = api.check(given)?;
    if verify {
        let _place = api.in_flight.enter(&caller.user.id)?;
        api.clusters.verify(&credentials).await?;
    }
    let replaced = api.clusters.replace_credentials(&caller.user, &cluster, &credentials).await?;
    Ok(Json(replaced.into()))
}

/// Which cluster an answer is of.
#[derive(Serialize, ToSchema)]
struct ClusterInfo {
    id: i64,
    cluster_name: String,
    server_url: String,
    context_name: Option<String>,
    provider_name: Option<String>,
    use_secure_tls: bool,
    is_active: bool,
    /// Present and true when the cluster says that it is a simulated one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    simulated: bool,
}

#[derive(Serialize, ToSchema)]
struct Namespaces {
    /// Their names.
    namespaces: Vec<String>,
    cluster_info: ClusterInfo,
}

impl Api {
    async fn answer(&self, cluster: StoredCluster, namespaces: Vec<String>) -> Json<Namespaces> {
        let simulated = self.clusters.is_simulated(&cluster).await;
        let cluster_info = ClusterInfo {
            id: cluster.id,
            cluster_name: cluster.name,
            server_url: cluster.server_url,
            context_name: cluster.context_name,
            provider_name: cluster.provider_name,
            use_secure_tls: cluster.use_secure_tls != 0,
            is_active: cluster.is_active != 0,
            simulated,
        };
        Json(Namespaces { namespaces, cluster_info })
    }
}

/// A cluster's namespaces, asked of its API server
#[utoipa::path(get, path = "/get-namespaces/{cluster_id}", tag = "stored clusters",
    params(("cluster_id" = i64, Path, description = "The cluster's id")),
    responses((status = 200, body = Namespaces)))]
async fn namespaces(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<Namespaces>, Problem> {
    caller.require(&Scope::Read)?;
    let cluster = api.clusters.get(&caller.user, id).await?;
    let _place = api.in_flight.enter(&caller.user.id)?;
    let namespaces = api.clusters.namespaces(&cluster).await?;
    Ok(api.answer(cluster, namespaces).await)
}

/// Make a cluster your active one, and list its namespaces
///
/// When they cannot be listed, the active one stays as it was.
#[utoipa::path(post, path = "/select-cluster-and-get-namespaces/{cluster_id}", tag = "stored clusters",
    params(("cluster_id" = i64, Path, description = "The cluster's id")),
    responses((status = 200, body = Namespaces)))]
async fn select(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<Namespaces>, Problem> {
    caller.require(&Scope::Read)?;
    let _place = api.in_flight.enter(&caller.user.id)?;
    let (cluster, namespaces) = api.clusters.select(&caller.user, id).await?;
    Ok(api.answer(cluster, namespaces).await)
}
