//! The door: which keys come in, what a caller may do, and how often.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use anyhow::{Context, Result, ensure};
use axum::{Router, routing::get};
use bus::Bus;
use contracts::{
    ErrorCode, Timestamp, Token, TokenKind,
    auth::{AuthResult, Scope},
};
use reqwest::Response;
use testkit::{Metrics, TestBus, on_both_brokers};
use utoipa_axum::router::OpenApiRouter;
use web::{
    App, Caller, Problem, RateLimit,
    auth::{KeyCheck, Verifier, protect},
    config::RateLimitArgs,
};

use super::user_auth::{Answer, UserAuth, connect, new_key, text, user, verifier};
use crate::common::{Running, problem, start};

on_both_brokers!(
    what_cannot_be_a_key_is_refused_without_asking,
    a_caller_is_known_by_name_and_scopes,
    a_refusal_is_told_with_its_reason,
    each_key_has_its_own_allowance,
);

async fn whoami(caller: Caller) -> String {
    format!("{}, {}", caller.user.username, caller.key_id)
}

async fn needs(caller: Caller, scope: Scope) -> Result<&'static str, Problem> {
    caller.require(&scope).map(|()| "done")
}

async fn guarded(verifier: impl Verifier, per_minute: Option<u32>) -> Result<Running> {
    let limit = RateLimit::new(&RateLimitArgs {
        rate_limit_enabled: per_minute.is_some(),
        rate_limit_requests_per_minute: per_minute.unwrap_or(1).try_into()?,
    });
    let users = Router::new()
        .route("/whoami", get(whoami))
        .route("/read", get(async |caller: Caller| needs(caller, Scope::Read).await))
        .route("/operate", get(async |caller: Caller| needs(caller, Scope::Operate).await))
        .route("/still", get(async |key: KeyCheck| key.may_still(&Scope::Read).await.to_string()))
        .route("/audit", get(async |caller: Caller| needs(caller, Scope::Other("audit".into())).await));
    let routes = protect(OpenApiRouter::from(users), verifier, limit);
    let open = Router::new().route("/open", get(async || "open")).route("/forgotten", get(whoami));
    start(App::new("test", "1").routes(routes).routes(open.into()).into_router()).await
}

/// A service behind a verifier that asks over the bus.
async fn over_the_bus(test: &TestBus, limit: Option<u32>) -> Result<(Running, UserAuth, Bus)> {
    let (bus, user_auth) = (connect(test).await?, UserAuth::default());
    user_auth.serve(&connect(test).await?);
    Ok((guarded(verifier(&bus, &user_auth).await?, limit).await?, user_auth, bus))
}

async fn call(server: &Running, path: &str, key: &Token) -> Result<Response> {
    Ok(server.client.get(format!("{}{path}", server.url)).header("x-api-key", text(key)).send().await?)
}

/// Limit and remaining, as far as they are there.
fn allowance(response: &Response) -> Vec<&str> {
    let headers = response.headers();
    ["ratelimit-limit", "ratelimit-remaining"]
        .iter()
        .filter_map(|name| headers.get(*name)?.to_str().ok())
        .collect()
}

async fn what_cannot_be_a_key_is_refused_without_asking(test: TestBus) -> Result<()> {
    let (server, user_auth, _bus) = over_the_bus(&test, Some(1)).await?;
    let asked = user_auth.asked_at_all();
    let missing = problem(server.get("/whoami").await?).await?;
    assert_eq!((&missing.code, missing.detail.contains("X-API-Key")), (&ErrorCode::Unauthenticated, true));

    let good = text(&new_key());
    let cut = &good[..good.len() - 1];
    let mistyped = format!("{cut}{}", if good.ends_with('x') { 'y' } else { 'x' });
    let of_an_agent = text(&Token::generate(TokenKind::AgentKey, &mut rand::rng()));
    let bytes: [&[u8]; 8] = [
        b"",
        b"ks_",
        cut.as_bytes(),
        mistyped.as_bytes(),
        of_an_agent.as_bytes(),
        &good.as_bytes()[3..],
        b"ks_\xff\xfe",
        &[b'k'; 8000],
    ];
    for header in bytes {
        let value = reqwest::header::HeaderValue::from_bytes(header)?;
        let request = server.client.get(format!("{}/whoami", server.url)).header("x-api-key", value);
        let response = request.send().await?;
        assert_eq!(allowance(&response).len(), 0);
        let document = problem(response).await?;
        assert_eq!(document.code, ErrorCode::Unauthenticated, "{}", header.escape_ascii());
        ensure!(!document.detail.contains(cut) && document.detail.len() < 100, "{}", document.detail);
    }
    assert_eq!(user_auth.asked_at_all(), asked);
    Ok(())
}

async fn a_caller_is_known_by_name_and_scopes(test: TestBus) -> Result<()> {
    let (server, user_auth, _bus) = over_the_bus(&test, None).await?;
    let key = user_auth.key();
    assert_eq!(call(&server, "/whoami", &key).await?.text().await?, "ann, key of ann");
    for (scopes, allowed) in [
        (&[Scope::Read][..], &["/read"][..]),
        (&[Scope::Operate], &["/read", "/operate"]),
        (&[Scope::Admin], &["/read", "/operate"]),
        (&[Scope::Other("audit".into())], &["/audit"]),
        (&[], &[]),
    ] {
        let key = new_key();
        user_auth.says(&key, Answer::Valid(user("bob", scopes), None));
        for path in ["/read", "/operate", "/audit"] {
            let response = call(&server, path, &key).await?;
            if allowed.contains(&path) {
                assert_eq!(response.status(), 200, "{scopes:?} {path}");
                continue;
            }
            let document = problem(response).await?;
            assert_eq!(document.code, ErrorCode::Forbidden, "{scopes:?} {path}");
            ensure!(document.detail.ends_with(&path[1..]), "{}", document.detail);
        }
    }
    Ok(())
}

