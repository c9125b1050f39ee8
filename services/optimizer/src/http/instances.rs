//! `/api/v1/lab/instances`: the instances that may be replaced.

use axum::{extract::State, http::StatusCode};
use contracts::{Timestamp, auth::Scope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{Caller, Json, Path, Problem};

use super::Api;
use crate::{
    lab::{Details, LabError, NewInstance, PipelineMode},
    store::LabInstance,
};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(add, list))
        .routes(routes!(show, change, remove))
        .routes(routes!(evaluate))
}

/// What is known of an instance besides.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Metadata {
    /// The Auto Scaling group that it is in; an operation refuses another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asg_name: Option<String>,
}

/// The cluster whose node it is.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ClusterMembership {
    /// The name of the EKS cluster; needed for the pipeline `KUBERNETES`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cluster_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node_group: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<String>,
}

/// An instance as its user gives it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AddInstance {
    account_id: String,
    /// `i-0123456789abcdef0`
    instance_id: String,
    /// `m5.large`; an operation refuses another one.
    instance_type: String,
    /// `eu-central-1a`; an operation refuses another one.
    availability_zone: String,
    pipeline_mode: PipelineMode,
    /// Whether operations only tell what they would do. True unless you say otherwise.
    #[serde(default = "yes")]
    #[schema(default = true)]
    is_shadow_mode: bool,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    cluster_membership: ClusterMembership,
}

/// What is to be changed; what is not given stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeInstance {
    pipeline_mode: Option<PipelineMode>,
    is_shadow_mode: Option<bool>,
    metadata: Option<Metadata>,
    cluster_membership: Option<ClusterMembership>,
}

/// An instance that may be replaced.
#[derive(Serialize, ToSchema)]
struct InstanceView {
    id: String,
    account_id: String,
    instance_id: String,
    instance_type: String,
    availability_zone: String,
    /// Null where this version does not know it.
    pipeline_mode: Option<PipelineMode>,
    is_shadow_mode: bool,
    /// Present and true when it is in the simulated account.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    simulated: bool,
    metadata: Metadata,
    cluster_membership: ClusterMembership,
    created_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
}

#[derive(Serialize, ToSchema)]
struct InstanceList {
    instances: Vec<InstanceView>,
}

#[derive(Serialize, ToSchema)]
struct Accepted {
    operation_id: String,
}

fn yes() -> bool {
    true
}

/// Add an instance
///
/// Operations on it are in shadow mode, unless you say otherwise. Needs the scope `operate`.
#[utoipa::path(post, path = "/api/v1/lab/instances", tag = "lab",
    request_body = AddInstance, responses((status = 201, body = InstanceView)))]
async fn add(
    State(api): State<Api>,
    caller: Caller,
    Json(request): Json<AddInstance>,
) -> Result<(StatusCode, Json<InstanceView>), Problem> {
    caller.require(&Scope::Operate)?;
    let new = NewInstance {
        account_id: request.account_id,
        instance_id: request.instance_id,
        instance_type: request.instance_type,
        availability_zone: request.availability_zone,
        details: details(
            request.pipeline_mode,
            request.is_shadow_mode,
            request.metadata,
            request.cluster_membership,
        ),
    };
    let instance = api.lab.add_instance(&caller.user, new).await?;
    Ok((StatusCode::CREATED, Json(instance.into())))
}

/// Your instances, the oldest first
#[utoipa::path(get, path = "/api/v1/lab/instances", tag = "lab", responses((status = 200, body = InstanceList)))]
async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<InstanceList>, Problem> {
    caller.require(&Scope::Read)?;
    let instances = api.lab.database.instances_of(&caller.user.id).await.map_err(LabError::Store)?;
    Ok(Json(InstanceList { instances: instances.into_iter().map(InstanceView::from).collect() }))
}

/// One of your instances
#[utoipa::path(get, path = "/api/v1/lab/instances/{id}", tag = "lab",
    params(("id" = String, Path, description = "The id that adding it answered")),
    responses((status = 200, body = InstanceView)))]
async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<InstanceView>, Problem> {
    caller.require(&Scope::Read)?;
    Ok(Json(api.lab.instance(&caller.user, &id).await?.into()))
}

/// Change an instance, for operations that are begun from now on
///
/// Needs the scope `operate`.
#[utoipa::path(patch, path = "/api/v1/lab/instances/{id}", tag = "lab",
    params(("id" = String, Path, description = "The id that adding it answered")),
    request_body = ChangeInstance, responses((status = 200, body = InstanceView)))]
async fn change(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Json(request): Json<ChangeInstance>,
) -> Result<Json<InstanceView>, Problem> {
    caller.require(&Scope::Operate)?;
    let instance = api.lab.instance(&caller.user, &id).await?;
    let now = InstanceView::from(instance.clone());
    let mode = request.pipeline_mode.or(now.pipeline_mode);
    let mode =
        mode.ok_or_else(|| Problem::invalid("pipeline_mode", "is one that this version does not know"))?;
    let details = details(
        mode,
        request.is_shadow_mode.unwrap_or(now.is_shadow_mode),
        request.metadata.unwrap_or(now.metadata),
        request.cluster_membership.unwrap_or(now.cluster_membership),
    );
    Ok(Json(api.lab.change_instance(&caller.user, instance, details).await?.into()))
}

/// Take an instance out of the lab
///
/// It goes on running, and so does an operation that is under way. Needs the scope `operate`.
#[utoipa::path(delete, path = "/api/v1/lab/instances/{id}", tag = "lab",
    params(("id" = String, Path, description = "The id that adding it answered")),
    responses((status = 204, description = "Taken out")))]
async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    caller.require(&Scope::Operate)?;
    api.lab.remove_instance(&caller.user, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Run the instance's pipeline
///
/// In shadow mode nothing is changed. Refused while another operation works on the same. Needs the scope `operate`.
#[utoipa::path(post, path = "/api/v1/lab/instances/{id}/evaluate", tag = "lab",
    params(("id" = String, Path, description = "The id that adding it answered")),
    responses((status = 202, body = Accepted)))]
async fn evaluate(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    caller.require(&Scope::Operate)?;
    let operation = api.lab.evaluate(&caller.user, &id).await?;
    Ok((StatusCode::ACCEPTED, Json(Accepted { operation_id: operation.to_string() })))
}

fn details(
    pipeline_mode: PipelineMode,
    is_shadow_mode: bool,
    metadata: Metadata,
    membership: ClusterMembership,
) -> Details {
    Details {
        pipeline_mode,
        is_shadow_mode,
        asg_name: metadata.asg_name,
        cluster_name: membership.cluster_name,
        node_group: membership.node_group,
        role: membership.role,
    }
}

impl From<LabInstance> for InstanceView {
    fn from(instance: LabInstance) -> Self {
        Self {
            pipeline_mode: instance.mode(),
            is_shadow_mode: instance.is_shadow_mode == 1,
            simulated: instance.is_simulated == 1,
            created_at: Timestamp::from_millis(instance.created_at),
            updated_at: Timestamp::from_millis(instance.updated_at),
            id: instance.id,
            account_id: instance.account_id,
            instance_id: instance.instance_id,
            instance_type: instance.instance_type,
            availability_zone: instance.availability_zone,
            metadata: Metadata { asg_name: instance.asg_name },
            cluster_membership: ClusterMembership {
                cluster_name: instance.cluster_name,
                node_group: instance.node_group,
                role: instance.role,
            },
        }
    }
}
