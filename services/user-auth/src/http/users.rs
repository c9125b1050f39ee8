//! `/api/v1/users`.

use axum::{extract::State, http::StatusCode, response::IntoResponse};
use contracts::{Timestamp, auth::UserData};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use web::{Caller, Json, Path, Problem, Query};

use super::{next_cursor, page, require_administrator};
use crate::{
    Accounts,
    model::User,
    users::{NewUser, UserChange},
};

/// A user to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateUser {
    /// Lower-case letters, digits, dots, underscores and hyphens; unique.
    #[schema(example = "ada")]
    username: String,
    #[schema(example = "ada@example.com")]
    email: String,
    /// `admin` manages users.
    #[serde(default)]
    roles: Vec<String>,
}

/// What is to change; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UpdateUser {
    /// A user who is not active has no valid key.
    is_active: Option<bool>,
    roles: Option<Vec<String>>,
}

/// A user, as administrators see one.
#[derive(Serialize, ToSchema)]
pub(super) struct UserView {
    /// A UUID.
    id: String,
    username: String,
    email: String,
    roles: Vec<String>,
    is_active: bool,
    created_at: Timestamp,
    /// Since when the user is not active.
    deactivated_at: Option<Timestamp>,
}

/// A part of the users, in the order in which they were made.
#[derive(Serialize, ToSchema)]
pub(super) struct UserPage {
    users: Vec<UserView>,
    /// Hand this back as `cursor` for the next part; null on the last one.
    next_cursor: Option<String>,
}

/// Which part of the users.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListUsers {
    /// At most so many, 1 to 100 (the default).
    limit: Option<u32>,
    /// The `next_cursor` of the part before.
    #[param(value_type = Option<String>)]
    cursor: Option<Uuid>,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self {
            is_active: user.is_active(),
            id: user.id,
            username: user.username,
            email: user.email,
            roles: user.roles,
            created_at: user.created_at,
            deactivated_at: user.deactivated_at,
        }
    }
}

/// Make a user
///
/// Needs the role and the scope `admin`. The user has no key yet.
#[utoipa::path(post, path = "/api/v1/users", tag = "users", request_body = CreateUser,
    responses((status = 201, description = "Made", body = UserView)))]
pub(super) async fn create(
    State(accounts): State<Accounts>,
    caller: Caller,
    Json(body): Json<CreateUser>,
) -> Result<impl IntoResponse, Problem> {
    require_administrator(&caller)?;
    let new = NewUser { username: body.username, email: body.email, roles: body.roles };
    let user = accounts.create_user(new, accounts.now()).await?;
    Ok((StatusCode::CREATED, Json(UserView::from(user))))
}

/// List users
///
/// Needs the role and the scope `admin`.
#[utoipa::path(get, path = "/api/v1/users", tag = "users",
    responses((status = 200, description = "A part of the users", body = UserPage)))]
pub(super) async fn list(
    State(accounts): State<Accounts>,
    caller: Caller,
    Query(query): Query<ListUsers>,
) -> Result<Json<UserPage>, Problem> {
    require_administrator(&caller)?;
    let page = page(query.limit, query.cursor)?;
    let users = accounts.list_users(page).await?;
    Ok(Json(UserPage {
        next_cursor: next_cursor(&users, page, |user| &user.id),
        users: users.into_iter().map(UserView::from).collect(),
    }))
}

/// Who the key belongs to
#[utoipa::path(get, path = "/api/v1/users/me", tag = "users",
    responses((status = 200, description = "The user, and what the key may do", body = UserData)))]
pub(super) async fn me(caller: Caller) -> Json<UserData> {
    Json(caller.user)
}

/// Get a user
///
/// Needs the role and the scope `admin`.
#[utoipa::path(get, path = "/api/v1/users/{id}", tag = "users", params(("id" = String, Path)),
    responses((status = 200, description = "The user", body = UserView)))]
pub(super) async fn get(
    State(accounts): State<Accounts>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<Json<UserView>, Problem> {
    require_administrator(&caller)?;
    let user = accounts.user(id).await?;
    Ok(Json(user.into()))
}

/// Change a user's roles, or whether the user is active
///
/// Needs the role and the scope `admin`. The last active administrator stays one.
#[utoipa::path(patch, path = "/api/v1/users/{id}", tag = "users", params(("id" = String, Path)),
    request_body = UpdateUser, responses((status = 200, description = "The user as it is now", body = UserView)))]
pub(super) async fn update(
    State(accounts): State<Accounts>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(body): Json<UpdateUser>,
) -> Result<Json<UserView>, Problem> {
    require_administrator(&caller)?;
    let change = UserChange { is_active: body.is_active, roles: body.roles };
    let user = accounts.update_user(id, change, accounts.now()).await?;
    Ok(Json(user.into()))
}
