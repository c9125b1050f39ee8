//! How fast the simulated cluster is at the size of a large one: `cargo xtask bench sim`.
//!
//! Each figure stands beside a baseline of the same run: what the machine needs for the bare work.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use axum::body::Bytes;
use futures_util::TryStreamExt as _;
use reqwest::{Certificate, Client};
use serde_json::Value;
use sim::{Options, Seed, Sim, kinds};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_util::io::StreamReader;

/// The allocator of the program that is measured here, `kubesage`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NODES: usize = 500;
const PODS: usize = 10_000;
const ROUNDS: usize = 5;
const SEED_TARGET: Duration = Duration::from_secs(1);
const LIST_TARGET: Duration = Duration::from_millis(300);
/// Changes of pods in a second that a watch must keep up with.
const CHANGES_PER_SECOND: u32 = 1_000;
const WATCH_SECONDS: u32 = 5;

#[tokio::main]
async fn main() -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    println!("{NODES} nodes, {PODS} pods; medians of {ROUNDS} rounds\n");
    let sim = seed().await?;
    let client =
        Client::builder().add_root_certificate(Certificate::from_pem(sim.ca_pem().as_bytes())?).build()?;
    list(&sim, &client).await?;
    watch(&sim, &client).await?;
    sim.stop().await;
    Ok(())
}

/// Starting a cluster of this size, beside parsing its pods from JSON.
async fn seed() -> Result<Sim> {
    let options = || Options {
        seed: Seed::Sized { nodes: NODES, pods: PODS },
        controllers: false,
        history: 100_000,
        ..Options::default()
    };
    let mut times = Vec::new();
    let mut last = None;
    for _ in 0..ROUNDS {
        // Taking down the one of the round before is no part of starting this one.
        drop(last.take());
        let start = Instant::now();
        last = Some(Sim::start(options()).await?);
        times.push(start.elapsed());
    }
    let sim = last.context("no round")?;
    let texts: Vec<String> = sim.api().objects(kinds::PODS, None).iter().map(|pod| pod.to_string()).collect();
    let mut parsing = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for text in &texts {
            std::hint::black_box(serde_json::from_str::<Value>(text)?);
        }
        parsing.push(start.elapsed());
    }
    report("seed", median(times), SEED_TARGET, "parsing the same pods", median(parsing));
    Ok(sim)
}

/// All pods over HTTPS, beside the same bytes from a server that does nothing but send them.
async fn list(sim: &Sim, client: &Client) -> Result<()> {
    let url = format!("{}/api/v1/pods", sim.url());
    let mut times = Vec::new();
    let mut firsts = Vec::new();
    let mut body = Bytes::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let response = client.get(&url).bearer_auth(sim.admin_token()).send().await?.error_for_status()?;
        firsts.push(start.elapsed());
        body = response.bytes().await?;
        times.push(start.elapsed());
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let bare = format!("http://{}/", listener.local_addr()?);
    let answer = body.clone();
    let router = axum::Router::new().fallback(move || std::future::ready(answer.clone()));
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let mut bare_times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        client.get(&bare).send().await?.bytes().await?;
        bare_times.push(start.elapsed());
    }
    server.abort();
    let first = times[0];
    report(
        "list of all pods, the first",
        first,
        LIST_TARGET,
        "the same bytes over plain HTTP",
        median(bare_times.clone()),
    );
    report(
        "list of all pods, later",
        median(times),
        LIST_TARGET,
        "the same bytes over plain HTTP",
        median(bare_times),
    );
    println!("  {:.1} MB; first byte after {:.1?}", body.len() as f64 / 1e6, median(firsts));
    Ok(())
}

/// A watch of all pods while they change.
async fn watch(sim: &Sim, client: &Client) -> Result<()> {
    let from = *sim.api().revision().borrow();
    let url = format!("{}/api/v1/pods?watch=1&resourceVersion={from}", sim.url());
    let response = client.get(&url).bearer_auth(sim.admin_token()).send().await?.error_for_status()?;
    let lines = StreamReader::new(response.bytes_stream().map_err(std::io::Error::other));
    let mut lines = BufReader::new(lines).lines();

    let expected = CHANGES_PER_SECOND * WATCH_SECONDS;
    let reader = tokio::spawn(async move {
        let mut delays = Vec::new();
        while delays.len() < expected as usize {
            let line = lines.next_line().await?.context("the watch ended early")?;
            let event: Value = serde_json::from_str(&line)?;
            let sent: i128 = event["object"]["metadata"]["annotations"]["sent"]
                .as_str()
                .context("an event that nobody made")?
                .parse()?;
            let late = jiff::Timestamp::now().as_nanosecond() - sent;
            delays.push(Duration::from_nanos(u64::try_from(late).unwrap_or_default()));
        }
        anyhow::Ok(delays)
    });
    let pods = sim.api().objects(kinds::PODS, None);
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    let start = Instant::now();
    let mut changed = 0;
    while changed < expected {
        tick.tick().await;
        for _ in 0..CHANGES_PER_SECOND / 100 {
            let pod = &pods[changed as usize % pods.len()];
            let name = |field: &str| pod["metadata"][field].as_str().unwrap_or_default();
            let now = jiff::Timestamp::now().as_nanosecond().to_string();
            sim.api().update(kinds::PODS, name("namespace"), name("name"), |pod| {
                pod["metadata"]["annotations"] = serde_json::json!({ "sent": now });
            })?;
            changed += 1;
        }
    }
    let took = start.elapsed();
    let mut delays =
        tokio::time::timeout(Duration::from_secs(30), reader).await.context("events are missing")???;
    delays.sort_unstable();
    ensure!(delays.len() == expected as usize);
    println!(
        "watch of all pods: {expected} changes in {took:.2?} ({:.0}/s), {} events seen, none lost; \
         p50 {:.2?}, p99 {:.2?}",
        f64::from(expected) / took.as_secs_f64(),
        delays.len(),
        delays[delays.len() / 2],
        delays[delays.len() * 99 / 100],
    );
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn report(what: &str, time: Duration, target: Duration, baseline: &str, bare: Duration) {
    let ratio = time.as_secs_f64() / bare.as_secs_f64();
    let met = if time <= target { "met" } else { "MISSED" };
    println!("{what}: {time:.1?} (target {target:.0?}: {met}) | {baseline}: {bare:.1?} | {ratio:.1} times");
}
