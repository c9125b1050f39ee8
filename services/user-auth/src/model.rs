//! What the service keeps.

use contracts::{
    Timestamp,
    auth::{Scope, UserData},
};

/// The role of those who manage users.
pub(crate) const ADMIN_ROLE: &str = "admin";

/// Somebody who has keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    /// A UUID.
    pub(crate) id: String,
    pub(crate) username: String,
    pub(crate) email: String,
    pub(crate) roles: Vec<String>,
    pub(crate) created_at: Timestamp,
    /// Since then the user's keys are refused.
    pub(crate) deactivated_at: Option<Timestamp>,
}

impl User {
    /// Whether the user's keys are valid.
    pub(crate) fn is_active(&self) -> bool {
        self.deactivated_at.is_none()
    }

    /// Whether the user may manage users now.
    pub(crate) fn is_active_admin(&self) -> bool {
        self.is_active() && self.roles.iter().any(|role| role == ADMIN_ROLE)
    }
}

/// A key without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiKey {
    /// A UUID.
    pub(crate) id: String,
    pub(crate) user_id: String,
    pub(crate) name: String,
    /// The prefix and four characters.
    pub(crate) preview: String,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) revoked_at: Option<Timestamp>,
    /// At most a minute behind.
    pub(crate) last_used_at: Option<Timestamp>,
    /// The id of the key that it was rotated to.
    pub(crate) replaced_by: Option<String>,
}

impl ApiKey {
    /// Why the key is worth nothing at this time, for a person; nothing while it is valid.
    pub(crate) fn refusal(&self, now: Timestamp) -> Option<&'static str> {
        if self.revoked_at.is_some() {
            Some("this API key was revoked")
        } else if self.expires_at.is_some_and(|at| at <= now) {
            Some("this API key has expired")
        } else {
            None
        }
    }
}

/// A key and whose it is.
#[derive(Clone, Debug)]
pub(crate) struct KeyOfUser {
    /// The key.
    pub(crate) key: ApiKey,
    /// Its user.
    pub(crate) user: User,
}

impl KeyOfUser {
    /// The user as other services see one who calls with this key.
    pub(crate) fn user_data(&self) -> UserData {
        UserData {
            id: self.user.id.clone(),
            username: self.user.username.clone(),
            email: self.user.email.clone(),
            roles: self.user.roles.clone(),
            is_active: self.user.is_active(),
            scopes: self.key.scopes.clone(),
        }
    }
}
