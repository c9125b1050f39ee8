//! Answers in parts: what arrives, how far those who answer go ahead, and what ends them early.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use bus::{
    Answer, Body, Bus, Context, Encoding, Outgoing, Part, Parts, PublishError, Reply, RequestError,
    RequestOptions, ServeOptions,
};
use contracts::ErrorCode;
use futures_util::{StreamExt, stream};
use testkit::{TestBus, eventually, on_both_brokers};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::world::{Numbers, SOON, SUMS, Sum, ask, connect};

on_both_brokers!(
    an_answer_arrives_complete_and_in_order_with_its_head,
    a_slow_asker_is_sent_no_more_than_the_window_ahead,
    a_handler_is_dropped_with_its_asker_before_the_first_part,
    a_result_is_dropped_with_its_asker,
    an_error_in_the_middle_reaches_the_asker,
    a_caller_that_takes_no_parts_is_answered_whole,
    askers_do_not_disturb_each_other,
);

/// So many parts may be on their way before the asker has taken one.
const WINDOW: usize = 4;
/// How soon those who answer hear that nobody waits.
const AT_ONCE: Duration = Duration::from_secs(1);

fn serve<H, F>(bus: Bus, handler: H)
where
    H: Fn(Numbers, Context) -> F + Send + Sync + 'static,
    F: Future<Output = Reply<Sum>> + Send + 'static,
{
    tokio::spawn(async move {
        bus.serve_in_parts(SUMS, ServeOptions::default(), CancellationToken::new(), handler).await;
    });
}

/// The sum, with the numbers as the parts of its result.
fn in_parts(numbers: Numbers, on_part: impl Fn(u64) -> Result<(), ErrorCode> + Send + 'static) -> Reply<Sum> {
    let head = numbers.sum("parts");
    let last = numbers.numbers.len() - 1;
    let parts = stream::iter(numbers.numbers.into_iter().enumerate()).map(move |(at, number)| {
        on_part(number)?;
        Ok(Part { data: number.to_be_bytes().to_vec().into(), last: at == last })
    });
    Reply::InParts {
        head,
        result: Outgoing { encoding: Encoding::Gzip, parts: Parts::Stream(parts.boxed()) },
    }
}

async fn ask_in_parts(bus: &Bus, numbers: Vec<u64>) -> Result<Answer<Sum>> {
    let answer = eventually("somebody to serve", async || {
        let numbers = Numbers { numbers: numbers.clone() };
        match bus.ask(SUMS, &numbers, RequestOptions::within(SOON)).await {
            Err(RequestError::Publish(PublishError::Unroutable { .. })) => None,
            other => Some(other),
        }
    });
    Ok(answer.await??)
}

async fn body(bus: &Bus, numbers: Vec<u64>) -> Result<Body> {
    ask_in_parts(bus, numbers).await?.body.context("a result")
}

async fn next(body: &mut Body) -> Option<Result<u64, RequestError>> {
    let part = body.next().await?;
    Some(part.map(|data| u64::from_be_bytes(data[..].try_into().expect("a number"))))
}

async fn all(mut body: Body) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    while let Some(number) = next(&mut body).await {
        numbers.push(number?);
    }
    Ok(numbers)
}

async fn an_answer_arrives_complete_and_in_order_with_its_head(test: TestBus) -> Result<()> {
    let (asking, answering) = (connect(&test).await?, connect(&test).await?);
    serve(answering, |numbers, _| async move { in_parts(numbers, |_| Ok(())) });
    // As many as one, as the window, and many more.
    for count in [1, WINDOW, WINDOW + 1, 200] {
        let numbers: Vec<u64> = (0..count as u64).collect();
        let answer = ask_in_parts(&asking, numbers.clone()).await?;
        assert_eq!(answer.head, Numbers { numbers: numbers.clone() }.sum("parts"));
        let body = answer.body.context("a result")?;
        assert_eq!((body.encoding, body.is_whole()), (Encoding::Gzip, count == 1));
        assert_eq!(all(body).await?, numbers);
        assert_eq!(asking.in_flight(), 0);
    }
    Ok(())
}

async fn a_slow_asker_is_sent_no_more_than_the_window_ahead(test: TestBus) -> Result<()> {
    let (asking, answering) = (connect(&test).await?, connect(&test).await?);
    let (sent, taken, ahead) = <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let counts = (Arc::clone(&sent), Arc::clone(&taken), Arc::clone(&ahead));
    serve(answering, move |numbers, _| {
        let (sent, taken, ahead) = counts.clone();
        async move {
            in_parts(numbers, move |_| {
                let sent = sent.fetch_add(1, Ordering::SeqCst) + 1;
                ahead.fetch_max(sent - taken.load(Ordering::SeqCst), Ordering::SeqCst);
                Ok(())
            })
        }
    });
    let mut body = body(&asking, (0..40).collect()).await?;
    for number in 0..40 {
        let expected = (number + WINDOW - usize::from(number > 0)).min(40);
        eventually("the parts that may be sent", async || {
            (sent.load(Ordering::SeqCst) == expected).then_some(())
        })
        .await?;
        // That the next part is being taken is said before it is there.
        taken.fetch_add(1, Ordering::SeqCst);
        assert_eq!(next(&mut body).await.context("a part")??, number as u64);
    }
    assert!(next(&mut body).await.is_none());
    assert!(ahead.load(Ordering::SeqCst) <= WINDOW, "{} parts ahead", ahead.load(Ordering::SeqCst));
    Ok(())
}

