//! Events reach the broker if their change is committed, and in order.

use std::{
    future::{pending, ready},
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context, Result};
use contracts::{
    Timestamp,
    events::{Event, EventType},
};
use store::test_on_both;
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::JoinHandle,
    time::timeout,
};

use super::*;

/// Far longer than a healthy relay takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn event(id: &str) -> Event {
    Event {
        event_id: id.to_owned(),
        event_type: EventType::UserCreated,
        user_id: "u".to_owned(),
        username: "ada".to_owned(),
        occurred_at: Timestamp::now(),
        data: serde_json::Map::new(),
    }
}

async fn emit(store: &Store, id: &str) -> Result<(), StoreError> {
    let mut transaction = store.begin().await?;
    transaction.emit(&event(id)).await?;
    transaction.commit().await
}

/// A relay of its own, as another replica has it, and what it publishes.
fn relay(store: &Store) -> (JoinHandle<()>, UnboundedReceiver<String>) {
    let (published, receive) = unbounded_channel();
    let store = store.clone();
    let task = tokio::spawn(async move {
        store.relay_events(|event| ready(published.send(event.event_id))).await;
    });
    (task, receive)
}

async fn next(published: &mut UnboundedReceiver<String>) -> Result<String> {
    timeout(PATIENCE, published.recv()).await?.context("the relay ended")
}

/// Resolves when nothing waits in the outbox.
async fn drained(store: &Store) -> Result<()> {
    timeout(PATIENCE, async {
        loop {
            let waiting: i64 =
                sqlx::query_scalar("SELECT COUNT(*) FROM outbox").fetch_one(store.pool()).await?;
            if waiting == 0 {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
    })
    .await?
}

test_on_both! {
    async fn events_are_published_once_in_their_order(database: TestDatabase) -> Result<()> {
        let store = store_with_users(&database).await?;
        emit(&store, "before").await?;
        let (_task, mut published) = relay(&store);
        assert_eq!(next(&mut published).await?, "before");
        for id in ["a", "b", "c"] {
            emit(&store, id).await?;
        }
        for id in ["a", "b", "c"] {
            assert_eq!(next(&mut published).await?, id);
        }
        drained(&store).await?;
        assert!(published.is_empty());
        Ok(())
    }

    async fn an_event_of_an_undone_change_is_not_published(database: TestDatabase) -> Result<()> {
        let store = store_with_users(&database).await?;
        let (_task, mut published) = relay(&store);
        let mut transaction = store.begin().await?;
        transaction.emit(&event("undone")).await?;
        transaction.rollback().await?;
        emit(&store, "done").await?;
        assert_eq!(next(&mut published).await?, "done");
        Ok(())
    }

    async fn a_failing_publication_is_repeated_before_later_events(database: TestDatabase) -> Result<()> {
        let store = store_with_users(&database).await?;
        for id in ["a", "b"] {
            emit(&store, id).await?;
        }
        let attempts = AtomicUsize::new(0);
        let (published, mut receive) = unbounded_channel();
        let relay = store.relay_events(|event| {
            let fails = attempts.fetch_add(1, Ordering::Relaxed) < 2;
            ready(if fails {
                Err("the broker is away")
            } else {
                published.send(event.event_id).map_err(|_| "the test has ended")
            })
        });
        tokio::select! {
            _ = relay => {}
            order = async { anyhow::Ok((next(&mut receive).await?, next(&mut receive).await?)) } => {
                assert_eq!(order?, ("a".to_owned(), "b".to_owned()));
            }
        }
        Ok(())
    }

    /// The first relay publishes and dies before it can remove the event.
    async fn a_crash_after_publishing_means_a_second_delivery(database: TestDatabase) -> Result<()> {
        let store = store_with_users(&database).await?;
        emit(&store, "a").await?;
        let (published, mut receive) = unbounded_channel();
        let dying = store.clone();
        let relay = tokio::spawn(async move {
            dying
                .relay_events(|event| {
                    published.send(event.event_id).expect("the test listens");
                    pending::<Result<(), String>>()
                })
                .await;
        });
        assert_eq!(next(&mut receive).await?, "a");
        relay.abort();

        // The lease outlives its holder; here it is made to end, so that the test need not wait for it.
        sqlx::query("UPDATE outbox_lease SET expires_at = 0")
            .execute(store.pool())
            .await?;
        let (_task, mut published) = self::relay(&store);
        assert_eq!(next(&mut published).await?, "a");
        Ok(())
    }

    /// Two relays and one stream of events: each is published by one of them.
    async fn replicas_do_not_publish_the_same_event(database: TestDatabase) -> Result<()> {
        let store = store_with_users(&database).await?;
        let replica = database.open(SERVICE, Options::default()).await?;
        let (_a, mut from_a) = relay(&store);
        let (_b, mut from_b) = relay(&replica);
        for number in 0..20 {
            emit(if number % 2 == 0 { &store } else { &replica }, &number.to_string()).await?;
        }
        drained(&store).await?;
        let mut seen = Vec::new();
        while let Ok(id) = from_a.try_recv().or_else(|_| from_b.try_recv()) {
            seen.push(id.parse::<u32>()?);
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..20).collect::<Vec<_>>());
        Ok(())
    }
}
