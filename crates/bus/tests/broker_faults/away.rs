//! The broker is killed, or does nothing any more.

use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::eventually;
use tokio::time::Instant;

use crate::{
    load::{Load, Outcome, PATIENT},
    tests,
    world::{World, is_unavailable},
};

tests!(
    a_broker_that_is_killed_is_missed_only_while_it_is_away,
    a_broker_that_freezes_keeps_nobody_beyond_the_deadline
);

async fn a_broker_that_is_killed_is_missed_only_while_it_is_away(mut world: World) -> Result<()> {
    world.serve_echo(|_| {}).await?;
    let load = Load::start(&world.asking, PATIENT).await?;

    let killed = Instant::now();
    world.broker.kill();
    eventually("the bus to notice", async || (!world.asking.is_ready()).then_some(())).await?;
    load.so_many_after(Instant::now(), 200, &Outcome::Unavailable).await?;
    let asked = Instant::now();
    ensure!(is_unavailable(&world.echo("while it is away").await));
    ensure!(asked.elapsed() < Duration::from_millis(100), "{:?}", asked.elapsed());

    world.broker.start().await?;
    world.recovers(load, killed, Instant::now(), &[Outcome::Unavailable]).await?;
    world.end().await
}

/// Its connections stay, and nothing comes from them, not even that it has taken a request.
async fn a_broker_that_freezes_keeps_nobody_beyond_the_deadline(world: World) -> Result<()> {
    world.serve_echo(|_| {}).await?;
    let load = Load::start(&world.asking, Duration::from_secs(2)).await?;

    let frozen = Instant::now();
    world.broker.freeze()?;
    load.so_many_after(frozen, 60, &Outcome::Unavailable).await?;
    world.broker.thaw()?;
    world.recovers(load, frozen, Instant::now(), &[Outcome::Timeout, Outcome::Unavailable]).await?;
    world.end().await
}
