//! `/api/v1/auth/verify`: what the other services ask while the broker is away.

use axum::{
    Extension,
    extract::{FromRequestParts, State},
    http::{header, request::Parts},
};
use contracts::{WireSecret, auth::AuthResult};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use subtle::ConstantTimeEq;
use utoipa::ToSchema;
use web::{Json, Problem, RequestId};

use crate::Accounts;

/// The accounts, and who may ask about them.
#[derive(Clone)]
pub(super) struct Verification {
    accounts: Accounts,
    service_token: Option<SecretString>,
}

impl Verification {
    pub(super) fn new(accounts: Accounts, service_token: Option<SecretString>) -> Self {
        Self { accounts, service_token }
    }
}

/// The key in question.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VerifyKey {
    #[schema(value_type = String)]
    api_key: WireSecret,
}

/// Verify a key
///
/// For services: `Authorization: Bearer` and the service token. The answer is that of an authentication request.
#[utoipa::path(post, path = "/api/v1/auth/verify", tag = "verification", request_body = VerifyKey, security(()),
    responses((status = 200, description = "`valid` says whether the key may be used", body = Object)))]
pub(super) async fn verify(
    _: FromService,
    State(verification): State<Verification>,
    Extension(request_id): Extension<RequestId>,
    Json(body): Json<VerifyKey>,
) -> Json<AuthResult> {
    let (request_id, key) = (request_id.to_string(), body.api_key.expose());
    Json(verification.accounts.verify_text(request_id, key, verification.accounts.now()).await)
}

/// The caller has shown the service token. Asked for before the body is read.
pub(super) struct FromService;

impl FromRequestParts<Verification> for FromService {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, verification: &Verification) -> Result<Self, Problem> {
        let Some(expected) = &verification.service_token else {
            return Err(Problem::forbidden(
                "keys cannot be verified over HTTP here: SERVICE_TOKEN is not set",
            ));
        };
        let shown = parts.headers.get(header::AUTHORIZATION);
        let shown = shown.and_then(|value| value.as_bytes().strip_prefix(b"Bearer ")).unwrap_or_default();
        if bool::from(shown.ct_eq(expected.expose_secret().as_bytes())) {
            Ok(Self)
        } else {
            Err(Problem::unauthenticated("send the service token as Authorization: Bearer"))
        }
    }
}
