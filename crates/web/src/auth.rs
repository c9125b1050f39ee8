//! Who calls: the `X-API-Key` of a request, verified, becomes a [`Caller`].

mod fallback;
mod remote;

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, request::Parts},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use contracts::{
    ErrorCode, Token, TokenKind,
    auth::{AuthResult, Scope, UserData},
};
use futures_util::future::BoxFuture;
use utoipa_axum::router::OpenApiRouter;

use crate::{API_KEY_HEADER, Problem, RateLimit};

pub use remote::RemoteVerifier;

/// Finds out whether a key is valid: user-auth from its own database, the other services by asking user-auth.
pub trait Verifier: Clone + Send + Sync + 'static {
    /// Whether the key may be used now, and whose it is.
    fn verify(&self, key: Token) -> impl Future<Output = AuthResult> + Send;
}

/// Who calls, and what the key may do: an extractor for handlers behind [`protect`].
#[derive(Clone, Debug)]
pub struct Caller {
    /// Whose key it is.
    pub user: UserData,
    /// The key's id.
    pub key_id: String,
}

impl Caller {
    /// Refuses (403) unless the key has this scope or one that includes it.
    ///
    /// # Errors
    /// A `forbidden` problem that names the missing scope.
    pub fn require(&self, scope: &Scope) -> Result<(), Problem> {
        if self.user.may(scope) {
            Ok(())
        } else {
            Err(Problem::forbidden(format!("this key lacks the scope {scope}")))
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::unauthenticated("this path needs an API key"))
    }
}

/// Asks about the caller's key once more: an extractor for handlers behind [`protect`] of what goes on long after it was begun.
#[derive(Clone)]
pub struct KeyCheck(Arc<dyn Fn() -> BoxFuture<'static, AuthResult> + Send + Sync>);

impl KeyCheck {
    fn new<V: Verifier>(verifier: V, key: Token) -> Self {
        Self(Arc::new(move || {
            let (verifier, key) = (verifier.clone(), key.clone());
            Box::pin(async move { verifier.verify(key).await })
        }))
    }

    /// Whether the key still has this scope, as far as is known: that nobody can be asked says nothing against it.
    pub async fn may_still(&self, scope: &Scope) -> bool {
        match caller((self.0)().await) {
            Ok(caller) => caller.user.may(scope),
            Err(Refusal { problem, .. }) => *problem.code() != ErrorCode::Unauthenticated,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for KeyCheck {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let check = parts.extensions.get::<Self>().cloned();
        check.ok_or_else(|| Problem::unauthenticated("this path needs an API key"))
    }
}

/// Lets only callers with a valid key through to these routes, each within its rate limit.
pub fn protect<V: Verifier>(routes: OpenApiRouter, verifier: V, limit: RateLimit) -> OpenApiRouter {
    routes.layer(from_fn_with_state((verifier, limit), authenticate::<V>))
}

async fn authenticate<V: Verifier>(
    State((verifier, limit)): State<(V, RateLimit)>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = match key_of(request.headers()) {
        Ok(key) => {
            request.extensions_mut().insert(KeyCheck::new(verifier.clone(), key.clone()));
            caller(verifier.verify(key).await)
        }
        Err(refusal) => Err(refusal),
    };
    match caller {
        Ok(caller) => {
            metrics::counter!("auth_total", "outcome" => "ok").increment(1);
            let key_id = caller.key_id.clone();
            request.extensions_mut().insert(caller);
            limit.admit(&key_id, request, next).await
        }
        Err(Refusal { reason, problem }) => {
            metrics::counter!("auth_total", "outcome" => reason).increment(1);
            problem.into_response()
        }
    }
}

struct Refusal {
    /// For the metrics.
    reason: &'static str,
    problem: Problem,
}

fn key_of(headers: &HeaderMap) -> Result<Token, Refusal> {
    let refuse = |reason, detail: String| Refusal { reason, problem: Problem::unauthenticated(detail) };
    let header = headers.get(API_KEY_HEADER);
    let header =
        header.ok_or_else(|| refuse("missing", "send your API key in the header X-API-Key".to_owned()))?;
    let text = header.to_str().map_err(|_| refuse("malformed", "X-API-Key is not plain text".to_owned()))?;
    Token::parse(TokenKind::ApiKey, text).map_err(|error| refuse("malformed", error.to_string()))
}

fn caller(answer: AuthResult) -> Result<Caller, Refusal> {
    match answer {
        AuthResult { valid: true, user_data: Some(user), key_id: Some(key_id), .. } => {
            Ok(Caller { user, key_id })
        }
        refused => {
            let code = refused.code.unwrap_or(ErrorCode::Unauthenticated);
            let reason = if code == ErrorCode::Unauthenticated { "refused" } else { "unavailable" };
            let detail = refused.error.unwrap_or_else(|| "this key is not valid".to_owned());
            Err(Refusal { reason, problem: Problem::new(code, detail) })
        }
    }
}
