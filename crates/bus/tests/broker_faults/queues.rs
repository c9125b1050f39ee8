//! Queues are deleted under those who consume from them.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::Instant;

use crate::{
    load::{Load, Outcome, PATIENT},
    tests,
    world::{ECHO, World},
};

tests!(a_reply_queue_that_is_deleted_is_replaced, a_request_queue_that_is_deleted_is_declared_again);

async fn a_reply_queue_that_is_deleted_is_replaced(mut world: World) -> Result<()> {
    world.serve_echo(|_| {}).await?;
    let load = Load::start(&world.asking, PATIENT).await?;
    let before = world.broker.queues().await?;
    let private: Vec<_> = before.iter().filter(|queue| queue.name.starts_with("kubesage.private.")).collect();
    ensure!(private.len() == 3, "one for each bus: {before:?}");

    let deleted = Instant::now();
    for queue in private {
        world.broker.delete_queue(&queue.name).await?;
    }
    world.recovers(load, deleted, Instant::now(), &[Outcome::Unavailable]).await?;
    let after = world.broker.queues().await?;
    ensure!(after.len() == before.len(), "{before:?}, then {after:?}");
    world.end().await
}

async fn a_request_queue_that_is_deleted_is_declared_again(mut world: World) -> Result<()> {
    world.serve_echo(|_| {}).await?;
    // All askers may have had something on the queue, and ask again only after that.
    let load = Load::start(&world.asking, Duration::from_secs(2)).await?;
    let deleted = Instant::now();
    world.broker.delete_queue(ECHO.requests).await?;
    // While there is none, nobody serves it. What was on it when it was deleted is lost, and nobody can know.
    let excused = [Outcome::Unroutable, Outcome::Unavailable, Outcome::Timeout];
    world.recovers(load, deleted, Instant::now(), &excused).await?;
    world.end().await
}
