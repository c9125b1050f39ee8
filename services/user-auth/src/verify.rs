//! Whether a key may be used now, and whose it is.

use contracts::{ErrorCode, Timestamp, Token, TokenKind, auth::AuthResult};
use store::StoreError;
use web::auth::Verifier;

use crate::{
    Accounts,
    last_used::{self, Use},
    model::KeyOfUser,
    store::keys,
};

impl Accounts {
    /// Answers for the text that a client sent as its key.
    pub(crate) async fn verify_text(&self, request_id: String, text: &str, now: Timestamp) -> AuthResult {
        match Token::parse(TokenKind::ApiKey, text) {
            Ok(token) => self.verify_token(request_id, &token, now).await,
            Err(error) => refused(request_id, error.to_string()),
        }
    }

    async fn verify_token(&self, request_id: String, token: &Token, now: Timestamp) -> AuthResult {
        let found = self.store.bounded(keys::find_by_token(self.store.pool(), token)).await;
        let found = match found {
            Ok(Some(found)) => found,
            Ok(None) => return refused(request_id, "this API key is not known"),
            Err(error) => return unanswered(request_id, &error),
        };
        if let Some(reason) = refusal(&found, now) {
            return refused(request_id, reason);
        }
        let user = found.user_data();
        let key = found.key;
        if last_used::is_due(&key, now) {
            self.used(Use { key_id: key.id.clone(), at: now });
        }
        let left = key.expires_at.map(|at| u64::try_from(at.millis_since(now)).unwrap_or(0));
        AuthResult { expires_in_ms: left, ..AuthResult::valid(request_id, key.id, key.expires_at, user) }
    }
}

/// The service's own callers are verified without asking anybody.
impl Verifier for Accounts {
    async fn verify(&self, key: Token) -> AuthResult {
        self.verify_token(String::new(), &key, self.now()).await
    }
}

fn refusal(found: &KeyOfUser, now: Timestamp) -> Option<&'static str> {
    if found.user.is_active() {
        found.key.refusal(now)
    } else {
        Some("the user of this API key is deactivated")
    }
}

fn refused(request_id: String, reason: impl Into<String>) -> AuthResult {
    AuthResult::refused(request_id, ErrorCode::Unauthenticated, reason)
}

/// It could not be found out.
fn unanswered(request_id: String, error: &StoreError) -> AuthResult {
    tracing::warn!(%error, "cannot verify an API key");
    let (code, detail) = match error {
        StoreError::Unavailable(_) => {
            (ErrorCode::Unavailable, "keys cannot be verified right now: user-auth cannot use its database")
        }
        _ => (ErrorCode::Internal, "the key could not be verified"),
    };
    AuthResult::refused(request_id, code, detail)
}
