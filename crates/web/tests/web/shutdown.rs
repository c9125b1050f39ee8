//! How a process ends.

use std::convert::Infallible;

use anyhow::{Result, bail};
use tokio::sync::mpsc;
use web::{Outcome, Shutdown};

/// A task that ends as soon as it is told to.
fn obedient(shutdown: &Shutdown) -> impl Future<Output = Result<(), Infallible>> + Send + 'static {
    let token = shutdown.token();
    async move {
        token.cancelled().await;
        Ok(())
    }
}

#[tokio::test]
async fn the_first_signal_stops_and_waits_for_the_tasks() -> Result<()> {
    let shutdown = Shutdown::new();
    shutdown.spawn_critical("server", obedient(&shutdown));
    let (token, (done, done_seen)) = (shutdown.token(), tokio::sync::oneshot::channel());
    shutdown.spawn(async move {
        token.cancelled().await;
        tokio::task::yield_now().await;
        let _ = done.send(());
    });
    let (signal, signals) = mpsc::channel(2);
    signal.send(()).await?;
    assert_eq!(shutdown.run_with_signals(signals).await, Outcome::Clean);
    done_seen.await?;
    Ok(())
}

#[tokio::test]
async fn the_second_signal_does_not_wait() -> Result<()> {
    let shutdown = Shutdown::new();
    shutdown.spawn(std::future::pending());
    let (signal, signals) = mpsc::channel(2);
    signal.send(()).await?;
    signal.send(()).await?;
    assert_eq!(shutdown.run_with_signals(signals).await, Outcome::Forced);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn tasks_that_do_not_end_are_given_up() -> Result<()> {
    let shutdown = Shutdown::new();
    shutdown.spawn(std::future::pending());
    let (signal, signals) = mpsc::channel(2);
    signal.send(()).await?;
    let started = tokio::time::Instant::now();
    assert_eq!(shutdown.run_with_signals(signals).await, Outcome::TimedOut);
    assert_eq!(started.elapsed().as_secs(), 30);
    Ok(())
}

async fn outcome_of_a_dying_task<F>(task: F) -> Outcome
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let shutdown = Shutdown::new();
    shutdown.spawn_critical("other", obedient(&shutdown));
    shutdown.spawn_critical("consumer", task);
    let (_no_signal, signals) = mpsc::channel(1);
    shutdown.run_with_signals(signals).await
}

#[tokio::test]
async fn a_critical_task_that_dies_ends_the_process() {
    let failed = |reason: &str| Outcome::Failed { task: "consumer", reason: reason.to_owned() };
    let outcome = outcome_of_a_dying_task(async { bail!("broker is gone") }).await;
    assert_eq!(outcome, failed("broker is gone"));
    let outcome = outcome_of_a_dying_task(async { panic!("index out of bounds") }).await;
    assert_eq!(outcome, failed("panicked: index out of bounds"));
    let outcome = outcome_of_a_dying_task(async { Ok(()) }).await;
    assert_eq!(outcome, failed("ended before it was told to"));
}

#[tokio::test]
async fn the_end_of_the_signal_source_is_not_a_signal() {
    let (signal, signals) = mpsc::channel(1);
    drop(signal);
    let shutdown = Shutdown::new();
    shutdown.spawn_critical("server", obedient(&shutdown));
    let token = shutdown.token();
    let running = tokio::spawn(shutdown.run_with_signals(signals));
    tokio::task::yield_now().await;
    assert!(!token.is_cancelled());
    token.cancel();
    assert_eq!(running.await.expect("no panic"), Outcome::Clean);
}
