//! What the bus promises, on both brokers.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use bus::{Bus, BusOptions, Notice, PublishError, RequestError, RequestOptions, ServeOptions};
use contracts::{
    ErrorCode, Timestamp, TraceParent,
    events::{Event, EventType},
    queues::Route,
};
use serde::{Deserialize, Serialize};
use testkit::{TestBus, eventually, on_both_brokers};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

const SUMS: Route = Route { requests: "sum_requests", results: "sum_results" };
const SOON: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Numbers {
    numbers: Vec<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Sum {
    sum: u64,
    by: String,
}

on_both_brokers!(
    a_request_gets_its_own_reply_among_many,
    replicas_share_the_requests,
    a_request_that_nobody_ever_served_is_returned,
    a_request_expires_at_its_deadline_and_is_not_worked_on,
    a_handler_is_dropped_at_the_deadline,
    what_a_lost_replica_had_is_delivered_again,
    a_message_that_is_no_request_becomes_a_dead_letter,
    a_dead_letter_may_be_large_and_tells_no_key,
    a_reply_that_the_broker_would_not_carry_is_refused,
    a_panic_is_told_and_ends_nothing,
    a_stopping_replica_finishes_what_it_has,
    too_many_waiting_requests_are_refused,
    the_trace_travels,
    every_watcher_sees_an_event,
    a_late_reply_disturbs_nobody,
);

async fn connect(test: &TestBus) -> Result<Bus> {
    connect_with(test, BusOptions::default()).await
}

async fn connect_with(test: &TestBus, options: BusOptions) -> Result<Bus> {
    test.uses(SUMS);
    let bus = Bus::connect(&test.url, BusOptions { prefix: test.prefix.clone(), ..options })?;
    timeout(SOON, bus.ready()).await?;
    Ok(bus)
}

/// Serves sums under a name until the token is cancelled.
fn serve_sums(bus: &Bus, by: &str) -> (JoinHandle<()>, CancellationToken) {
    let (bus, by, stop) = (bus.clone(), by.to_owned(), CancellationToken::new());
    let shutdown = stop.clone();
    let serving = tokio::spawn(async move {
        bus.serve(SUMS, ServeOptions::default(), shutdown, move |request: Numbers, _| {
            let by = by.clone();
            async move { Sum { sum: request.numbers.iter().sum(), by } }
        })
        .await;
    });
    (serving, stop)
}

async fn ask(bus: &Bus, numbers: &[u64]) -> Result<Sum, RequestError> {
    bus.request(SUMS, &Numbers { numbers: numbers.to_vec() }, RequestOptions::within(SOON)).await
}

/// Asks until the service is there, since serving starts in the background.
async fn ask_until_served(bus: &Bus) -> Result<()> {
    eventually("somebody to serve", async || match ask(bus, &[1]).await {
        Err(RequestError::Publish(PublishError::Unroutable { .. })) => None,
        other => Some(other.map(drop)),
    })
    .await??;
    Ok(())
}

/// The same with any numbers, in a task of its own.
fn ask_in_background(bus: &Bus, numbers: Vec<u64>) -> JoinHandle<Result<Sum, RequestError>> {
    let bus = bus.clone();
    tokio::spawn(async move {
        loop {
            match ask(&bus, &numbers).await {
                Err(RequestError::Publish(PublishError::Unroutable { .. })) => {
                    sleep(Duration::from_millis(5)).await;
                }
                other => return other,
            }
        }
    })
}

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

async fn replicas_share_the_requests(test: TestBus) -> Result<()> {
    let (asking, first, second) = (connect(&test).await?, connect(&test).await?, connect(&test).await?);
    let (_a, _stop_a) = serve_sums(&first, "first");
    let (_b, _stop_b) = serve_sums(&second, "second");
    ask_until_served(&asking).await?;
    let seen = eventually("both replicas to answer", async || {
        let mut seen = HashSet::new();
        for _ in 0..20 {
            seen.insert(ask(&asking, &[1]).await.ok()?.by);
        }
        (seen.len() == 2).then_some(seen)
    })
    .await?;
    assert_eq!(seen, HashSet::from(["first".to_owned(), "second".to_owned()]));
    Ok(())
}

async fn a_request_that_nobody_ever_served_is_returned(test: TestBus) -> Result<()> {
    let asking = connect(&test).await?;
    let answer = timeout(Duration::from_secs(2), ask(&asking, &[1])).await?;
    assert!(matches!(answer, Err(RequestError::Publish(PublishError::Unroutable { .. }))), "{answer:?}");
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
    let later = connect(&test).await?;
    tokio::spawn(async move {
        later
            .serve(SUMS, ServeOptions::default(), CancellationToken::new(), move |request: Numbers, _| {
                count.fetch_add(1, Ordering::SeqCst);
                async move { Sum { sum: request.numbers.iter().sum(), by: "late".into() } }
            })
            .await;
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
    tokio::spawn(async move {
        answering
            .serve(SUMS, ServeOptions::default(), CancellationToken::new(), move |_: Numbers, _| {
                let (tell, dropped) = oneshot::channel();
                let _ = started.send(dropped);
                async move {
                    let _guard = TellWhenDropped(Some(tell));
                    std::future::pending::<Sum>().await
                }
            })
            .await;
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

async fn what_a_lost_replica_had_is_delivered_again(test: TestBus) -> Result<()> {
    let (asking, doomed, heir) = (connect(&test).await?, connect(&test).await?, connect(&test).await?);
    let (taken, mut takes) = mpsc::unbounded_channel();
    let hanging = tokio::spawn(async move {
        doomed
            .serve(SUMS, ServeOptions::default(), CancellationToken::new(), move |_: Numbers, _| {
                let _ = taken.send(());
                std::future::pending::<Sum>()
            })
            .await;
    });
    let asked = ask_in_background(&asking, vec![4]);
    timeout(SOON, takes.recv()).await?.expect("taken");
    hanging.abort();

    tokio::spawn(async move {
        heir.serve(
            SUMS,
            ServeOptions::default(),
            CancellationToken::new(),
            |request: Numbers, context| async move {
                Sum { sum: request.numbers.iter().sum(), by: format!("redelivered: {}", context.redelivered) }
            },
        )
        .await;
    });
    let answer = timeout(SOON, asked).await???;
    assert_eq!(answer, Sum { sum: 4, by: "redelivered: true".into() });
    Ok(())
}

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
    tokio::spawn(async move {
        answering
            .serve(
                SUMS,
                ServeOptions::default(),
                CancellationToken::new(),
                |request: Numbers, _| async move {
                    let by =
                        if request.numbers == [0] { "x".repeat(17 * 1024 * 1024) } else { String::new() };
                    Sum { sum: 0, by }
                },
            )
            .await;
    });
    ask_until_served(&asking).await?;
    let answer = ask(&asking, &[0]).await;
    assert!(matches!(answer, Err(RequestError::Rejected(ErrorCode::TooLarge))), "{:?}", answer.err());
    assert_eq!(ask(&asking, &[1]).await?.sum, 0, "the service goes on");
    Ok(())
}

async fn a_panic_is_told_and_ends_nothing(test: TestBus) -> Result<()> {
    let (asking, answering) = (connect(&test).await?, connect(&test).await?);
    tokio::spawn(async move {
        answering
            .serve(
                SUMS,
                ServeOptions::default(),
                CancellationToken::new(),
                |request: Numbers, _| async move {
                    assert!(!request.numbers.is_empty(), "no numbers");
                    Sum { sum: request.numbers.iter().sum(), by: String::new() }
                },
            )
            .await;
    });
    ask_until_served(&asking).await?;
    let answer = ask(&asking, &[]).await;
    assert!(matches!(answer, Err(RequestError::Rejected(ErrorCode::Internal))), "{answer:?}");
    assert_eq!(ask(&asking, &[7]).await?.sum, 7);
    Ok(())
}

async fn a_stopping_replica_finishes_what_it_has(test: TestBus) -> Result<()> {
    let (asking, answering) = (connect(&test).await?, connect(&test).await?);
    let stop = CancellationToken::new();
    let (shutdown, (taken, mut takes), go) =
        (stop.clone(), mpsc::unbounded_channel(), CancellationToken::new());
    let gate = go.clone();
    let serving = tokio::spawn(async move {
        answering
            .serve(SUMS, ServeOptions::default(), shutdown, move |request: Numbers, _| {
                let (taken, gate) = (taken.clone(), gate.clone());
                async move {
                    let _ = taken.send(());
                    gate.cancelled().await;
                    Sum { sum: request.numbers.iter().sum(), by: "last".into() }
                }
            })
            .await;
    });
    let asked = ask_in_background(&asking, vec![5]);
    timeout(SOON, takes.recv()).await?.expect("taken");
    stop.cancel();
    assert!(!serving.is_finished());
    go.cancel();
    assert_eq!(timeout(SOON, asked).await???.sum, 5);
    timeout(SOON, serving).await??;
    Ok(())
}

async fn too_many_waiting_requests_are_refused(test: TestBus) -> Result<()> {
    let asking = connect_with(&test, BusOptions { max_in_flight: 1, ..BusOptions::default() }).await?;
    let answering = connect(&test).await?;
    let (taken, mut takes) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        answering
            .serve(SUMS, ServeOptions::default(), CancellationToken::new(), move |_: Numbers, _| {
                let _ = taken.send(());
                std::future::pending::<Sum>()
            })
            .await;
    });
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
    tokio::spawn(async move {
        answering
            .serve(
                SUMS,
                ServeOptions::default(),
                CancellationToken::new(),
                |_: Numbers, context| async move {
                    Sum { sum: 0, by: context.trace.map(|trace| trace.to_string()).unwrap_or_default() }
                },
            )
            .await;
    });
    ask_until_served(&asking).await?;
    let trace: TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse()?;
    let options = RequestOptions { trace: Some(trace), ..RequestOptions::within(SOON) };
    let answer: Sum = asking.request(SUMS, &Numbers { numbers: vec![] }, options).await?;
    assert_eq!(answer.by, trace.to_string());
    Ok(())
}

fn revoked(key: &str) -> Event {
    Event {
        event_id: key.to_owned(),
        event_type: EventType::ApiKeyRevoked,
        user_id: "u".into(),
        username: "ann".into(),
        occurred_at: Timestamp::now(),
        data: [("key_id".to_owned(), key.into())].into_iter().collect(),
    }
}

async fn every_watcher_sees_an_event(test: TestBus) -> Result<()> {
    let (publishing, watching) = (connect(&test).await?, connect(&test).await?);
    let mut keys = watching.watch_events(&["api_key.*"]);
    let mut all = publishing.watch_events(&["#"]);
    let mut users = watching.watch_events(&["user.updated"]);
    for watch in [&mut keys, &mut all, &mut users] {
        assert_eq!(timeout(SOON, watch.next()).await?, Some(Notice::Gap));
    }
    let (first, other) = (revoked("k1"), Event { event_type: EventType::UserUpdated, ..revoked("k2") });
    publishing.publish_event(&first).await?;
    publishing.publish_event(&other).await?;
    assert_eq!(timeout(SOON, keys.next()).await?, Some(Notice::Event(first.clone())));
    assert_eq!(timeout(SOON, all.next()).await?, Some(Notice::Event(first)));
    assert_eq!(timeout(SOON, all.next()).await?, Some(Notice::Event(other.clone())));
    assert_eq!(timeout(SOON, users.next()).await?, Some(Notice::Event(other)));
    Ok(())
}

async fn a_late_reply_disturbs_nobody(test: TestBus) -> Result<()> {
    let (asking, answering) = (connect(&test).await?, connect(&test).await?);
    tokio::spawn(async move {
        answering
            .serve(
                SUMS,
                ServeOptions::default(),
                CancellationToken::new(),
                |request: Numbers, _| async move {
                    // Close to the deadline of the impatient: some replies come before it, some after.
                    sleep(Duration::from_millis(request.numbers.first().copied().unwrap_or(0))).await;
                    Sum { sum: request.numbers.iter().sum(), by: String::new() }
                },
            )
            .await;
    });
    ask_until_served(&asking).await?;
    for _ in 0..20 {
        let options = RequestOptions::within(Duration::from_millis(5));
        let _: Result<Sum, _> = asking.request(SUMS, &Numbers { numbers: vec![5] }, options).await;
        assert_eq!(ask(&asking, &[0, 1]).await?.sum, 1);
    }
    Ok(())
}
