//! What cannot be served: the caller is told, and the service goes on.

use std::time::Duration;

use anyhow::{Result, ensure};
use bus::{RequestError, RequestOptions};
use contracts::ErrorCode;
use testkit::{TestBus, eventually, on_both_brokers};
use tokio::time::{sleep, timeout};

use crate::world::{SOON, SUMS, Sum, ask, ask_until_served, connect, serve, serve_sums};

on_both_brokers!(
    a_message_that_is_no_request_becomes_a_dead_letter,
    a_dead_letter_may_be_large_and_tells_no_key,
    a_reply_that_the_broker_would_not_carry_is_refused,
    a_panic_is_told_and_ends_nothing,
    a_server_that_stops_while_it_starts_takes_nothing,
);

async fn a_message_that_is_no_request_becomes_a_dead_letter(test: TestBus) -> Result<()> {
    let (asking, answering) = (connect(&test).await?, connect(&test).await?);
    let (_serving, _stop) = serve_sums(&answering, "one");
    ask_until_served(&asking).await?;
    let answer: Result<Sum, _> = asking.request(SUMS, &"not numbers", RequestOptions::within(SOON)).await;
    assert!(matches!(answer, Err(RequestError::Rejected(ErrorCode::BadRequest))), "{answer:?}");

    let letter =
        eventually("the dead letter", async || asking.take_dead_letter().await.ok().flatten()).await?;
    assert_eq!(letter.queue, SUMS.requests);
    assert_eq!(&letter.body[..], br#""not numbers""#);
    assert!(letter.reason.contains("not a request"), "{}", letter.reason);
    assert!(asking.take_dead_letter().await?.is_none());
    assert_eq!(ask(&asking, &[1, 2]).await?.sum, 3, "the service goes on");
    Ok(())
}

async fn a_dead_letter_may_be_large_and_tells_no_key(test: TestBus) -> Result<()> {
    let (asking, answering) = (connect(&test).await?, connect(&test).await?);
    let (_serving, _stop) = serve_sums(&answering, "one");
    ask_until_served(&asking).await?;
    let body = format!("{} ks_abcdefghijklmnop", "x".repeat(300_000));
    let answer: Result<Sum, _> = asking.request(SUMS, &body, RequestOptions::within(SOON)).await;
    assert!(matches!(answer, Err(RequestError::Rejected(ErrorCode::BadRequest))), "{answer:?}");
    let letter =
        eventually("the dead letter", async || asking.take_dead_letter().await.ok().flatten()).await?;
    assert!(letter.reason.len() < 200, "{}", letter.reason.len());
    let kept = String::from_utf8(letter.body.to_vec())?;
    assert!(kept.len() > 300_000 && kept.ends_with("ks_[redacted]\""), "{}", &kept[300_000..]);
    Ok(())
}

async fn a_reply_that_the_broker_would_not_carry_is_refused(test: TestBus) -> Result<()> {
    let (asking, answering) = (connect(&test).await?, connect(&test).await?);
    serve(answering, |request, _| async move {
        let by = if request.numbers == [0] { "x".repeat(17 * 1024 * 1024) } else { String::new() };
        Sum { sum: 0, by }
    });
    ask_until_served(&asking).await?;
    let answer = ask(&asking, &[0]).await;
    assert!(matches!(answer, Err(RequestError::Rejected(ErrorCode::TooLarge))), "{:?}", answer.err());
    assert_eq!(ask(&asking, &[1]).await?.sum, 0, "the service goes on");
    Ok(())
}

async fn a_panic_is_told_and_ends_nothing(test: TestBus) -> Result<()> {
    let (asking, answering) = (connect(&test).await?, connect(&test).await?);
    serve(answering, |request, _| async move {
        assert!(!request.numbers.is_empty(), "no numbers");
        request.sum("")
    });
    ask_until_served(&asking).await?;
    let answer = ask(&asking, &[]).await;
    assert!(matches!(answer, Err(RequestError::Rejected(ErrorCode::Internal))), "{answer:?}");
    assert_eq!(ask(&asking, &[7]).await?.sum, 7);
    Ok(())
}

/// At every moment of its start: what it began on the broker would go on taking requests, for nobody.
async fn a_server_that_stops_while_it_starts_takes_nothing(test: TestBus) -> Result<()> {
    let (asking, starting) = (connect(&test).await?, connect(&test).await?);
    let (_serving, _stop) = serve_sums(&connect(&test).await?, "stays");
    ask_until_served(&asking).await?;
    for moment in 0..60 {
        let (serving, stop) = serve_sums(&starting, "goes");
        sleep(Duration::from_micros(250) * moment).await;
        stop.cancel();
        timeout(SOON, serving).await??;
        for _ in 0..4 {
            let sum = timeout(Duration::from_secs(5), ask(&asking, &[1])).await??;
            ensure!(sum.by == "stays" || sum.by == "goes");
        }
    }
    Ok(())
}
