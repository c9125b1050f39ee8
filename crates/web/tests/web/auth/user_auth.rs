//! user-auth, played: it answers as it is told, over the bus and over HTTP, and keeps count.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use axum::{Router, extract::State, http::HeaderMap, routing::post};
use bus::{Bus, BusOptions, ServeOptions};
use contracts::{
    ErrorCode, Timestamp, Token, TokenKind,
    auth::{AuthRequest, AuthResult, Scope, UserData},
    events::{Event, EventType},
    queues::Service,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use testkit::{TestBus, eventually};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use web::{
    Json, Problem,
    auth::{RemoteVerifier, Verifier},
    config::AuthArgs,
};

use crate::common::{Running, start};

/// What the verifiers of these tests show over HTTP.
pub(super) const SERVICE_TOKEN: &str = "kt_0123456789012345678901234567890123456789";

/// Longer than any test takes, so that a busy machine changes no answer.
pub(super) const PATIENT: Duration = Duration::from_secs(60);

/// A user-auth that knows no key until it is told one. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct UserAuth {
    keys: Arc<Mutex<HashMap<String, Known>>>,
}

#[derive(Clone, Default)]
struct Known {
    answer: Answer,
    asked: Asked,
}

/// How often it was asked about a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) over_bus: usize,
    pub(super) over_http: usize,
}

/// What it says of a key.
#[derive(Clone, Default)]
pub(super) enum Answer {
    #[default]
    Unknown,
    /// It belongs to this user, until then.
    Valid(UserData, Option<Timestamp>),
    /// It belongs to this user, said once the token is cancelled.
    Held(UserData, CancellationToken),
    /// Nothing at all over the bus; over HTTP that it belongs to this user.
    SilentOnBus(UserData),
    /// It could not be found out.
    Unanswered(ErrorCode),
}

