//! `/api/v1/clusters/{id}/aws-role`: the read-only role by which Kubesage looks at the cluster's AWS account.

use aws_access::{AwsError, Proof, RoleArn};
use axum::{extract::State, http::StatusCode};
use contracts::{ErrorCode, auth::Scope};
use rand::{RngExt, distr::Alphanumeric};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{Caller, Json, Path, Problem};

use super::{Api, Aws};
use crate::{
    aws_role::{Trust, lasting_principal, permissions},
    clusters::ClusterError,
    store::Cluster,
};

/// 190 random bits.
const EXTERNAL_ID_CHARS: usize = 32;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(show, connect, disconnect))
}

#[derive(Serialize, ToSchema)]
struct RoleInstructions {
    cluster_id: String,
    /// Made for this cluster; it is no secret, but it is only good for this cluster.
    external_id: String,
    /// Whom the role is to trust.
    principal: String,
    #[schema(value_type = Object)]
    trust_policy: Value,
    #[schema(value_type = Object)]
    permissions_policy: Value,
    /// A CloudFormation template of the role, as YAML.
    cloudformation_template: String,
    /// The role that is connected; absent while there is none.
    role_arn: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ConnectRole {
    /// `arn:aws:iam::123456789012:role/name`
    role_arn: String,
    /// If given: the one that was made for this cluster.
    external_id: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct RoleConnected {
    success: bool,
    cluster_id: String,
    role_arn: String,
    /// The AWS account that can be looked at from now on.
    account_id: String,
    /// As what CloudTrail shows it.
    assumed_role_arn: String,
}

/// How to make the role: its policies, and a template to paste
#[utoipa::path(get, path = "/api/v1/clusters/{cluster_id}/aws-role", tag = "aws role",
    params(("cluster_id" = String, Path, description = "The cluster's id")),
    responses((status = 200, body = RoleInstructions)))]
async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<RoleInstructions>, Problem> {
    caller.require(&Scope::Read)?;
    let cluster = api.clusters.get(&caller.user, &id, api.now()).await?;
    let external_id = api.external_id(&cluster).await?;
    let principal = api.aws.principal().await?;
    let trust = Trust { principal: &principal, external_id: &external_id };
    Ok(Json(RoleInstructions {
        trust_policy: trust.policy(),
        permissions_policy: permissions(),
        cloudformation_template: trust.template().map_err(|error| Problem::internal(&error))?,
        cluster_id: cluster.id,
        role_arn: cluster.aws_role_arn,
        external_id,
        principal,
    }))
}

/// Connect the role: it is assumed to prove it
///
/// Refused when it can be assumed without the external id. Needs the scope `operate`.
#[utoipa::path(post, path = "/api/v1/clusters/{cluster_id}/aws-role", tag = "aws role",
    params(("cluster_id" = String, Path, description = "The cluster's id")),
    request_body = ConnectRole, responses((status = 200, body = RoleConnected)))]
async fn connect(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Json(request): Json<ConnectRole>,
) -> Result<Json<RoleConnected>, Problem> {
    caller.require(&Scope::Operate)?;
    let now = api.now();
    let cluster = api.clusters.get(&caller.user, &id, now).await?;
    let role: RoleArn =
        request.role_arn.parse().map_err(|error| Problem::invalid("role_arn", format!("{error}")))?;
    let external_id = api.external_id(&cluster).await?;
    if request.external_id.is_some_and(|given| given != external_id) {
        return Err(Problem::invalid("external_id", "is not the one that was made for this cluster"));
    }
    let proof = api.aws.sessions.sts().prove(&role, &external_id).await.map_err(|error| refusal(&error))?;
    let Proof::Proven(session) = proof else {
        let message = "can be assumed without this external id: its trust policy needs the condition sts:ExternalId, with this \
                       value alone";
        return Err(Problem::invalid("role_arn", message));
    };
    api.clusters.set_role(&caller.user, &cluster, Some(role.as_str()), now).await?;
    Ok(Json(RoleConnected {
        success: true,
        account_id: role.account_id().to_owned(),
        role_arn: role.to_string(),
        assumed_role_arn: session.assumed_role_arn,
        cluster_id: cluster.id,
    }))
}

/// Forget the role
///
/// It stays in your account until you delete it there. Needs the scope `operate`.
#[utoipa::path(delete, path = "/api/v1/clusters/{cluster_id}/aws-role", tag = "aws role",
    params(("cluster_id" = String, Path, description = "The cluster's id")),
    responses((status = 204, description = "Forgotten")))]
async fn disconnect(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    caller.require(&Scope::Operate)?;
    let now = api.now();
    let cluster = api.clusters.get(&caller.user, &id, now).await?;
    if let Some(role) = cluster.aws_role_arn.as_deref().and_then(|arn| arn.parse().ok()) {
        api.aws.sessions.forget(&role, &api.external_id(&cluster).await?).await;
    }
    api.clusters.set_role(&caller.user, &cluster, None, now).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Api {
    async fn external_id(&self, cluster: &Cluster) -> Result<String, Problem> {
        let random = rand::rng().sample_iter(Alphanumeric).take(EXTERNAL_ID_CHARS).map(char::from);
        let proposed = format!("kubesage-{}", random.collect::<String>());
        let kept = self.clusters.database.external_id(&cluster.id, &proposed).await;
        Ok(kept.map_err(ClusterError::Store)?)
    }
}

impl Aws {
    async fn principal(&self) -> Result<String, Problem> {
        match &self.principal {
            Some(principal) => Ok(principal.clone()),
            None => {
                let identity = self.sessions.sts().identity().await.map_err(|error| refusal(&error))?;
                Ok(lasting_principal(&identity.arn))
            }
        }
    }
}

/// Whose fault it is: the role's, or ours or AWS's.
fn refusal(error: &AwsError) -> Problem {
    if error.is_of_role() {
        return Problem::invalid("role_arn", error.to_string());
    }
    tracing::warn!(%error, "AWS cannot be used");
    Problem::new(ErrorCode::Unavailable, error.to_string())
}