async fn a_refusal_is_told_with_its_reason(test: TestBus) -> Result<()> {
    let (server, user_auth, _bus) = over_the_bus(&test, None).await?;
    let document = problem(call(&server, "/whoami", &new_key()).await?).await?;
    assert_eq!((document.status, document.detail.as_str()), (401, "not known"));
    let key = new_key();
    user_auth.says(&key, Answer::Unanswered(ErrorCode::Unavailable));
    let document = problem(call(&server, "/whoami", &key).await?).await?;
    assert_eq!((document.status, document.code), (503, ErrorCode::Unavailable));
    assert_eq!(server.get("/open").await?.text().await?, "open");
    let document = problem(call(&server, "/forgotten", &user_auth.key()).await?).await?;
    assert_eq!(document.status, 401, "a route that nobody protects knows no callers");
    Ok(())
}

async fn each_key_has_its_own_allowance(test: TestBus) -> Result<()> {
    let (server, user_auth, _bus) = over_the_bus(&test, Some(2)).await?;
    let (ann, bob) = (user_auth.key(), new_key());
    user_auth.says(&bob, Answer::Valid(user("bob", &[]), None));
    for remaining in ["1", "0"] {
        // What is refused for another reason counts as well.
        assert_eq!(allowance(&call(&server, "/operate", &ann).await?), ["2", remaining]);
    }
    let refused = call(&server, "/whoami", &ann).await?;
    assert_eq!(allowance(&refused), ["2", "0"]);
    ensure!(refused.headers().contains_key("ratelimit-reset"));
    let wait: u64 = refused.headers().get("retry-after").context("retry-after")?.to_str()?.parse()?;
    ensure!((1..=30).contains(&wait), "{wait}");
    assert_eq!(problem(refused).await?.code, ErrorCode::RateLimited);
    assert_eq!(allowance(&call(&server, "/whoami", &bob).await?), ["2", "1"]);
    Ok(())
}

/// Always answers the same.
#[derive(Clone)]
struct Always(Arc<AuthResult>);

impl Verifier for Always {
    async fn verify(&self, _: Token) -> AuthResult {
        AuthResult::clone(&self.0)
    }
}

fn refused(code: ErrorCode) -> AuthResult {
    AuthResult::refused("r".into(), code, "because")
}

fn valid() -> AuthResult {
    AuthResult::valid("r".into(), "k".into(), None, user("ann", &[Scope::Read]))
}

#[tokio::test]
async fn an_answer_that_lacks_something_lets_nobody_in() -> Result<()> {
    for answer in [
        AuthResult { user_data: None, ..valid() },
        AuthResult { key_id: None, ..valid() },
        AuthResult { valid: false, ..valid() },
        AuthResult { code: None, error: None, ..refused(ErrorCode::Internal) },
    ] {
        let server = guarded(Always(Arc::new(answer.clone())), None).await?;
        let document = problem(call(&server, "/whoami", &new_key()).await?).await?;
        assert_eq!(document.code, ErrorCode::Unauthenticated, "{answer:?}");
    }
    Ok(())
}

/// Answers one after the other.
#[derive(Clone)]
struct InTurn(Arc<Mutex<VecDeque<AuthResult>>>);

impl Verifier for InTurn {
    async fn verify(&self, _: Token) -> AuthResult {
        self.0.lock().expect("no panic").pop_front().expect("another question")
    }
}

#[tokio::test]
async fn what_goes_on_hears_that_its_key_is_not_good_any_more() -> Result<()> {
    let lesser = AuthResult::valid("r".into(), "k".into(), None, user("ann", &[]));
    for (later, may_still) in [
        (valid(), true),
        (refused(ErrorCode::BrokerUnavailable), true),
        (refused(ErrorCode::Unauthenticated), false),
        (lesser, false),
    ] {
        let server = guarded(InTurn(Arc::new(Mutex::new([valid(), later].into()))), None).await?;
        let answer = call(&server, "/still", &new_key()).await?.text().await?;
        assert_eq!(answer, may_still.to_string());
    }
    Ok(())
}

#[tokio::test]
async fn every_outcome_is_counted() -> Result<()> {
    let metrics = Metrics::of_this_thread();
    let expired = AuthResult { expires_at: Some(Timestamp::now()), ..refused(ErrorCode::Unauthenticated) };
    for (answer, times) in [
        (valid(), 1),
        (expired, 2),
        (refused(ErrorCode::BrokerUnavailable), 3),
        (refused(ErrorCode::Internal), 1),
    ] {
        let server = guarded(Always(Arc::new(answer)), None).await?;
        for _ in 0..times {
            call(&server, "/whoami", &new_key()).await?;
        }
        server.get("/whoami").await?;
        server.client.get(format!("{}/whoami", server.url)).header("x-api-key", "ks_x").send().await?;
        server.get("/open").await?;
    }
    for (outcome, count) in [("ok", 1), ("refused", 2), ("unavailable", 4), ("missing", 4), ("malformed", 4)]
    {
        let counted = metrics.value(&format!("auth_total{{outcome=\"{outcome}\"}}"))?;
        ensure!(counted.total_cmp(&f64::from(count)).is_eq(), "{outcome}: {counted} times");
    }
    Ok(())
}
