//! The broker's disk is full, so that it takes no messages.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use bus::{Context, RequestOptions, ServeOptions};
use testkit::eventually;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{
    load::{Load, Outcome},
    tests,
    world::{ECHO, SOON, World, is_unavailable},
};

tests!(
    a_broker_that_takes_no_messages_is_unavailable_and_nothing_piles_up,
    a_dead_letter_waits_until_the_broker_takes_it,
);

/// Shorter than the alarm: what was under way when it began ends before it does.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longer than it takes until everybody has noticed the alarm: a handler whose asker waits no more is dropped before it panics.
const UNTIL_NOTICED: Duration = Duration::from_secs(15);

async fn a_broker_that_takes_no_messages_is_unavailable_and_nothing_piles_up(mut world: World) -> Result<()> {
    let piled_up = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&piled_up);
    world
        .serve_echo(move |text| {
            if text == "refused" {
                seen.fetch_add(1, Ordering::Relaxed);
            }
        })
        .await?;
    let load = Load::start(&world.asking, PATIENCE).await?;

    let blocked = Instant::now();
    world.broker.block_publishers().await?;
    eventually("the bus to notice", async || (!world.asking.is_ready()).then_some(())).await?;
    let known = Instant::now();
    let mut refused = JoinSet::new();
    for _ in 0..1000 {
        let asking = world.asking.clone();
        refused.spawn(async move {
            let options = RequestOptions::within(PATIENCE);
            asking.request::<_, String>(ECHO, &"refused", options).await
        });
    }
    while let Some(answer) = refused.join_next().await {
        ensure!(is_unavailable(&answer?));
    }
    ensure!(
        known.elapsed() < Duration::from_secs(1),
        "1000 requests are refused after {:?}",
        known.elapsed()
    );
    // Those that were sent before it was known.
    eventually("the last to be told", async || (world.asking.in_flight() == 0).then_some(())).await?;

    world.broker.unblock_publishers().await?;
    world.recovers(load, blocked, Instant::now(), &[Outcome::Unavailable]).await?;
    ensure!(piled_up.load(Ordering::Relaxed) == 0, "requests arrived that had been refused");
    world.end().await
}

async fn a_dead_letter_waits_until_the_broker_takes_it(mut world: World) -> Result<()> {
    let blocked = watch::Sender::new(false);
    let (tell, mut told) = mpsc::unbounded_channel();
    for bus in world.answering.clone() {
        let (stop, blocked, tell) = (world.stop.clone(), blocked.subscribe(), tell.clone());
        tokio::spawn(async move {
            let answer = move |text: String, _: Context| {
                let (mut blocked, tell) = (blocked.clone(), tell.clone());
                async move {
                    if text == "panic" {
                        let _ = tell.send(());
                        let _ = blocked.wait_for(|blocked| *blocked).await;
                        panic!("as it is told to");
                    }
                    text
                }
            };
            bus.serve(ECHO, ServeOptions::default(), stop, answer).await;
        });
    }
    eventually("the echo", async || world.echo("x").await.ok()).await?;
    let asking = world.asking.clone();
    let options = RequestOptions::within(UNTIL_NOTICED);
    let asked = tokio::spawn(async move { asking.request::<_, String>(ECHO, &"panic", options).await });
    ensure!(timeout(SOON, told.recv()).await?.is_some());

    world.broker.block_publishers().await?;
    for bus in &world.answering {
        // The broker tells of it when it is next given a message.
        ensure!(bus.request::<_, String>(ECHO, &"x", RequestOptions::within(PATIENCE)).await.is_err());
        eventually("the bus to notice", async || (!bus.is_ready()).then_some(())).await?;
    }
    blocked.send_replace(true);
    ensure!(asked.await?.is_err());
    ensure!(world.asking.take_dead_letter().await.ok().flatten().is_none());

    world.broker.unblock_publishers().await?;
    let letter =
        eventually("the dead letter", async || world.asking.take_dead_letter().await.ok().flatten()).await?;
    ensure!(letter.queue == ECHO.requests && letter.body == br#""panic""#.as_slice());
    ensure!(world.asking.take_dead_letter().await?.is_none(), "it is kept once");
    ensure!(told.is_empty(), "it was not delivered again");
    world.end().await
}