impl UserAuth {
    fn keys(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it says this of the key.
    pub(super) fn says(&self, key: &Token, answer: Answer) {
        self.keys().entry(text(key)).or_default().answer = answer;
    }

    /// A new key of a user who may read.
    pub(super) fn key(&self) -> Token {
        let key = new_key();
        self.says(&key, Answer::Valid(user("ann", &[Scope::Read]), None));
        key
    }

    pub(super) fn asked(&self, key: &Token) -> Asked {
        self.keys().get(&text(key)).map(|known| known.asked).unwrap_or_default()
    }

    pub(super) fn asked_over_bus(&self, key: &Token) -> usize {
        self.asked(key).over_bus
    }

    /// How often it was asked about any key.
    pub(super) fn asked_at_all(&self) -> usize {
        self.keys().values().map(|known| known.asked.over_bus + known.asked.over_http).sum()
    }

    fn take(&self, key: &str, count: impl FnOnce(&mut Asked)) -> Answer {
        let mut keys = self.keys();
        let known = keys.entry(key.to_owned()).or_default();
        count(&mut known.asked);
        known.answer.clone()
    }

    /// Answers the requests of the cluster service.
    pub(super) fn serve(&self, bus: &Bus) {
        let (bus, this) = (bus.clone(), self.clone());
        tokio::spawn(async move {
            let answer = move |request: AuthRequest, _| {
                let this = this.clone();
                async move { this.answer_bus(request).await }
            };
            let route = Service::Cluster.auth_route();
            bus.serve(route, ServeOptions::default(), CancellationToken::new(), answer).await;
        });
    }

    async fn answer_bus(&self, request: AuthRequest) -> AuthResult {
        assert_eq!(request.service, "cluster");
        let answer = self.take(request.api_key.expose(), |asked| asked.over_bus += 1);
        if let Answer::SilentOnBus(_) = answer {
            return std::future::pending().await;
        }
        answer.told(request.request_id).await
    }

    /// Answers over HTTP as well, to who shows the service token.
    pub(super) async fn serve_http(&self) -> Result<Running> {
        self.serve_http_below("").await
    }

    /// The same below a path, as if behind a gateway.
    pub(super) async fn serve_http_below(&self, base: &str) -> Result<Running> {
        let path = format!("{base}/api/v1/auth/verify");
        start(Router::new().route(&path, post(verify)).with_state(self.clone())).await
    }
}

async fn verify(
    State(user_auth): State<UserAuth>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Result<Json<AuthResult>, Problem> {
    let key = body["api_key"].as_str().ok_or_else(|| Problem::invalid("api_key", "is required"))?;
    let answer = user_auth.take(key, |asked| asked.over_http += 1);
    let bearer = headers.get("authorization").and_then(|value| value.to_str().ok());
    if bearer != Some(&format!("Bearer {SERVICE_TOKEN}")) {
        return Err(Problem::unauthenticated("not a service"));
    }
    Ok(Json(answer.told("over HTTP".to_owned()).await))
}

impl Answer {
    async fn told(self, request_id: String) -> AuthResult {
        match self {
            Self::Valid(user, expires_at) => AuthResult::valid(request_id, key_id(&user), expires_at, user),
            Self::Held(user, until) => {
                until.cancelled().await;
                AuthResult::valid(request_id, key_id(&user), None, user)
            }
            Self::SilentOnBus(user) => AuthResult::valid(request_id, key_id(&user), None, user),
            Self::Unknown => AuthResult::refused(request_id, ErrorCode::Unauthenticated, "not known"),
            Self::Unanswered(code) => AuthResult::refused(request_id, code, "no database"),
        }
    }
}

fn key_id(user: &UserData) -> String {
    format!("key of {}", user.username)
}

pub(super) fn user(name: &str, scopes: &[Scope]) -> UserData {
    UserData {
        id: format!("id of {name}"),
        username: name.to_owned(),
        email: format!("{name}@example.com"),
        roles: Vec::new(),
        is_active: true,
        scopes: scopes.to_vec(),
    }
}

pub(super) fn new_key() -> Token {
    Token::generate(TokenKind::ApiKey, &mut rand::rng())
}

/// The key as a client sends it.
pub(super) fn text(key: &Token) -> String {
    key.secret().expose_secret().to_owned()
}

pub(super) fn event(event_type: EventType) -> Event {
    Event {
        event_id: "e".to_owned(),
        event_type,
        user_id: "u".to_owned(),
        username: "ann".to_owned(),
        occurred_at: Timestamp::now(),
        data: serde_json::Map::new(),
    }
}

/// A process on the bus of a test.
pub(super) async fn connect(test: &TestBus) -> Result<Bus> {
    connect_to(&test.url, &test.prefix).await
}

pub(super) async fn connect_to(url: &SecretString, prefix: &str) -> Result<Bus> {
    let bus = Bus::connect(url, BusOptions { prefix: prefix.to_owned(), ..BusOptions::default() })?;
    timeout(Duration::from_secs(10), bus.ready()).await.context("the broker is away")?;
    Ok(bus)
}

/// Settings under which keys are remembered for longer than a test takes, without a fallback.
pub(super) fn without_fallback() -> AuthArgs {
    AuthArgs { user_service_url: None, service_token: None, auth_cache_seconds: 300 }
}

/// A verifier that waits for as long as the test does, and remembers: it hears events, and user-auth answers.
pub(super) async fn verifier(bus: &Bus, user_auth: &UserAuth) -> Result<RemoteVerifier> {
    let verifier = RemoteVerifier::with_patience(bus, Service::Cluster, &without_fallback(), PATIENT)?;
    until_it_remembers(&verifier, user_auth).await?;
    Ok(verifier)
}

/// Waits until a new key is remembered.
pub(super) async fn until_it_remembers(verifier: &RemoteVerifier, user_auth: &UserAuth) -> Result<()> {
    eventually("a key to be remembered", async || {
        let key = user_auth.key();
        let answers = [verifier.verify(key.clone()).await, verifier.verify(key.clone()).await];
        let Asked { over_bus, over_http } = user_auth.asked(&key);
        (answers.iter().all(|answer| answer.valid) && over_bus + over_http == 1).then_some(())
    })
    .await
}
