//! Events and those who watch them.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, ensure};
use bus::{Bus, Notice};
use contracts::{
    Timestamp,
    events::{Event, EventType},
    queues::{AUDIT_LOG, CLUSTER_EVENTS, KeptEvents},
};
use testkit::{TestBus, eventually, on_both_brokers};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::world::{SOON, connect};

on_both_brokers!(
    every_watcher_sees_an_event,
    kept_events_are_handled_in_their_order_and_again_until_it_succeeds,
    what_was_not_handled_comes_again_to_another,
    events_that_nobody_takes_are_forgotten_beyond_a_number,
);

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

async fn kept_events_are_handled_in_their_order_and_again_until_it_succeeds(test: TestBus) -> Result<()> {
    let publishing = connect(&test).await?;
    // Before anybody consumes them.
    for number in 0..250 {
        publishing.publish_event(&revoked(&number.to_string())).await?;
    }
    let consuming = connect(&test).await?;
    let (stop, failures) = (CancellationToken::new(), AtomicUsize::new(0));
    let (handled, mut seen) = mpsc::unbounded_channel();
    let handle = |events: Vec<Event>| {
        // The first two times nothing is done.
        let fails = failures.fetch_add(1, Ordering::Relaxed) < 2;
        let handled = handled.clone();
        async move {
            if fails {
                return Err("not yet");
            }
            events.into_iter().try_for_each(|event| handled.send(event.event_id)).map_err(|_| "gone")
        }
    };
    let consumed = consuming.consume_events(AUDIT_LOG, stop.clone(), handle);
    let collected = async {
        for number in 0..250 {
            ensure!(timeout(SOON, seen.recv()).await? == Some(number.to_string()), "{number}");
        }
        stop.cancel();
        Ok(())
    };
    let ((), collected) = tokio::join!(consumed, collected);
    collected
}

async fn what_was_not_handled_comes_again_to_another(test: TestBus) -> Result<()> {
    let (publishing, first, second) = (connect(&test).await?, connect(&test).await?, connect(&test).await?);
    publishing.publish_event(&revoked("k")).await?;
    let (taken, mut takes) = mpsc::unbounded_channel();
    let dying = tokio::spawn(async move {
        let handle = |events: Vec<Event>| {
            let _ = taken.send(events.len());
            std::future::pending::<Result<(), String>>()
        };
        first.consume_events(AUDIT_LOG, CancellationToken::new(), handle).await;
    });
    ensure!(timeout(SOON, takes.recv()).await? == Some(1));
    dying.abort();
    ensure!(first_kept(&second, AUDIT_LOG).await? == Some("k".to_owned()));
    Ok(())
}

async fn events_that_nobody_takes_are_forgotten_beyond_a_number(test: TestBus) -> Result<()> {
    let bus = connect(&test).await?;
    for number in 0..10 {
        let event = Event { event_type: EventType::ClusterDeleted, ..revoked(&number.to_string()) };
        bus.publish_event(&event).await?;
    }
    // The broker counts what it has put to disk a moment later.
    let trimmed = async || match bus.forget_events(CLUSTER_EVENTS, 4).await {
        Ok(6) => Some(()),
        _ => None,
    };
    eventually("six to be forgotten", trimmed).await?;
    ensure!(first_kept(&bus, CLUSTER_EVENTS).await? == Some("6".to_owned()));
    Ok(())
}

/// The id of the first event that is handed out.
async fn first_kept(bus: &Bus, kept: KeptEvents) -> Result<Option<String>> {
    let (stop, (sender, mut seen)) = (CancellationToken::new(), mpsc::unbounded_channel());
    let handle = |events: Vec<Event>| {
        let told = events.into_iter().try_for_each(|event| sender.send(event.event_id));
        async move { told.map_err(|_| "gone") }
    };
    let consumed = bus.consume_events(kept, stop.clone(), handle);
    let first = async {
        let first = timeout(SOON, seen.recv()).await;
        stop.cancel();
        first
    };
    let ((), first) = tokio::join!(consumed, first);
    Ok(first?)
}
