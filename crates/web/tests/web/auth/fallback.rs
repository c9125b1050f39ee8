//! Whom a verifier asks while the broker or user-auth is away.

use std::time::Duration;

use anyhow::{Result, ensure};
use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse, Redirect},
    routing::post,
};
use bus::Bus;
use contracts::{
    ErrorCode,
    auth::{AuthResult, Scope},
    queues::Service,
};
use testkit::{Proxy, TestBus, amqp_address, amqp_url, amqp_url_at, eventually, on_both_brokers};
use tokio::time::Instant;
use url::Url;
use web::{
    Path,
    auth::{RemoteVerifier, Verifier},
    config::AuthArgs,
};

use super::user_auth::{
    Answer, Asked, PATIENT, SERVICE_TOKEN, UserAuth, connect, connect_to, new_key, until_it_remembers, user,
    without_fallback,
};
use crate::common::start;

on_both_brokers!(
    a_silent_user_auth_is_asked_over_http_after_a_while,
    nobody_on_the_bus_means_http_at_once,
    neither_means_unavailable_at_once,
    an_answer_that_is_none_means_unavailable,
    the_fallback_needs_its_token,
);

/// Less than the patience, so that nothing that is away was waited for, and enough for a busy machine.
const AT_ONCE: Duration = Duration::from_secs(30);

fn with_fallback(url: &str) -> Result<AuthArgs> {
    let user_service_url = Some(url.parse::<Url>()?);
    Ok(AuthArgs { user_service_url, service_token: Some(SERVICE_TOKEN.into()), ..without_fallback() })
}

fn patient(bus: &Bus, args: &AuthArgs) -> Result<RemoteVerifier> {
    Ok(RemoteVerifier::with_patience(bus, Service::Cluster, args, PATIENT)?)
}

fn is_unavailable(answer: &AuthResult) -> bool {
    !answer.valid && answer.code == Some(ErrorCode::BrokerUnavailable)
}

async fn a_silent_user_auth_is_asked_over_http_after_a_while(test: TestBus) -> Result<()> {
    let (bus, user_auth) = (connect(&test).await?, UserAuth::default());
    user_auth.serve(&connect(&test).await?);
    let http = user_auth.serve_http().await?;
    until_it_remembers(&patient(&bus, &without_fallback())?, &user_auth).await?;

    let patience = Duration::from_millis(300);
    let args = with_fallback(&http.url)?;
    let verifier = RemoteVerifier::with_patience(&bus, Service::Cluster, &args, patience)?;
    let key = new_key();
    user_auth.says(&key, Answer::SilentOnBus(user("ann", &[Scope::Read])));
    let started = Instant::now();
    let answer = eventually("an answer over HTTP", async || {
        Some(verifier.verify(key.clone()).await).filter(|answer| answer.valid)
    })
    .await?;
    ensure!(started.elapsed() >= patience);
    assert_eq!(answer.request_id, "over HTTP");
    assert!(user_auth.asked(&key).over_bus >= 1);
    Ok(())
}

async fn nobody_on_the_bus_means_http_at_once(test: TestBus) -> Result<()> {
    let (bus, user_auth) = (connect(&test).await?, UserAuth::default());
    let started = Instant::now();
    for (base, written) in [("", ""), ("", "/"), ("/gateway", "/gateway"), ("/gateway", "/gateway/")] {
        let http = user_auth.serve_http_below(base).await?;
        let verifier = patient(&bus, &with_fallback(&format!("{}{written}", http.url))?)?;
        let (known, unknown) = (user_auth.key(), new_key());
        let answer = verifier.verify(known.clone()).await;
        assert_eq!(answer.user_data.map(|user| user.username).as_deref(), Some("ann"), "{written}");
        let answer = verifier.verify(unknown).await;
        assert_eq!((answer.valid, answer.code), (false, Some(ErrorCode::Unauthenticated)), "{written}");
        assert_eq!(user_auth.asked(&known), Asked { over_bus: 0, over_http: 1 }, "{written}");
    }
    ensure!(started.elapsed() < AT_ONCE);
    Ok(())
}

async fn neither_means_unavailable_at_once(test: TestBus) -> Result<()> {
    let bus = connect(&test).await?;
    let closed = Proxy::start(amqp_address()?).await?;
    closed.cut();
    let started = Instant::now();
    for args in [without_fallback(), with_fallback(&format!("http://{}", closed.address()))?] {
        let answer = patient(&bus, &args)?.verify(new_key()).await;
        assert!(is_unavailable(&answer), "{answer:?}");
    }
    ensure!(started.elapsed() < AT_ONCE);
    Ok(())
}