/// Tells when it is dropped, by closing.
type Guard = oneshot::Sender<()>;

/// Serves `Reply`s that `answer` makes and that hold the guard; each one's other end is told when it is begun.
fn serve_guarded<F>(
    bus: Bus,
    answer: impl Fn(Numbers, Guard) -> F + Copy + Send + Sync + 'static,
) -> mpsc::UnboundedReceiver<oneshot::Receiver<()>>
where
    F: Future<Output = Reply<Sum>> + Send + 'static,
{
    let (begun, begins) = mpsc::unbounded_channel();
    serve(bus, move |numbers, _| {
        let (guard, dropped) = oneshot::channel();
        let _ = begun.send(dropped);
        answer(numbers, guard)
    });
    begins
}

async fn a_handler_is_dropped_with_its_asker_before_the_first_part(test: TestBus) -> Result<()> {
    let (asking, answering) = (connect(&test).await?, connect(&test).await?);
    let mut begins = serve_guarded(answering, |_, guard| async move {
        let _guard = guard;
        pending().await
    });
    // What is said before anybody listens is not heard: the handler is told at its deadline then, so it is asked again.
    eventually("a handler that is dropped at once", async || {
        let dropped = tokio::select! {
            _ = ask_in_parts(&asking, vec![1]) => None,
            dropped = begins.recv() => dropped,
        }?;
        timeout(AT_ONCE, dropped).await.is_ok().then_some(())
    })
    .await?;
    eventually("nothing to be in flight", async || (asking.in_flight() == 0).then_some(())).await
}

async fn a_result_is_dropped_with_its_asker(test: TestBus) -> Result<()> {
    let (asking, answering) = (connect(&test).await?, connect(&test).await?);
    let mut begins = serve_guarded(answering, |numbers, guard| async move {
        in_parts(numbers, move |_| if guard.is_closed() { Err(ErrorCode::Internal) } else { Ok(()) })
    });
    for taken in [0, 1, 3] {
        let mut body = body(&asking, (0..1000).collect()).await?;
        for number in 0..taken {
            assert_eq!(next(&mut body).await.context("a part")??, number);
        }
        let dropped = timeout(SOON, begins.recv()).await?.context("begun")?;
        drop(body);
        assert!(timeout(AT_ONCE, dropped).await?.is_err(), "the result was dropped, not sent");
        assert_eq!(asking.in_flight(), 0);
    }
    Ok(())
}

async fn an_error_in_the_middle_reaches_the_asker(test: TestBus) -> Result<()> {
    let (asking, answering) = (connect(&test).await?, connect(&test).await?);
    serve(answering, |numbers, _| async move {
        in_parts(numbers, |number| if number == 7 { Err(ErrorCode::AgentNotConnected) } else { Ok(()) })
    });
    let mut body = body(&asking, (0..20).collect()).await?;
    for number in 0..7 {
        assert_eq!(next(&mut body).await.context("a part")??, number);
    }
    let error = next(&mut body).await.context("an error")?;
    assert!(matches!(error, Err(RequestError::Rejected(ErrorCode::AgentNotConnected))), "{error:?}");
    assert!(next(&mut body).await.is_none(), "nothing comes after it");
    assert_eq!(asking.in_flight(), 0);
    Ok(())
}

async fn a_caller_that_takes_no_parts_is_answered_whole(test: TestBus) -> Result<()> {
    let (asking, answering) = (connect(&test).await?, connect(&test).await?);
    serve(answering, |numbers, context| async move {
        if context.takes_parts { in_parts(numbers, |_| Ok(())) } else { Reply::Whole(numbers.sum("whole")) }
    });
    assert_eq!(all(body(&asking, vec![1, 2]).await?).await?, [1, 2]);
    assert_eq!(ask(&asking, &[1, 2]).await?, Sum { sum: 3, by: "whole".into() });
    Ok(())
}

async fn askers_do_not_disturb_each_other(test: TestBus) -> Result<()> {
    let (first, second, answering) = (connect(&test).await?, connect(&test).await?, connect(&test).await?);
    serve(answering, |numbers, _| async move { in_parts(numbers, |_| Ok(())) });
    // The first request of each has the same correlation id, and one of them is not read on.
    let mut waiting = body(&first, (0..100).collect()).await?;
    assert_eq!(next(&mut waiting).await.context("a part")??, 0);
    for bus in [&first, &second] {
        let asked = (0..10_u64).map(async |n| all(body(bus, (n..n + 50).collect()).await?).await);
        for (n, numbers) in (0..10).zip(futures_util::future::join_all(asked).await) {
            assert_eq!(numbers?, (n..n + 50).collect::<Vec<_>>());
        }
    }
    drop(body(&second, (0..100).collect()).await?);
    assert_eq!(all(waiting).await?, (1..100).collect::<Vec<_>>());
    Ok(())
}
