//! `/api/v1/api-keys`.

use std::time::Duration;

use axum::{
    body::HttpBody,
    extract::{FromRequest, Request, State},
    http::StatusCode,
    response::IntoResponse,
};
use contracts::{Timestamp, Token, TokenKind, WireSecret, auth::Scope};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use web::{Caller, Json, Path, Problem, Query};

use super::{next_cursor, page, require_administrator};
use crate::{Accounts, keys::NewKey, model::ApiKey};

/// How long a rotated key stays valid unless the caller says otherwise, and at most: a day and 30 days.
const DEFAULT_OVERLAP_SECONDS: u64 = 24 * 60 * 60;
const MAX_OVERLAP_SECONDS: u64 = 30 * 24 * 60 * 60;

/// A key to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateKey {
    /// 1 to 100 visible characters, for people.
    #[schema(example = "CI pipeline")]
    name: String,
    /// None beyond the scopes of the key that makes it.
    scopes: Vec<Scope>,
    /// 1 to 3650; absent: the key does not expire.
    expires_in_days: Option<u32>,
    /// Whose key it is to be; only administrators may name another user.
    #[schema(value_type = Option<String>)]
    user_id: Option<Uuid>,
}

/// How a key is to be rotated.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateKey {
    /// How long the old key stays valid: 0 to 2592000, by default 86400.
    overlap_seconds: Option<u64>,
}

/// A new key; this is the only time that it is shown.
#[derive(Serialize, ToSchema)]
pub(super) struct NewKeyView {
    /// A UUID.
    id: String,
    /// The key itself.
    #[schema(value_type = String)]
    key: WireSecret,
    /// What lists show of it.
    preview: String,
    /// Null: it does not expire.
    expires_at: Option<Timestamp>,
}

/// A key, without the key itself.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyView {
    /// A UUID.
    id: String,
    name: String,
    /// Its prefix and four characters.
    preview: String,
    scopes: Vec<Scope>,
    created_at: Timestamp,
    /// Null: it does not expire.
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    /// At most a minute behind.
    last_used_at: Option<Timestamp>,
    /// The id of the key that it was rotated to.
    replaced_by: Option<String>,
}

/// A part of a user's keys, in the order in which they were made.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyPage {
    api_keys: Vec<KeyView>,
    /// Hand this back as `cursor` for the next part; null on the last one.
    next_cursor: Option<String>,
}

/// Which part of whose keys.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListKeys {
    /// Whose keys, if not one's own; only administrators may name another user.
    #[param(value_type = Option<String>)]
    user_id: Option<Uuid>,
    /// At most so many, 1 to 100 (the default).
    limit: Option<u32>,
    /// The `next_cursor` of the part before.
    #[param(value_type = Option<String>)]
    cursor: Option<Uuid>,
}

impl From<ApiKey> for KeyView {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id,
            name: key.name,
            preview: key.preview,
            scopes: key.scopes,
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            last_used_at: key.last_used_at,
            replaced_by: key.replaced_by,
        }
    }
}

impl NewKeyView {
    fn new(key: ApiKey, token: &Token) -> Self {
        Self {
            id: key.id,
            key: token.secret().clone().into(),
            preview: key.preview,
            expires_at: key.expires_at,
        }
    }
}

/// Make a key
///
/// Needs the scope `admin`.
#[utoipa::path(post, path = "/api/v1/api-keys", tag = "API keys", request_body = CreateKey,
    responses((status = 201, description = "Made; the key is shown this once", body = NewKeyView)))]
pub(super) async fn create(
    State(accounts): State<Accounts>,
    caller: Caller,
    Json(body): Json<CreateKey>,
) -> Result<impl IntoResponse, Problem> {
    caller.require(&Scope::Admin)?;
    let user_id = user_or_self(body.user_id, &caller);
    let new = NewKey { name: body.name, scopes: body.scopes, expires_in_days: body.expires_in_days };
    let token = new_token();
    let key = accounts.create_key(&caller.user, &user_id, new, &token, accounts.now()).await?;
    Ok((StatusCode::CREATED, Json(NewKeyView::new(key, &token))))
}

/// List keys
///
/// Needs the scope `read`; for another user's keys the role and the scope `admin`.
#[utoipa::path(get, path = "/api/v1/api-keys", tag = "API keys",
    responses((status = 200, description = "A part of the keys", body = KeyPage)))]
pub(super) async fn list(
    State(accounts): State<Accounts>,
    caller: Caller,
    Query(query): Query<ListKeys>,
) -> Result<Json<KeyPage>, Problem> {
    caller.require(&Scope::Read)?;
    let user_id = user_or_self(query.user_id, &caller);
    if user_id != caller.user.id {
        require_administrator(&caller)?;
    }
    let page = page(query.limit, query.cursor)?;
    let keys = accounts.list_keys(&user_id, page).await?;
    Ok(Json(KeyPage {
        next_cursor: next_cursor(&keys, page, |key| &key.id),
        api_keys: keys.into_iter().map(KeyView::from).collect(),
    }))
}

/// Revoke a key
///
/// Needs the scope `admin`. The key is worth nothing from now on, everywhere.
#[utoipa::path(delete, path = "/api/v1/api-keys/{id}", tag = "API keys", params(("id" = String, Path)),
    responses((status = 204, description = "Revoked, now or before")))]
pub(super) async fn revoke(
    State(accounts): State<Accounts>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    caller.require(&Scope::Admin)?;
    accounts.revoke_key(&caller.user, id, accounts.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Replace a key
///
/// Needs the scope `admin`. The old key stays valid for the overlap; the body may be left out.
#[utoipa::path(post, path = "/api/v1/api-keys/{id}/rotate", tag = "API keys", params(("id" = String, Path)),
    request_body(content = Option<RotateKey>),
    responses((status = 201, description = "The new key, shown this once", body = NewKeyView)))]
pub(super) async fn rotate(
    State(accounts): State<Accounts>,
    caller: Caller,
    Path(id): Path<Uuid>,
    request: Request,
) -> Result<impl IntoResponse, Problem> {
    caller.require(&Scope::Admin)?;
    let body = if request.body().is_end_stream() {
        RotateKey::default()
    } else {
        Json::from_request(request, &()).await?.0
    };
    let overlap = body.overlap_seconds.unwrap_or(DEFAULT_OVERLAP_SECONDS);
    if overlap > MAX_OVERLAP_SECONDS {
        return Err(Problem::invalid("overlap_seconds", "must be a whole number from 0 to 2592000"));
    }
    let (token, overlap) = (new_token(), Duration::from_secs(overlap));
    let key = accounts.rotate_key(&caller.user, id, overlap, &token, accounts.now()).await?;
    Ok((StatusCode::CREATED, Json(NewKeyView::new(key, &token))))
}

fn user_or_self(user_id: Option<Uuid>, caller: &Caller) -> String {
    user_id.map_or_else(|| caller.user.id.clone(), |id| id.to_string())
}

fn new_token() -> Token {
    Token::generate(TokenKind::ApiKey, &mut rand::rng())
}
