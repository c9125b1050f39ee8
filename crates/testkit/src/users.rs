//! Those who call, and their keys.

use std::{collections::HashMap, sync::Arc};

use contracts::{
    ErrorCode, Token, TokenKind,
    auth::{AuthResult, Scope, UserData},
};
use web::auth::Verifier;

/// Those who call: two users who may operate, one of whom has a key that may only read besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum User {
    /// May operate.
    Ada,
    /// Ada, by a key that may only read.
    AdaReading,
    /// May operate, and is another user.
    Bob,
}

impl User {
    /// The user's id.
    pub fn id(self) -> &'static str {
        match self {
            Self::Ada | Self::AdaReading => "user-ada",
            Self::Bob => "user-bob",
        }
    }

    /// The user's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ada | Self::AdaReading => "ada",
            Self::Bob => "bob",
        }
    }

    fn data(self) -> UserData {
        UserData {
            id: self.id().to_owned(),
            username: self.name().to_owned(),
            email: format!("{}@example.com", self.name()),
            roles: Vec::new(),
            is_active: true,
            scopes: vec![if self == Self::AdaReading { Scope::Read } else { Scope::Operate }],
        }
    }
}

/// The key of each of them.
#[derive(Clone)]
pub struct Keys(HashMap<User, Token>);

impl Keys {
    /// New ones.
    #[must_use]
    pub fn generate() -> Self {
        let users = [User::Ada, User::AdaReading, User::Bob];
        Self(users.map(|user| (user, Token::generate(TokenKind::ApiKey, &mut rand::rng()))).into())
    }

    /// The key of one of them.
    pub fn of(&self, user: User) -> &Token {
        &self.0[&user]
    }

    /// Who knows them.
    pub fn verifier(&self) -> KnownKeys {
        KnownKeys(Arc::new(self.0.iter().map(|(user, key)| (key.hash(), *user)).collect()))
    }
}

/// Knows whose key has which hash.
#[derive(Clone)]
pub struct KnownKeys(Arc<HashMap<String, User>>);

impl Verifier for KnownKeys {
    async fn verify(&self, key: Token) -> AuthResult {
        match self.0.get(&key.hash()) {
            Some(user) => AuthResult::valid(String::new(), format!("key-{user:?}"), None, user.data()),
            None => AuthResult::refused(String::new(), ErrorCode::Unauthenticated, "nobody has this key"),
        }
    }
}
