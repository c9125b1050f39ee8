//! `/api/v1/operations`: what was decided, done and undone, and why.

use axum::{extract::State, http::StatusCode};
use contracts::auth::Scope;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{Caller, Json, Path, Problem};

use super::Api;
use crate::report::OperationReport;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show)).routes(routes!(cancel))
}

#[derive(Serialize, ToSchema)]
struct OperationList {
    operations: Vec<OperationReport>,
}

/// Your newest operations, a hundred at most
#[utoipa::path(get, path = "/api/v1/operations", tag = "operations",
    responses((status = 200, body = OperationList)))]
async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<OperationList>, Problem> {
    caller.require(&Scope::Read)?;
    let operations = api.lab.reports(&caller.user).await?;
    Ok(Json(OperationList { operations }))
}

/// One of your operations
#[utoipa::path(get, path = "/api/v1/operations/{id}", tag = "operations",
    params(("id" = String, Path, description = "The operation's id")),
    responses((status = 200, body = OperationReport)))]
async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<OperationReport>, Problem> {
    caller.require(&Scope::Read)?;
    let (operation, saga) = api.lab.operation(&caller.user, &id).await?;
    Ok(Json(api.lab.report(&operation, &saga).await?))
}

/// Cancel an operation
///
/// It is cancelled between two of its steps, and what was done is undone. Refused when it is over, or the old instance is being ended.
/// Needs the scope `operate`.
#[utoipa::path(post, path = "/api/v1/operations/{id}/cancel", tag = "operations",
    params(("id" = String, Path, description = "The operation's id")),
    responses((status = 202, body = OperationReport)))]
async fn cancel(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<OperationReport>), Problem> {
    caller.require(&Scope::Operate)?;
    api.lab.cancel(&caller.user, &id).await?;
    let (operation, saga) = api.lab.operation(&caller.user, &id).await?;
    Ok((StatusCode::ACCEPTED, Json(api.lab.report(&operation, &saga).await?)))
}
