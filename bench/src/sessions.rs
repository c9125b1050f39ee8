//! `bench sessions`: what idle agent sessions cost.

use std::{
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use rand::seq::IndexedRandom;
use tokio::{sync::Semaphore, task::JoinSet, time::sleep};

use crate::{
    agents::process::Agents,
    descriptors, machine,
    queries::Queries,
    scrape::Metrics,
    stats::{Figures, mib, ms, verdict},
    system::{self, Credentials, Options, System},
    table,
    usage::Watched,
};

/// KiB of resident memory that one session may cost.
const TARGET_KIB: f64 = 9.0;
/// What connecting has left to be done, such as what is written of each cluster once a second, is done by then.
const SETTLE: Duration = Duration::from_secs(10);
/// Clusters that are made at a time.
const AT_A_TIME: usize = 16;

/// What can be chosen.
#[derive(Args, Clone, Debug)]
pub(crate) struct SessionsArgs {
    /// Agent sessions
    #[arg(long, default_value = "10000")]
    sessions: usize,
    /// Seconds for which the processor time of idle sessions is measured
    #[arg(long, default_value = "60")]
    idle: u64,
    /// Seconds for which queries are measured
    #[arg(long, default_value = "20")]
    query_seconds: u64,
    /// Queries in a second
    #[arg(long, default_value = "50")]
    rate: u32,
}

/// Measures and prints.
pub(crate) async fn run(args: SessionsArgs) -> Result<()> {
    ensure!(args.sessions >= 2, "at least two sessions");
    descriptors::allow(args.sessions)?;
    machine::print().await?;
    println!(
        "bench sessions: {} idle sessions on one onboarding process, heartbeats every 30 s\n",
        args.sessions
    );
    let directory = tempfile::tempdir()?;
    let options = Options {
        onboarding: vec![("MAX_SESSIONS", (args.sessions + 100).to_string())],
        ..Options::default()
    };
    let mut system = System::start(directory.path(), options).await?;
    let credentials = make_clusters(&system, args.sessions).await?;
    restart_onboarding(&mut system).await?;
    let figures = measure(&args, directory.path(), &system, &credentials).await?;
    figures.print(&args);
    Ok(())
}

struct Measured {
    connect_rate: f64,
    connect_seconds: f64,
    /// Of onboarding with one session, and with all.
    rss_kib: [u64; 2],
    agents_rss_kib: u64,
    /// Percent of one core, of each process.
    idle: Vec<(String, f64)>,
    /// Queries with one session, and with all.
    queries: [Figures; 2],
}

async fn measure(
    args: &SessionsArgs,
    directory: &Path,
    system: &System,
    credentials: &[Credentials],
) -> Result<Measured> {
    let onboarding = system.addresses.onboarding;
    let watched = Watched::new("onboarding", system.onboarding.pid()?);
    let queries = Queries::new(system, Duration::from_secs(1) / args.rate, "\"total_count\":1,");
    let query = async |agents: &[Credentials]| {
        let agent = || agents.choose(&mut rand::rng()).map_or("", |agent| agent.agent_id.as_str());
        let figures = queries.within(Duration::from_secs(args.query_seconds), agent).await?;
        ensure!(figures.wrong == 0, "{} answers were wrong", figures.wrong);
        anyhow::Ok(figures)
    };
    let (first, others) = credentials.split_at(1);

    let (alone, _) = Agents::start(directory, onboarding, first, None).await?;
    println!("queries with one session");
    let quiet = query(first).await?;
    let before = watched.rss_kib()?;

    println!("connecting {} agents", others.len());
    let (many, told) = Agents::start(directory, onboarding, others, None).await?;
    sleep(SETTLE).await;
    let after = watched.rss_kib()?;

    println!("idle for {} s", args.idle);
    let mut idle_ones = vec![watched, Watched::new("cluster", system.cluster.pid()?), many.watched()?];
    idle_ones.extend(Watched::broker());
    let idle = idle(&idle_ones, Duration::from_secs(args.idle)).await?;

    println!("queries with all sessions");
    let beside = query(credentials).await?;
    let open = Metrics::of(onboarding).await?.sum("agent_sessions", "").context("no gauge of sessions")?;
    ensure!((open - credentials.len() as f64).abs() < 0.5, "onboarding has {open} sessions");
    let agents_rss_kib = many.watched()?.rss_kib()?;
    many.end().await?;
    alone.end().await?;
    Ok(Measured {
        connect_rate: others.len() as f64 / told.seconds,
        connect_seconds: told.seconds,
        rss_kib: [before, after],
        agents_rss_kib,
        idle,
        queries: [quiet, beside],
    })
}

pub(crate) async fn make_clusters(system: &System, count: usize) -> Result<Vec<Credentials>> {
    println!("making {count} clusters");
    let (start, client) = (Instant::now(), reqwest::Client::new());
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    let mut making = JoinSet::new();
    for number in 0..count {
        let place = Arc::clone(&places).acquire_owned().await?;
        let (client, key, onboarding) = (client.clone(), system.api_key.clone(), system.addresses.onboarding);
        making.spawn(async move {
            let made = system::make_cluster(&client, onboarding, &key, &format!("bench-{number}")).await;
            drop(place);
            made
        });
    }
    let made: Result<Vec<_>> = making.join_all().await.into_iter().collect();
    println!("made in {:.1} s", start.elapsed().as_secs_f64());
    made
}

/// So that its memory is not what making the clusters has left.
async fn restart_onboarding(system: &mut System) -> Result<()> {
    let address: SocketAddr = system.addresses.onboarding;
    system.onboarding.kill().await?;
    system.onboarding.restart(("PORT", address.port().to_string()))?;
    system::ready(address).await
}

/// Percent of one core that each process uses.
async fn idle(watched: &[Watched], time: Duration) -> Result<Vec<(String, f64)>> {
    let before = watched.iter().map(Watched::cpu).collect::<Result<Vec<_>>>()?;
    sleep(time).await;
    let used = watched.iter().zip(before).map(|(one, before)| {
        let used = one.cpu()?.saturating_sub(before);
        Ok((one.name.clone(), used.as_secs_f64() / time.as_secs_f64() * 100.0))
    });
    used.collect()
}

impl Measured {
    fn print(&self, args: &SessionsArgs) {
        let [before, after] = self.rss_kib;
        let of_each = after.saturating_sub(before) as f64 / (args.sessions - 1) as f64;
        println!("\nconnected   {:.0} sessions/s ({:.1} s)", self.connect_rate, self.connect_seconds);
        println!("onboarding  {} with one session, {} with {}", mib(before), mib(after), args.sessions);
        println!(
            "a session   {of_each:.1} KiB (target at most {TARGET_KIB} KiB): {}",
            verdict(of_each <= TARGET_KIB)
        );
        println!("agents      {} for all simulated ones\n", mib(self.agents_rss_kib));
        let idle = self.idle.iter().map(|(name, percent)| vec![name.clone(), format!("{percent:.1} %")]);
        table::print(&["idle for a while", "of one core"], &idle.collect::<Vec<_>>());
        let [quiet, beside] = &self.queries;
        let row = |name: &str, one: &Figures| {
            vec![name.to_owned(), format!("{:.0}", one.rate()), ms(one.p50_us), ms(one.p99_us)]
        };
        let rows = [row("one session", quiet), row(&format!("{} sessions", args.sessions), beside)];
        table::print(&["queries to random agents, with", "req/s", "p50", "p99"], &rows);
        println!("p99 with all sessions: {:.2} times that with one\n", beside.p99_us / quiet.p99_us);
    }
}