/// Another server at that address: neither its page nor its redirection is an answer, and the key goes nowhere else.
async fn an_answer_that_is_none_means_unavailable(test: TestBus) -> Result<()> {
    let (bus, user_auth) = (connect(&test).await?, UserAuth::default());
    let elsewhere = user_auth.serve_http().await?;
    let target = format!("{}/api/v1/auth/verify", elsewhere.url);
    let answer = async move |Path(kind): Path<String>| match kind.as_str() {
        "page" => "<html>welcome</html>".into_response(),
        "fails" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        _ => Redirect::temporary(&target).into_response(),
    };
    let other = start(Router::new().route("/{kind}/api/v1/auth/verify", post(answer))).await?;
    for kind in ["page", "fails", "redirects", "nowhere/else"] {
        let key = user_auth.key();
        let answer =
            patient(&bus, &with_fallback(&format!("{}/{kind}", other.url))?)?.verify(key.clone()).await;
        assert!(is_unavailable(&answer), "{kind}: {answer:?}");
        assert_eq!(user_auth.asked(&key), Asked::default(), "{kind}");
    }
    Ok(())
}

async fn the_fallback_needs_its_token(test: TestBus) -> Result<()> {
    let (bus, user_auth) = (connect(&test).await?, UserAuth::default());
    let http = user_auth.serve_http().await?;
    let right = with_fallback(&http.url)?;
    for (token, asked) in [(None, 0), (Some(""), 0), (Some("kt_wrong"), 1)] {
        let (key, args) =
            (user_auth.key(), AuthArgs { service_token: token.map(Into::into), ..right.clone() });
        let answer = patient(&bus, &args)?.verify(key.clone()).await;
        assert!(is_unavailable(&answer), "{token:?}: {answer:?}");
        assert_eq!(user_auth.asked(&key).over_http, asked, "{token:?}");
    }
    let key = user_auth.key();
    assert!(patient(&bus, &right)?.verify(key).await.valid);
    Ok(())
}

/// While the broker is away no revocation is heard, so that each request asks, until it is back.
#[tokio::test]
async fn a_broker_that_is_away_is_done_without() -> Result<()> {
    let (prefix, user_auth) = (TestBus::rabbitmq().prefix, UserAuth::default());
    user_auth.serve(&connect_to(&amqp_url().into(), &prefix).await?);
    let http = user_auth.serve_http().await?;
    let proxy = Proxy::start(amqp_address()?).await?;
    let bus = connect_to(&amqp_url_at(proxy.address())?.into(), &prefix).await?;
    let verifier = patient(&bus, &with_fallback(&http.url)?)?;
    let alone = patient(&bus, &without_fallback())?;
    for verifier in [&verifier, &alone] {
        until_it_remembers(verifier, &user_auth).await?;
    }
    let key = user_auth.key();
    assert!(verifier.verify(key.clone()).await.valid);

    proxy.cut();
    eventually("the cut to be noticed", async || (!bus.is_ready()).then_some(())).await?;
    let started = Instant::now();
    let before = user_auth.asked(&key);
    assert!(verifier.verify(key.clone()).await.valid);
    assert_eq!(user_auth.asked(&key), Asked { over_http: before.over_http + 1, ..before });
    user_auth.says(&key, Answer::Unknown);
    assert_eq!(verifier.verify(key.clone()).await.code, Some(ErrorCode::Unauthenticated));
    assert!(is_unavailable(&alone.verify(key.clone()).await));
    ensure!(started.elapsed() < AT_ONCE);

    proxy.resume();
    let key = user_auth.key();
    eventually("the bus to be asked again", async || {
        verifier.verify(key.clone()).await;
        (user_auth.asked(&key).over_bus > 0).then_some(())
    })
    .await?;
    until_it_remembers(&alone, &user_auth).await
}

/// The connection is there and nothing comes through.
#[tokio::test]
async fn a_broker_that_swallows_everything_is_given_up_in_time() -> Result<()> {
    let (prefix, user_auth) = (TestBus::rabbitmq().prefix, UserAuth::default());
    user_auth.serve(&connect_to(&amqp_url().into(), &prefix).await?);
    let http = user_auth.serve_http().await?;
    let proxy = Proxy::start(amqp_address()?).await?;
    let bus = connect_to(&amqp_url_at(proxy.address())?.into(), &prefix).await?;
    until_it_remembers(&patient(&bus, &without_fallback())?, &user_auth).await?;

    proxy.swallow();
    let key = user_auth.key();
    let verifier = RemoteVerifier::start(&bus, Service::Cluster, &with_fallback(&http.url)?)?;
    eventually("an answer over HTTP", async || verifier.verify(key.clone()).await.valid.then_some(()))
        .await?;
    assert_eq!(user_auth.asked(&key).over_bus, 0);
    Ok(())
}
