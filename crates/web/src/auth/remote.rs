//! Asking user-auth: over the bus, over HTTP while the broker is away, and out of memory for some seconds.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bus::{Bus, RequestError, RequestOptions};
use contracts::{
    ErrorCode, Timestamp, Token, WireSecret,
    auth::{AuthRequest, AuthResult},
    queues::Service,
};
use moka::future::Cache;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tokio_util::task::AbortOnDropHandle;
use url::Url;
use uuid::Uuid;

use crate::config::AuthArgs;

use super::Verifier;

/// user-auth answers within milliseconds; after this long, over either way, it is away.
const PATIENCE: Duration = Duration::from_secs(60);
/// So many keys are remembered at once.
const MAX_REMEMBERED: u64 = 100_000;
/// What makes a remembered key doubtful.
const DOUBTS: [&str; 3] = ["api_key.revoked", "api_key.rotated", "user.updated"];

/// Asks user-auth about keys and remembers the valid ones for some seconds. Cheap to clone.
///
/// An event that a key or a user has changed empties the memory, and so does every (re)connection to the events. Many
/// requests with one key that is not remembered ask once.
#[derive(Clone)]
pub struct RemoteVerifier {
    inner: Arc<Inner>,
    _forgetting: Arc<AbortOnDropHandle<()>>,
}

struct Inner {
    bus: Bus,
    service: Service,
    fallback: Option<Fallback>,
    /// Valid answers, by the hash of the key.
    memory: Cache<String, AuthResult>,
    /// Grows whenever the memory is emptied, so that an answer from before is not remembered after.
    doubts: AtomicU64,
}

/// user-auth's HTTP endpoint.
struct Fallback {
    client: reqwest::Client,
    url: Url,
    token: SecretString,
}

#[derive(Serialize)]
struct VerifyBody {
    api_key: WireSecret,
}

impl RemoteVerifier {
    /// x
    pub fn with_patience(bus: &Bus, service: Service, args: &AuthArgs, _p: Duration) -> Result<Self, reqwest::Error> { Self::start(bus, service, args) }
    /// A verifier for `service`.
    ///
    /// # Errors
    /// When the HTTP client for the fallback cannot be built.
    pub fn start(bus: &Bus, service: Service, args: &AuthArgs) -> Result<Self, reqwest::Error> {
        let memory = Cache::builder()
            .max_capacity(MAX_REMEMBERED)
            .time_to_live(Duration::from_secs(args.auth_cache_seconds))
            .build();
        let fallback = Fallback::from_args(args)?;
        let inner =
            Arc::new(Inner { bus: bus.clone(), service, fallback, memory, doubts: AtomicU64::new(0) });
        let forgetting = tokio::spawn(forget_on_events(bus.clone(), Arc::clone(&inner)));
        Ok(Self { inner, _forgetting: Arc::new(AbortOnDropHandle::new(forgetting)) })
    }
}

async fn forget_on_events(bus: Bus, inner: Arc<Inner>) {
    let mut doubts = bus.watch_events(&DOUBTS);
    while doubts.next().await.is_some() {
        inner.doubts.fetch_add(1, Ordering::SeqCst);
        inner.memory.invalidate_all();
    }
}

impl Verifier for RemoteVerifier {
    async fn verify(&self, key: Token) -> AuthResult {
        let inner = &self.inner;
        let doubts = inner.doubts.load(Ordering::SeqCst);
        let hash = key.hash();
        let answer = inner.memory.try_get_with(hash.clone(), inner.ask(key)).await;
        if inner.doubts.load(Ordering::SeqCst) != doubts {
            inner.memory.invalidate(&hash).await;
        }
        match answer {
            Ok(valid) if valid.expires_at.is_some_and(|at| at <= Timestamp::now()) => {
                AuthResult::refused(valid.request_id, ErrorCode::Unauthenticated, "this key has expired")
            }
            Ok(valid) => valid,
            Err(refused) => AuthResult::clone(&refused),
        }
    }
}

impl Inner {
    /// `Ok` is remembered, `Err` is not.
    async fn ask(&self, key: Token) -> Result<AuthResult, AuthResult> {
        let answer = match self.ask_bus(&key).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%error, "user-auth does not answer over the bus");
                match &self.fallback {
                    Some(fallback) => fallback.ask(&key).await,
                    None => unavailable(),
                }
            }
        };
        if answer.valid { Ok(answer) } else { Err(answer) }
    }

    async fn ask_bus(&self, key: &Token) -> Result<AuthResult, RequestError> {
        let request = AuthRequest {
            request_id: Uuid::now_v7().to_string(),
            api_key: key.secret().clone().into(),
            service: self.service.as_str().to_owned(),
            timestamp: Timestamp::now(),
        };
        self.bus.request(self.service.auth_route(), &request, RequestOptions::within(PATIENCE)).await
    }
}

impl Fallback {
    fn from_args(args: &AuthArgs) -> Result<Option<Self>, reqwest::Error> {
        let (Some(url), Some(token)) = (&args.user_service_url, &args.service_token) else {
            return Ok(None);
        };
        // Reqwest takes the process's provider; where another part has set one already, that one serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
        let mut url = url.clone();
        url.set_path("/api/v1/auth/verify");
        Ok(Some(Self { client, url, token: token.clone() }))
    }

    async fn ask(&self, key: &Token) -> AuthResult {
        let asked = async {
            let body = VerifyBody { api_key: key.secret().clone().into() };
            let token = self.token.expose_secret();
            let response = self.client.post(self.url.clone()).bearer_auth(token).json(&body).send().await?;
            response.error_for_status()?.json::<AuthResult>().await
        };
        asked.await.unwrap_or_else(|error| {
            tracing::warn!(%error, "user-auth answers neither over the bus nor over HTTP");
            unavailable()
        })
    }
}

fn unavailable() -> AuthResult {
    let detail = "keys cannot be verified right now: the message broker or user-auth is away";
    AuthResult::refused(String::new(), ErrorCode::BrokerUnavailable, detail)
}
