//! The broker closes channels and connections, and says so.

use anyhow::{Context, Result, ensure};
use bus::{Notice, PublishError};
use contracts::{
    Timestamp,
    events::{Event, EventType},
    queues::EVENTS_EXCHANGE,
};
use testkit::{Channels, eventually};
use tokio::time::{Instant, timeout};

use crate::{
    load::{Load, Outcome, PATIENT},
    tests,
    world::{SOON, World},
};

tests!(channels_that_the_broker_closes_are_opened_again, an_exchange_that_is_deleted_is_declared_again);

async fn channels_that_the_broker_closes_are_opened_again(mut world: World) -> Result<()> {
    world.serve_echo(|_| {}).await?;
    for which in [Channels::Consuming, Channels::Publishing] {
        let load = Load::start(&world.asking, PATIENT).await?;
        let closed = Instant::now();
        let count = world.broker.close_channels(which).await?;
        ensure!(count >= 3, "at least one for each bus, not {count}");
        let recovered = world.recovers(load, closed, Instant::now(), &[Outcome::Unavailable]).await;
        recovered.with_context(|| format!("{which:?} channels"))?;
    }

    let load = Load::start(&world.asking, PATIENT).await?;
    let closed = Instant::now();
    ensure!(world.broker.close_all_connections().await? == 6, "two for each bus");
    world.recovers(load, closed, Instant::now(), &[Outcome::Unavailable]).await?;
    world.end().await
}

/// Publishing to an exchange that is not there closes the channel, with all that goes over it.
async fn an_exchange_that_is_deleted_is_declared_again(mut world: World) -> Result<()> {
    world.serve_echo(|_| {}).await?;
    let mut watch = world.asking.watch_events(&["user.*"]);
    ensure!(timeout(SOON, watch.next()).await? == Some(Notice::Gap));
    world.asking.publish_event(&event()).await?;
    ensure!(matches!(timeout(SOON, watch.next()).await?, Some(Notice::Event(_))));
    let load = Load::start(&world.asking, PATIENT).await?;

    let deleted = Instant::now();
    world.broker.delete_exchange(EVENTS_EXCHANGE).await?;
    ensure!(world.asking.publish_event(&event()).await == Err(PublishError::Unavailable));
    let end = Instant::now();
    eventually("the event to be taken", async || world.asking.publish_event(&event()).await.ok()).await?;
    world.recovers(load, deleted, end, &[Outcome::Unavailable]).await?;
    drop(watch);
    world.end().await
}

fn event() -> Event {
    Event {
        event_id: "1".into(),
        event_type: EventType::UserUpdated,
        user_id: "u".into(),
        username: String::new(),
        occurred_at: Timestamp::now(),
        data: serde_json::Map::new(),
    }
}
