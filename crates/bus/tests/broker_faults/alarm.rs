//! The broker's disk is full, so that it takes no messages.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use testkit::eventually;
use tokio::{task::JoinSet, time::Instant};

use crate::{
    load::{Load, Outcome},
    tests,
    world::{ECHO, World, is_unavailable},
};

tests!(a_broker_that_takes_no_messages_is_unavailable_and_nothing_piles_up);

/// Shorter than the alarm: what was under way when it began ends before it does.
const PATIENCE: Duration = Duration::from_secs(3);

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
            let options = bus::RequestOptions::within(PATIENCE);
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
