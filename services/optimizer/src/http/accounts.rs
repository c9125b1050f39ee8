//! `/api/v1/accounts`: the AWS accounts to act in.

use axum::{extract::State, http::StatusCode};
use contracts::{Timestamp, auth::Scope};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{Caller, Json, Path, Problem};

use super::Api;
use crate::{
    lab::{LabError, NewAccount},
    store::Account,
};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(add, list)).routes(routes!(show, remove))
}

/// An account, without its external id.
#[derive(Serialize, ToSchema)]
struct AccountView {
    id: String,
    name: String,
    /// The twelve digits of the role's ARN.
    aws_account: String,
    role_arn: String,
    region: String,
    /// Present and true when it is the simulated one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    simulated: bool,
    created_at: Option<Timestamp>,
}

#[derive(Serialize, ToSchema)]
struct AccountList {
    accounts: Vec<AccountView>,
}

/// Add an AWS account
///
/// Its role is assumed to prove it; refused when it can be assumed without the external id. Needs the scope `operate`.
#[utoipa::path(post, path = "/api/v1/accounts", tag = "accounts",
    request_body = NewAccount, responses((status = 201, body = AccountView)))]
async fn add(
    State(api): State<Api>,
    caller: Caller,
    Json(request): Json<NewAccount>,
) -> Result<(StatusCode, Json<AccountView>), Problem> {
    caller.require(&Scope::Operate)?;
    let account = api.lab.add_account(&caller.user, request).await?;
    Ok((StatusCode::CREATED, Json(api.account(account))))
}

/// Your accounts by name
#[utoipa::path(get, path = "/api/v1/accounts", tag = "accounts", responses((status = 200, body = AccountList)))]
async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<AccountList>, Problem> {
    caller.require(&Scope::Read)?;
    let accounts = api.lab.database.accounts_of(&caller.user.id).await.map_err(LabError::Store)?;
    Ok(Json(AccountList { accounts: accounts.into_iter().map(|account| api.account(account)).collect() }))
}

/// One of your accounts
#[utoipa::path(get, path = "/api/v1/accounts/{id}", tag = "accounts",
    params(("id" = String, Path, description = "The account's id")),
    responses((status = 200, body = AccountView)))]
async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<AccountView>, Problem> {
    caller.require(&Scope::Read)?;
    let account = api.lab.account(&caller.user, &id).await?;
    Ok(Json(api.account(account)))
}

/// Forget an account and its instances
///
/// Refused while an operation is under way in it. Nothing in the account is changed. Needs the scope `operate`.
#[utoipa::path(delete, path = "/api/v1/accounts/{id}", tag = "accounts",
    params(("id" = String, Path, description = "The account's id")),
    responses((status = 204, description = "Forgotten")))]
async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    caller.require(&Scope::Operate)?;
    api.lab.remove_account(&caller.user, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Api {
    fn account(&self, account: Account) -> AccountView {
        AccountView {
            simulated: self.lab.clouds.is_simulated(&account.role_arn),
            created_at: Timestamp::from_millis(account.created_at),
            id: account.id,
            name: account.name,
            aws_account: account.aws_account,
            role_arn: account.role_arn,
            region: account.region,
        }
    }
}
