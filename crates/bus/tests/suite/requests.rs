//! How requests find their answers, or their end.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use bus::{BusOptions, PublishError, RequestError, RequestOptions};
use contracts::TraceParent;
use testkit::{TestBus, eventually, on_both_brokers};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout},
};

use crate::world::{
    Numbers, SOON, SUMS, Sum, ask, ask_in_background, ask_until_served, connect, connect_with, serve,
    serve_nothing, serve_sums,
};

on_both_brokers!(
    a_request_gets_its_own_reply_among_many,
    a_request_that_nobody_ever_served_is_returned,
    many_that_nobody_serves_are_all_returned_at_once,
    a_request_expires_at_its_deadline_and_is_not_worked_on,
    a_handler_is_dropped_at_the_deadline,
    a_late_reply_disturbs_nobody,
    too_many_waiting_requests_are_refused,
    the_trace_travels,
);

async fn a_request_gets_its_own_reply_among_many(test: TestBus) -> Result<()> {
    let (asking, answering) = (connect(&test).await?, connect(&test).await?);
    let (_serving, _stop) = serve_sums(&answering, "one");
    ask_until_served(&asking).await?;
    let asked = (0..200_u64).map(|n| {
        let asking = asking.clone();
        tokio::spawn(async move { (n, ask(&asking, &[n, 1]).await) })
    });
    for task in asked.collect::<Vec<_>>() {
        let (n, answer) = task.await?;
        assert_eq!(answer?.sum, n + 1);
    }
    Ok(())
}

async fn a_request_that_nobody_ever_served_is_returned(test: TestBus) -> Result<()> {
    let asking = connect(&test).await?;
    let answer = timeout(Duration::from_secs(2), ask(&asking, &[1])).await?;
    assert!(matches!(answer, Err(RequestError::Publish(PublishError::Unroutable { .. }))), "{answer:?}");
    Ok(())
}

/// The broker confirms many at once, and returns each of them.
async fn many_that_nobody_serves_are_all_returned_at_once(test: TestBus) -> Result<()> {
    let asking = connect(&test).await?;
    let asked: Vec<_> = (0..200_u64)
        .map(|n| {
            let asking = asking.clone();
            tokio::spawn(async move { ask(&asking, &[n]).await })
        })
        .collect();
    for task in asked {
        let answer = timeout(Duration::from_secs(2), task).await??;
        assert!(matches!(answer, Err(RequestError::Publish(PublishError::Unroutable { .. }))), "{answer:?}");
    }
    Ok(())
}

async fn a_request_expires_at_its_deadline_and_is_not_worked_on(test: TestBus) -> Result<()> {
    let (asking, answering) = (connect(&test).await?, connect(&test).await?);
    let (serving, stop) = serve_sums(&answering, "early");
    ask_until_served(&asking).await?;
    stop.cancel();
    serving.await?;

    let patience = Duration::from_millis(200);
    let started = Instant::now();
    let answer: Result<Sum, _> =
        asking.request(SUMS, &Numbers { numbers: vec![1] }, RequestOptions::within(patience)).await;
    assert!(matches!(answer, Err(RequestError::Timeout)), "{answer:?}");
    assert!(started.elapsed() >= patience);

    let handled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&handled);
    serve(connect(&test).await?, move |request, _| {
        count.fetch_add(1, Ordering::SeqCst);
        async move { request.sum("late") }
    });
    assert_eq!(ask(&asking, &[2, 3]).await?.sum, 5);
    assert_eq!(handled.load(Ordering::SeqCst), 1, "the expired request was worked on");
    Ok(())
}

async fn a_handler_is_dropped_at_the_deadline(test: TestBus) -> Result<()> {
    struct TellWhenDropped(Option<oneshot::Sender<()>>);
    impl Drop for TellWhenDropped {
        fn drop(&mut self) {
            if let Some(tell) = self.0.take() {
                let _ = tell.send(());
            }
        }
    }

    let (asking, answering) = (connect(&test).await?, connect(&test).await?);
    let (started, mut starts) = mpsc::unbounded_channel();
    serve(answering, move |_, _| {
        let (tell, dropped) = oneshot::channel();
        let _ = started.send(dropped);
        async move {
            let _guard = TellWhenDropped(Some(tell));
            pending().await
        }
    });
    let answer = eventually("the request to be taken", async || {
        let options = RequestOptions::within(Duration::from_millis(300));
        match asking.request::<_, Sum>(SUMS, &Numbers { numbers: vec![] }, options).await {
            Err(RequestError::Publish(_)) => None,
            other => Some(other),
        }
    })
    .await?;
    assert!(matches!(answer, Err(RequestError::Timeout)), "{answer:?}");
    let dropped = timeout(SOON, starts.recv()).await?.expect("the handler was started");
    timeout(SOON, dropped).await??;
    Ok(())
}

async fn a_late_reply_disturbs_nobody(test: TestBus) -> Result<()> {
    let (asking, answering) = (connect(&test).await?, connect(&test).await?);
    serve(answering, |request, _| async move {
        // Close to the deadline of the impatient: some replies come before it, some after.
        sleep(Duration::from_millis(request.numbers.first().copied().unwrap_or(0))).await;
        request.sum("")
    });
    ask_until_served(&asking).await?;
    for _ in 0..20 {
        let options = RequestOptions::within(Duration::from_millis(5));
        let _: Result<Sum, _> = asking.request(SUMS, &Numbers { numbers: vec![5] }, options).await;
        assert_eq!(ask(&asking, &[0, 1]).await?.sum, 1);
    }
    Ok(())
}

async fn too_many_waiting_requests_are_refused(test: TestBus) -> Result<()> {
    let asking = connect_with(&test, BusOptions { max_in_flight: 1, ..BusOptions::default() }).await?;
    let (_serving, mut takes) = serve_nothing(connect(&test).await?);
    let waiting = ask_in_background(&asking, vec![1]);
    timeout(SOON, takes.recv()).await?.expect("taken");
    let answer = ask(&asking, &[2]).await;
    assert!(matches!(answer, Err(RequestError::Overloaded)), "{answer:?}");
    // A caller that goes away frees its place.
    waiting.abort();
    let _ = waiting.await;
    let options = RequestOptions::within(Duration::from_millis(50));
    let answer: Result<Sum, _> = asking.request(SUMS, &Numbers { numbers: vec![] }, options).await;
    assert!(matches!(answer, Err(RequestError::Timeout)), "{answer:?}");
    Ok(())
}

async fn the_trace_travels(test: TestBus) -> Result<()> {
    let (asking, answering) = (connect(&test).await?, connect(&test).await?);
    serve(answering, |request, context| async move {
        request.sum(&context.trace.map(|trace| trace.to_string()).unwrap_or_default())
    });
    ask_until_served(&asking).await?;
    let trace: TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse()?;
    let options = RequestOptions { trace: Some(trace), ..RequestOptions::within(SOON) };
    let answer: Sum = asking.request(SUMS, &Numbers { numbers: vec![] }, options).await?;
    assert_eq!(answer.by, trace.to_string());
    Ok(())
}
