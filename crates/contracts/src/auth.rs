//! Whether an API key is valid, and whose it is: `{service}_auth_requests` → user-auth → `{service}_auth_results`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ErrorCode, Timestamp, WireSecret};

/// "Is this key valid, and whose is it?"
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AuthRequest {
    /// Made by the asker, repeated in the answer.
    pub request_id: String,
    /// The key as the client sent it.
    pub api_key: WireSecret,
    /// Who asks, for the log: `cluster`, `onboarding`, ….
    pub service: String,
    /// When it was asked, by the asker's clock.
    pub timestamp: Timestamp,
}

/// The answer to an [`AuthRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuthResult {
    /// The request's id.
    pub request_id: String,
    /// Whether the key may be used now.
    pub valid: bool,
    /// Whose key it is; only when `valid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_data: Option<UserData>,
    /// The key's own id, by which a revocation names it; only when `valid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// When the key stops being valid; absent when it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// How long the key is still valid, so that no two clocks have to agree; absent when it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<u64>,
    /// A sentence for a person; only when `valid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Why not, for a person; only when not `valid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Why not, for a program; only when not `valid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
}

impl AuthResult {
    /// The key is valid and belongs to `user`.
    pub fn valid(request_id: String, key_id: String, expires_at: Option<Timestamp>, user: UserData) -> Self {
        Self {
            request_id,
            valid: true,
            user_data: Some(user),
            key_id: Some(key_id),
            expires_at,
            expires_in_ms: None,
            message: Some("API key is valid".to_owned()),
            error: None,
            code: None,
        }
    }

    /// The key may not be used, or it could not be found out (`code` says which).
    pub fn refused(request_id: String, code: ErrorCode, error: impl Into<String>) -> Self {
        Self {
            request_id,
            valid: false,
            user_data: None,
            key_id: None,
            expires_at: None,
            expires_in_ms: None,
            message: None,
            error: Some(error.into()),
            code: Some(code),
        }
    }
}

/// A user as other services see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct UserData {
    /// A UUID.
    pub id: String,
    /// Unique, for people.
    pub username: String,
    /// Where the user is written to.
    pub email: String,
    /// What the user is, such as `admin`.
    pub roles: Vec<String>,
    /// Always true in a valid answer.
    pub is_active: bool,
    /// What the key may do.
    pub scopes: Vec<Scope>,
}

impl UserData {
    /// Whether the key may do what `needed` stands for: `admin` includes `operate`, which includes `read`.
    pub fn may(&self, needed: &Scope) -> bool {
        self.scopes.iter().any(|held| held.includes(needed))
    }

    /// Whether the user administers Kubesage itself.
    pub fn is_admin(&self) -> bool {
        self.roles.iter().any(|role| role == "admin")
    }
}

/// What a key may do.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Look.
    Read,
    /// Change clusters.
    Operate,
    /// Manage keys, credentials and, for administrators, users.
    Admin,
    /// A scope of a newer version; it includes only itself.
    #[serde(untagged)]
    Other(String),
}

impl Scope {
    /// Whether holding this scope is enough where `needed` is asked for.
    pub fn includes(&self, needed: &Self) -> bool {
        match self {
            Self::Admin => !matches!(needed, Self::Other(_)),
            Self::Operate => matches!(needed, Self::Operate | Self::Read),
            Self::Read | Self::Other(_) => self == needed,
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
            Self::Other(name) => name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_includes_operate_includes_read() {
        assert!(Scope::Admin.includes(&Scope::Read));
        assert!(Scope::Operate.includes(&Scope::Read));
        assert!(!Scope::Read.includes(&Scope::Operate));
        assert!(!Scope::Admin.includes(&Scope::Other("audit".into())));
    }

    #[test]
    fn a_request_of_the_earlier_system_is_understood_and_its_key_is_not_shown() {
        let text = r#"{"request_id":"r","api_key":"ks_x","service":"cluster","timestamp":"2024-01-01T12:00:00Z","extra":1}"#;
        let request: AuthRequest = serde_json::from_str(text).unwrap();
        assert_eq!(request.service, "cluster");
        assert!(!format!("{request:?}").contains("ks_x"));
    }
}
