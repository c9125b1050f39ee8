//! What the bus does when RabbitMQ misbehaves, with a proxy that cuts the connection and a raw connection beside it.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use bus::{Bus, BusOptions, ConnectError, Notice, PublishError, RequestError, RequestOptions, ServeOptions};
use contracts::{
    Timestamp,
    events::{Event, EventType},
    queues::Route,
};
use lapin::{
    BasicProperties, Connection, ConnectionProperties,
    options::{BasicGetOptions, BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::FieldTable,
};
use testkit::{Cleanup, Proxy, TestBus, amqp_address, amqp_url, amqp_url_at, eventually};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

const ECHO: Route = Route { requests: "echo_requests", results: "echo_results" };
const SOON: Duration = Duration::from_secs(10);

/// A prefix of the test's own, and what takes its queues off the broker at the end.
fn own_queues() -> (String, Option<Arc<Cleanup>>) {
    let test = TestBus::rabbitmq();
    test.uses(ECHO);
    (test.prefix, test.cleanup)
}

async fn connect(url: String, prefix: &str) -> Result<Bus> {
    let bus = Bus::connect(&url.into(), BusOptions { prefix: prefix.to_owned(), ..BusOptions::default() })?;
    timeout(SOON, bus.ready()).await?;
    Ok(bus)
}

fn serve_echo(bus: Bus) {
    tokio::spawn(async move {
        bus.serve(
            ECHO,
            ServeOptions::default(),
            CancellationToken::new(),
            |text: String, _| async move { text },
        )
        .await;
    });
}

async fn echo(bus: &Bus, text: &str) -> Result<String, RequestError> {
    bus.request(ECHO, &text, RequestOptions::within(SOON)).await
}

async fn echo_until_served(bus: &Bus) -> Result<()> {
    eventually("the echo", async || echo(bus, "x").await.ok()).await.map(drop)
}

#[tokio::test]
async fn what_waits_fails_at_once_when_the_connection_dies_and_it_comes_back() -> Result<()> {
    let (prefix, _cleanup) = own_queues();
    let proxy = Proxy::start(amqp_address()?).await?;
    let asking = connect(amqp_url_at(proxy.address())?, &prefix).await?;
    let answering = connect(amqp_url(), &prefix).await?;
    let (taken, mut takes) = mpsc::unbounded_channel();
    let hanging = tokio::spawn(async move {
        answering
            .serve(ECHO, ServeOptions::default(), CancellationToken::new(), move |_: String, _| {
                let _ = taken.send(());
                std::future::pending::<String>()
            })
            .await;
    });
    let asker = asking.clone();
    let waiting = tokio::spawn(async move {
        loop {
            match echo(&asker, "lost").await {
                Err(RequestError::Publish(PublishError::Unroutable { .. })) => {}
                other => return other,
            }
        }
    });
    timeout(SOON, takes.recv()).await?.expect("taken");

    proxy.cut();
    let answer = timeout(Duration::from_secs(2), waiting).await??;
    assert!(matches!(answer, Err(RequestError::Publish(PublishError::Unavailable))), "{answer:?}");
    eventually("the bus to notice", async || (!asking.is_ready()).then_some(())).await?;
    let started = Instant::now();
    let answer = echo(&asking, "while away").await;
    assert!(matches!(answer, Err(RequestError::Publish(PublishError::Unavailable))), "{answer:?}");
    assert!(started.elapsed() < Duration::from_secs(1), "an absent broker is known at once");

    hanging.abort();
    serve_echo(connect(amqp_url(), &prefix).await?);
    proxy.resume();
    timeout(SOON, asking.ready()).await?;
    assert_eq!(echo(&asking, "back").await?, "back");
    Ok(())
}

#[tokio::test]
async fn publications_that_fail_with_a_connection_do_not_end_the_next_one() -> Result<()> {
    let (prefix, _cleanup) = own_queues();
    let proxy = Proxy::start(amqp_address()?).await?;
    serve_echo(connect(amqp_url(), &prefix).await?);
    let asking = connect(amqp_url_at(proxy.address())?, &prefix).await?;
    echo_until_served(&asking).await?;
    let before = proxy.accepted();
    // Publications are caught by the cut at every stage.
    let load = (0..50).map(|_| {
        let asking = asking.clone();
        tokio::spawn(async move { while echo(&asking, "load").await.is_ok() {} })
    });
    let load: Vec<_> = load.collect();
    proxy.reset();
    for task in load {
        timeout(SOON, task).await??;
    }
    // Until both have been made anew, one of the old ones may not have been noticed to be dead.
    eventually("two new connections", async || (proxy.accepted() - before >= 2).then_some(())).await?;
    timeout(SOON, asking.ready()).await?;
    for _ in 0..50 {
        assert_eq!(echo(&asking, "again").await?, "again");
    }
    assert_eq!(proxy.accepted() - before, 2, "one new connection to publish and one to consume");
    Ok(())
}

#[tokio::test]
async fn a_serving_process_takes_up_its_work_again_after_a_cut() -> Result<()> {
    let (prefix, _cleanup) = own_queues();
    let proxy = Proxy::start(amqp_address()?).await?;
    let answering = connect(amqp_url_at(proxy.address())?, &prefix).await?;
    serve_echo(answering.clone());
    let asking = connect(amqp_url(), &prefix).await?;
    echo_until_served(&asking).await?;
    proxy.cut();
    eventually("the cut to be noticed", async || (!answering.is_ready()).then_some(())).await?;
    let asker = asking.clone();
    let waiting = tokio::spawn(async move { echo(&asker, "waits on the broker").await });
    proxy.resume();
    assert_eq!(timeout(SOON, waiting).await???, "waits on the broker");
    Ok(())
}

#[tokio::test]
async fn a_watcher_is_told_of_the_gap_after_a_cut() -> Result<()> {
    let (prefix, _cleanup) = own_queues();
    let proxy = Proxy::start(amqp_address()?).await?;
    let watching = connect(amqp_url_at(proxy.address())?, &prefix).await?;
    let publishing = connect(amqp_url(), &prefix).await?;
    let mut watch = watching.watch_events(&["user.*"]);
    assert_eq!(timeout(SOON, watch.next()).await?, Some(Notice::Gap));
    proxy.reset();
    assert_eq!(timeout(SOON, watch.next()).await?, Some(Notice::Gap));
    let event = Event {
        event_id: "1".into(),
        event_type: EventType::UserUpdated,
        user_id: "u".into(),
        username: String::new(),
        occurred_at: Timestamp::now(),
        data: serde_json::Map::new(),
    };
    publishing.publish_event(&event).await?;
    assert!(matches!(timeout(SOON, watch.next()).await?, Some(Notice::Event(_))));
    Ok(())
}

#[tokio::test]
async fn a_queue_that_is_deleted_under_its_consumer_is_declared_again() -> Result<()> {
    let (prefix, _cleanup) = own_queues();
    serve_echo(connect(amqp_url(), &prefix).await?);
    let asking = connect(amqp_url(), &prefix).await?;
    echo_until_served(&asking).await?;
    let raw = Connection::connect(&amqp_url(), ConnectionProperties::default()).await?;
    let queue = format!("{prefix}{}", ECHO.requests);
    raw.create_channel().await?.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await?;
    echo_until_served(&asking).await
}

#[tokio::test]
async fn a_caller_without_a_reply_queue_is_answered_on_the_results_queue() -> Result<()> {
    let (prefix, _cleanup) = own_queues();
    serve_echo(connect(amqp_url(), &prefix).await?);
    let raw = Connection::connect(&amqp_url(), ConnectionProperties::default()).await?;
    let channel = raw.create_channel().await?;
    let [requests, results] = [ECHO.requests, ECHO.results].map(|name| format!("{prefix}{name}"));
    for queue in [&requests, &results] {
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        channel.queue_declare(queue.as_str().into(), durable, FieldTable::default()).await?;
    }
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    channel.basic_publish("".into(), requests.as_str().into(), options, b"\"hello\"", properties).await?;
    let found = eventually("the answer on the results queue", async || {
        channel.basic_get(results.as_str().into(), BasicGetOptions { no_ack: true }).await.ok().flatten()
    })
    .await?;
    assert_eq!(found.delivery.data, b"\"hello\"");
    Ok(())
}

#[tokio::test]
async fn a_message_that_is_no_request_is_answered_on_the_results_queue_too() -> Result<()> {
    let (prefix, _cleanup) = own_queues();
    serve_echo(connect(amqp_url(), &prefix).await?);
    let asking = connect(amqp_url(), &prefix).await?;
    echo_until_served(&asking).await?;
    let raw = Connection::connect(&amqp_url(), ConnectionProperties::default()).await?;
    let channel = raw.create_channel().await?;
    let [requests, results] = [ECHO.requests, ECHO.results].map(|name| format!("{prefix}{name}"));
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    let body = br#"{"request_id": "r-1", "unexpected": true}"#;
    channel.basic_publish("".into(), requests.as_str().into(), options, body, properties).await?;
    let found = eventually("the answer on the results queue", async || {
        channel.basic_get(results.as_str().into(), BasicGetOptions { no_ack: true }).await.ok().flatten()
    })
    .await?;
    let answer: serde_json::Value = serde_json::from_slice(&found.delivery.data)?;
    assert_eq!((&answer["request_id"], &answer["code"]), (&"r-1".into(), &"bad_request".into()), "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_url_that_cannot_be_understood_is_an_error_without_its_password() {
    for url in [
        "kafka://x",
        "amqp://user:hunter2@ho st:port/%2f",
        "amqp://user:hunter2@host:5672/%2f?heartbeat=soon",
    ] {
        let Err(error) = Bus::connect(&url.to_owned().into(), BusOptions::default()) else {
            panic!("{url} was accepted")
        };
        assert!(matches!(error, ConnectError::Scheme | ConnectError::Url(_)));
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
