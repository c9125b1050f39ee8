//! The rate limit, by a clock that stands until it is moved.

use std::{num::NonZeroU32, time::Duration};

use anyhow::{Context, Result};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::Response,
    middleware::{Next, from_fn_with_state},
    routing::get,
};
use governor::clock::FakeRelativeClock;
use tower::ServiceExt;
use web::{App, RateLimit, config::RateLimitArgs};

fn args(enabled: bool, per_minute: u32) -> Result<RateLimitArgs> {
    let rate_limit_requests_per_minute = NonZeroU32::new(per_minute).context("more than none")?;
    Ok(RateLimitArgs { rate_limit_enabled: enabled, rate_limit_requests_per_minute })
}

type Limit = RateLimit<FakeRelativeClock>;

/// Stands for authentication: the key is what the caller says.
async fn authenticate(State(limit): State<Limit>, request: Request, next: Next) -> axum::response::Response {
    match request.headers().get("key").and_then(|key| key.to_str().ok()).map(str::to_owned) {
        Some(key) => limit.admit(&key, request, next).await,
        None => next.run(request).await,
    }
}

fn router(args: &RateLimitArgs, clock: &FakeRelativeClock) -> Router {
    let limit = RateLimit::with_clock(args, clock.clone());
    let routes = Router::new().route("/", get(async || "ok")).layer(from_fn_with_state(limit, authenticate));
    App::new("test", "1").routes(routes.into()).into_router()
}

async fn ask(router: &Router, key: Option<&str>) -> Result<Response<Body>> {
    let request = Request::get("/");
    let request = if let Some(key) = key { request.header("key", key) } else { request };
    Ok(router.clone().oneshot(request.body(Body::empty())?).await?)
}

/// Limit, remaining, reset and retry-after, as far as they are there.
fn headers(response: &Response<Body>) -> Vec<&str> {
    let names = ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "retry-after"];
    names.iter().filter_map(|name| response.headers().get(*name)?.to_str().ok()).collect()
}

#[tokio::test]
async fn a_key_has_its_allowance_and_gets_it_back() -> Result<()> {
    let clock = FakeRelativeClock::default();
    let router = router(&args(true, 3)?, &clock);
    for (remaining, reset) in [("2", "20"), ("1", "40"), ("0", "60")] {
        let response = ask(&router, Some("a")).await?;
        assert_eq!((response.status().as_u16(), headers(&response)), (200, vec!["3", remaining, reset]));
    }
    let refused = ask(&router, Some("a")).await?;
    assert_eq!((refused.status().as_u16(), headers(&refused)), (429, vec!["3", "0", "60", "20"]));
    let body = axum::body::to_bytes(refused.into_body(), 4096).await?;
    let document: web::ProblemDocument = serde_json::from_slice(&body)?;
    assert_eq!(document.code.as_str(), "rate_limited");

    clock.advance(Duration::from_secs(19));
    assert_eq!(headers(&ask(&router, Some("a")).await?), ["3", "0", "60", "1"]);
    clock.advance(Duration::from_secs(1));
    assert_eq!(ask(&router, Some("a")).await?.status(), 200);
    assert_eq!(ask(&router, Some("a")).await?.status(), 429);
    Ok(())
}

#[tokio::test]
async fn keys_do_not_share_and_no_key_is_not_limited() -> Result<()> {
    let router = router(&args(true, 1)?, &FakeRelativeClock::default());
    assert_eq!(ask(&router, Some("a")).await?.status(), 200);
    assert_eq!(ask(&router, Some("a")).await?.status(), 429);
    assert_eq!(ask(&router, Some("b")).await?.status(), 200);
    for _ in 0..3 {
        let response = ask(&router, None).await?;
        assert_eq!((response.status().as_u16(), headers(&response).len()), (200, 0));
    }
    Ok(())
}

#[tokio::test]
async fn it_can_be_switched_off() -> Result<()> {
    let router = router(&args(false, 1)?, &FakeRelativeClock::default());
    for _ in 0..3 {
        let response = ask(&router, Some("a")).await?;
        assert_eq!((response.status().as_u16(), headers(&response).len()), (200, 0));
    }
    Ok(())
}

#[tokio::test]
async fn keys_that_are_idle_again_are_forgotten() -> Result<()> {
    let clock = FakeRelativeClock::default();
    let limit = RateLimit::with_clock(&args(true, 60)?, clock.clone());
    let routes =
        Router::new().route("/", get(async || "ok")).layer(from_fn_with_state(limit.clone(), authenticate));
    for key in 0..5000 {
        clock.advance(Duration::from_secs(2));
        assert_eq!(ask(&routes, Some(&key.to_string())).await?.status(), 200);
    }
    assert!(limit.tracked_keys() <= 1025, "{} keys", limit.tracked_keys());
    Ok(())
}
