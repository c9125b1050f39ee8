//! A service that adds numbers, and those who ask it.

use std::{future::pending, time::Duration};

use anyhow::Result;
use bus::{Bus, BusOptions, Context, PublishError, RequestError, RequestOptions, ServeOptions};
use contracts::queues::Route;
use serde::{Deserialize, Serialize};
use testkit::{TestBus, eventually};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

pub(crate) const SUMS: Route = Route { requests: "sum_requests", results: "sum_results" };
pub(crate) const SOON: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Numbers {
    pub(crate) numbers: Vec<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sum {
    pub(crate) sum: u64,
    pub(crate) by: String,
}

impl Numbers {
    /// Their sum, as this replica says it.
    pub(crate) fn sum(&self, by: &str) -> Sum {
        Sum { sum: self.numbers.iter().sum(), by: by.to_owned() }
    }
}

pub(crate) async fn connect(test: &TestBus) -> Result<Bus> {
    connect_with(test, BusOptions::default()).await
}

pub(crate) async fn connect_with(test: &TestBus, options: BusOptions) -> Result<Bus> {
    test.uses(SUMS);
    let bus = Bus::connect(&test.url, BusOptions { prefix: test.prefix.clone(), ..options })?;
    timeout(SOON, bus.ready()).await?;
    Ok(bus)
}

/// Answers with the handler for as long as the test runs.
pub(crate) fn serve<H, F>(bus: Bus, handler: H) -> JoinHandle<()>
where
    H: Fn(Numbers, Context) -> F + Send + Sync + 'static,
    F: Future<Output = Sum> + Send + 'static,
{
    serve_until(CancellationToken::new(), bus, handler)
}

/// Answers with the handler until the token is cancelled.
pub(crate) fn serve_until<H, F>(stop: CancellationToken, bus: Bus, handler: H) -> JoinHandle<()>
where
    H: Fn(Numbers, Context) -> F + Send + Sync + 'static,
    F: Future<Output = Sum> + Send + 'static,
{
    tokio::spawn(async move { bus.serve(SUMS, ServeOptions::default(), stop, handler).await })
}

/// Serves sums under a name until the token is cancelled.
pub(crate) fn serve_sums(bus: &Bus, by: &str) -> (JoinHandle<()>, CancellationToken) {
    let (by, stop) = (by.to_owned(), CancellationToken::new());
    let serving = serve_until(stop.clone(), bus.clone(), move |request, _| {
        let by = by.clone();
        async move { request.sum(&by) }
    });
    (serving, stop)
}

/// Takes requests, telling of each, and never answers one.
pub(crate) fn serve_nothing(bus: Bus) -> (JoinHandle<()>, mpsc::UnboundedReceiver<()>) {
    let (taken, takes) = mpsc::unbounded_channel();
    let serving = serve(bus, move |_, _| {
        let _ = taken.send(());
        pending()
    });
    (serving, takes)
}

pub(crate) async fn ask(bus: &Bus, numbers: &[u64]) -> Result<Sum, RequestError> {
    bus.request(SUMS, &Numbers { numbers: numbers.to_vec() }, RequestOptions::within(SOON)).await
}

/// Asks until the service is there, since serving starts in the background.
pub(crate) async fn ask_until_served(bus: &Bus) -> Result<()> {
    eventually("somebody to serve", async || match ask(bus, &[1]).await {
        Err(RequestError::Publish(PublishError::Unroutable { .. })) => None,
        other => Some(other.map(drop)),
    })
    .await??;
    Ok(())
}

/// The same with any numbers, in a task of its own.
pub(crate) fn ask_in_background(bus: &Bus, numbers: Vec<u64>) -> JoinHandle<Result<Sum, RequestError>> {
    let bus = bus.clone();
    tokio::spawn(async move {
        loop {
            match ask(&bus, &numbers).await {
                Err(RequestError::Publish(PublishError::Unroutable { .. })) => {
                    sleep(Duration::from_millis(5)).await;
                }
                other => return other,
            }
        }
    })
}
