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
    ErrorCode, Timestamp, Token,
    auth::{AuthRequest, AuthResult},
    queues::Service,
};
use moka::future::Cache;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::config::AuthArgs;

use super::{Verifier, fallback::Fallback};

/// user-auth answers within milliseconds; after this long, over either way, it is away.
const PATIENCE: Duration = Duration::from_secs(2);
/// So many keys are remembered at once.
const MAX_REMEMBERED: u64 = 100_000;
/// What makes a remembered key doubtful.
const DOUBTS: [&str; 3] = ["api_key.revoked", "api_key.rotated", "user.updated"];

/// Asks user-auth about keys and remembers the valid ones for some seconds. Cheap to clone.
///
/// An event that a key or a user has changed empties the memory, and so does every (re)connection to the events. While
/// events cannot be heard nothing is remembered, since nothing would correct it. Many requests with one key that is not
/// remembered ask once.
#[derive(Clone)]
pub struct RemoteVerifier {
    inner: Arc<Inner>,
    _forgetting: Arc<AbortOnDropHandle<()>>,
}

struct Inner {
    bus: Bus,
    service: Service,
    patience: Duration,
    fallback: Option<Fallback>,
    /// Valid answers, by the generation in which they were asked for and the hash of the key.
    memory: Cache<(u64, String), Valid>,
    /// Grows with every doubt, so that nobody after it is given an answer from before, not even one that was under way.
    /// 0 until the first connection to the events.
    generation: AtomicU64,
}

impl RemoteVerifier {
    /// A verifier for `service`.
    ///
    /// # Errors
    /// When the HTTP client for the fallback cannot be built.
    pub fn start(bus: &Bus, service: Service, args: &AuthArgs) -> Result<Self, reqwest::Error> {
        Self::with_patience(bus, service, args, PATIENCE)
    }

    /// As [`RemoteVerifier::start`], with another time that user-auth may take, over either way.
    ///
    /// # Errors
    /// When the HTTP client for the fallback cannot be built.
    pub fn with_patience(
        bus: &Bus,
        service: Service,
        args: &AuthArgs,
        patience: Duration,
    ) -> Result<Self, reqwest::Error> {
        let memory = Cache::builder()
            .max_capacity(MAX_REMEMBERED)
            .time_to_live(Duration::from_secs(args.auth_cache_seconds))
            .build();
        let inner = Arc::new(Inner {
            bus: bus.clone(),
            service,
            patience,
            fallback: Fallback::from_args(args, patience)?,
            memory,
            generation: AtomicU64::new(0),
        });
        let forgetting = tokio::spawn(forget_on_events(bus.clone(), Arc::clone(&inner)));
        Ok(Self { inner, _forgetting: Arc::new(AbortOnDropHandle::new(forgetting)) })
    }
}

/// An answer that a key is valid, and until when it is.
#[derive(Clone)]
struct Valid {
    answer: AuthResult,
    until: Option<Instant>,
}

impl Valid {
    /// By the time that is left, which no clock but user-auth's says; an older user-auth does not tell it.
    fn new(answer: AuthResult) -> Self {
        let by_clock =
            || answer.expires_at.map(|at| at.millis_since(Timestamp::now()).try_into().unwrap_or(0));
        let left = answer.expires_in_ms.or_else(by_clock);
        let until = left.and_then(|millis| Instant::now().checked_add(Duration::from_millis(millis)));
        Self { answer, until }
    }
}

async fn forget_on_events(bus: Bus, inner: Arc<Inner>) {
    let mut doubts = bus.watch_events(&DOUBTS);
    while doubts.next().await.is_some() {
        inner.generation.fetch_add(1, Ordering::SeqCst);
        // Nobody would find what is left of earlier generations; this frees it.
        inner.memory.invalidate_all();
    }
}

impl Verifier for RemoteVerifier {
    async fn verify(&self, key: Token) -> AuthResult {
        let inner = &self.inner;
        let answer = match inner.hearing() {
            Some(generation) => {
                let remembered = (generation, key.hash());
                match inner.memory.get(&remembered).await {
                    Some(valid) => Ok(valid),
                    // Boxed: asking is large, and what is remembered is to be cheap.
                    None => Box::pin(inner.memory.try_get_with(remembered, inner.ask(&key))).await,
                }
            }
            None => Box::pin(inner.ask(&key)).await.map_err(Arc::new),
        };
        match answer {
            Ok(Valid { answer, until }) if until.is_some_and(|until| until <= Instant::now()) => {
                AuthResult::refused(answer.request_id, ErrorCode::Unauthenticated, "this key has expired")
            }
            Ok(Valid { answer, .. }) => answer,
            Err(refused) => AuthResult::clone(&refused),
        }
    }
}

impl Inner {
    /// The generation of what may be remembered, while events are heard.
    fn hearing(&self) -> Option<u64> {
        let generation = self.generation.load(Ordering::SeqCst);
        (generation > 0 && self.bus.is_ready()).then_some(generation)
    }

    /// `Ok` is remembered, `Err` is not.
    async fn ask(&self, key: &Token) -> Result<Valid, AuthResult> {
        let answer = match self.ask_bus(key).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%error, "user-auth does not answer over the bus");
                self.ask_http(key).await.unwrap_or_else(unavailable)
            }
        };
        if answer.valid { Ok(Valid::new(answer)) } else { Err(answer) }
    }

    async fn ask_bus(&self, key: &Token) -> Result<AuthResult, RequestError> {
        let request = AuthRequest {
            request_id: Uuid::now_v7().to_string(),
            api_key: key.secret().clone().into(),
            service: self.service.as_str().to_owned(),
            timestamp: Timestamp::now(),
        };
        self.bus.request(self.service.auth_route(), &request, RequestOptions::within(self.patience)).await
    }

    async fn ask_http(&self, key: &Token) -> Option<AuthResult> {
        let answer = self.fallback.as_ref()?.ask(key).await;
        answer
            .inspect_err(
                |error| tracing::warn!(%error, "user-auth answers neither over the bus nor over HTTP"),
            )
            .ok()
    }
}

fn unavailable() -> AuthResult {
    let detail = "keys cannot be verified right now: the message broker or user-auth is away";
    AuthResult::refused(String::new(), ErrorCode::BrokerUnavailable, detail)
}
