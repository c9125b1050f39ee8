//! `/api/v1/auth/verify`: what the other services ask while the broker is away.

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, header},
};
use contracts::{Timestamp, WireSecret, auth::AuthResult};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
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

/// Whether a key may be used now, and whose it is.
#[derive(Serialize, ToSchema)]
#[schema(value_type = Object)]
pub(super) struct Answer(AuthResult);

/// Verify a key
///
/// For services: `Authorization: Bearer` and the service token. The answer is that of an authentication request.
#[utoipa::path(post, path = "/api/v1/auth/verify", tag = "verification", request_body = VerifyKey, security(()),
    responses((status = 200, description = "`valid` says whether the key may be used", body = Answer)))]
pub(super) async fn verify(
    State(verification): State<Verification>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    Json(body): Json<VerifyKey>,
) -> Result<Json<Answer>, Problem> {
    verification.require_service(&headers)?;
    let answer = verification
        .accounts
        .verify_text(request_id.to_string(), body.api_key.expose(), Timestamp::now())
        .await;
    Ok(Json(Answer(answer)))
}

impl Verification {
    fn require_service(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(expected) = &self.service_token else {
            return Err(Problem::forbidden(
                "keys cannot be verified over HTTP here: SERVICE_TOKEN is not set",
            ));
        };
        let shown = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .unwrap_or_default();
        if bool::from(shown.as_bytes().ct_eq(expected.expose_secret().as_bytes())) {
            Ok(())
        } else {
            Err(Problem::unauthenticated("send the service token as Authorization: Bearer"))
        }
    }
}
