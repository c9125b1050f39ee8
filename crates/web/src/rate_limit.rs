//! How many requests a minute one key may make.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    response::{IntoResponse, Response},
};
use contracts::ErrorCode;
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::DefaultKeyedStateStore,
};

use crate::{Problem, config::RateLimitArgs, problem::whole_seconds};

/// After this many requests the states of keys that are idle again are dropped, so that there are never more than
/// this many besides those in use.
const SWEEP_EVERY: u32 = 1024;

/// The allowances of all keys. Cheap to clone; clones share their state.
///
/// A key may use its whole allowance at once; it comes back evenly over the minute (the generic cell rate
/// algorithm).
#[derive(Clone)]
pub struct RateLimit<C: Clock = DefaultClock> {
    inner: Option<Arc<Inner<C>>>,
}

struct Inner<C: Clock> {
    limiter: RateLimiter<String, DefaultKeyedStateStore<String>, C, StateInformationMiddleware>,
    clock: C,
    per_minute: NonZeroU32,
    requests: AtomicU32,
}

/// What a key has left, as the three headers say it.
struct Allowance {
    limit: u32,
    remaining: u32,
    reset: Duration,
}

impl RateLimit {
    /// Limits as configured, by the system's clock.
    pub fn new(args: &RateLimitArgs) -> Self {
        Self::with_clock(args, DefaultClock::default())
    }
}

impl<C: Clock + Clone> RateLimit<C> {
    /// Limits as configured, by another clock.
    pub fn with_clock(args: &RateLimitArgs, clock: C) -> Self {
        let per_minute = args.rate_limit_requests_per_minute;
        let inner = args.rate_limit_enabled.then(|| {
            let quota = Quota::per_minute(per_minute);
            let limiter = RateLimiter::new(quota, DefaultKeyedStateStore::default(), clock.clone());
            Arc::new(Inner { limiter, clock, per_minute, requests: AtomicU32::new(0) })
        });
        Self { inner }
    }

    /// Lets a request of this key through, or refuses it with 429 and `Retry-After` when the key's allowance is used up. Says on
    /// every answer what is left.
    pub async fn admit(&self, key: &String, request: Request, next: Next) -> Response {
        let Some(limit) = &self.inner else { return next.run(request).await };
        let (allowance, refused) = limit.take(key);
        let mut response = match refused {
            Some(problem) => problem.into_response(),
            None => next.run(request).await,
        };
        allowance.write(response.headers_mut());
        response
    }

    /// How many keys it keeps a state of.
    pub fn tracked_keys(&self) -> usize {
        self.inner.as_ref().map_or(0, |inner| inner.limiter.len())
    }
}

impl<C: Clock> Inner<C> {
    fn take(&self, key: &String) -> (Allowance, Option<Problem>) {
        if self.requests.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.limiter.retain_recent();
        }
        match self.limiter.check_key(key) {
            Ok(state) => (self.allowance(state.remaining_burst_capacity()), None),
            Err(until) => {
                let wait = until.wait_time_from(self.clock.now());
                let detail = format!("this key may make {} requests a minute", self.per_minute);
                let problem = Problem::new(ErrorCode::RateLimited, detail)
                    .retry_after(wait.max(Duration::from_secs(1)));
                (self.allowance(0), Some(problem))
            }
        }
    }

    fn allowance(&self, remaining: u32) -> Allowance {
        let limit = self.per_minute.get();
        let reset = Duration::from_secs(60) / limit * limit.saturating_sub(remaining);
        Allowance { limit, remaining, reset }
    }
}

impl Allowance {
    /// `RateLimit-Reset` is the seconds until the whole allowance is back
    /// (<https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-03>).
    fn write(&self, headers: &mut HeaderMap) {
        let values = [
            ("ratelimit-limit", u64::from(self.limit)),
            ("ratelimit-remaining", u64::from(self.remaining)),
            ("ratelimit-reset", whole_seconds(self.reset)),
        ];
        for (name, value) in values {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
        }
    }
}
