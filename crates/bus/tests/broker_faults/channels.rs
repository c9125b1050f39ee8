//! The broker closes channels and connections, and says so.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bus::{Notice, PublishError, RequestOptions, ServeOptions};
use contracts::{
    Timestamp,
    events::{Event, EventType},
    queues::{EVENTS_EXCHANGE, Route},
};
use testkit::{Channels, eventually};
use tokio::time::{Instant, timeout};

use crate::{
    load::{Load, Outcome, PATIENT},
    tests,
    world::{SOON, World},
};

tests!(
    channels_that_the_broker_closes_are_opened_again,
    connections_that_are_lost_as_soon_as_they_are_there_leave_nobody_deaf,
    an_exchange_that_is_deleted_is_declared_again,
);

/// So many queues a process consumes from.
const MANY: usize = 40;

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

/// They are lost while queues are declared on them.
async fn connections_that_are_lost_as_soon_as_they_are_there_leave_nobody_deaf(
    mut world: World,
) -> Result<()> {
    let mut routes = Vec::new();
    for number in 0..MANY {
        let name = |what: &str| String::leak(format!("{what}_{number}"));
        let route = Route { requests: name("requests"), results: name("results") };
        let (bus, stop) = (world.answering[0].clone(), world.stop.clone());
        tokio::spawn(async move {
            bus.serve(route, ServeOptions::default(), stop, |text: String, _| async move { text }).await;
        });
        routes.push(route);
    }
    for _ in 0..6 {
        let connected = async || (world.broker.connections().await.ok()? >= 5).then_some(());
        eventually("connections", connected).await?;
        world.broker.close_all_connections().await?;
    }
    for route in routes {
        let echo = async || {
            world
                .asking
                .request::<_, String>(route, &"x", RequestOptions::within(Duration::from_secs(1)))
                .await
                .ok()
        };
        let answer = eventually(route.requests, echo).await?;
        ensure!(answer == "x");
    }
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
