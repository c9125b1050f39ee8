//! `cargo xtask soak`: the trouble of a day in minutes, with a fixed seed.
//!
//! Callers ask without pause while processes and the broker are killed, connections to it are cut, reset and stalled, it
//! takes no messages or closes channels, queues are deleted, and agents go away, fall silent and talk out of turn. At the end
//! nothing may be lost, and nothing left over.

mod callers;
mod changes;
mod crowd;
mod tally;
mod trouble;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use rand::{SeedableRng, rngs::StdRng};
use testkit::{OwnBroker, Proxy, eventually_within};
use tokio_util::sync::CancellationToken;

use crate::{
    machine,
    program::Program,
    scrape::Metrics,
    simulated::Simulated,
    system::{self, Credentials, Options, System},
    table,
    usage::Watched,
};
use callers::Callers;
use changes::Changes;
use crowd::Crowd;
use tally::Tally;
use trouble::Stage;

/// Seconds that the cluster service gives an agent.
const PATIENCE_SECONDS: u32 = 5;
/// How long everything may take to be well again after the last trouble.
const RECOVERY: Duration = Duration::from_secs(60);
/// How long all is asked at the end, when there is no reason not to answer.
const PEACE: Duration = Duration::from_secs(10);
/// Pods of the cluster of the real agent: a list of them all is a few megabytes.
const SEED: &str = "50x3000";

/// What can be chosen.
#[derive(Args, Clone, Debug)]
pub(crate) struct SoakArgs {
    /// How long
    #[arg(long, default_value = "10")]
    minutes: f64,
    /// Of what happens, and when
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Simulated agents
    #[arg(long, default_value = "200")]
    agents: usize,
    /// Callers that ask at a time
    #[arg(long, default_value = "16")]
    callers: usize,
}

/// Soaks and prints.
pub(crate) async fn run(args: SoakArgs) -> Result<()> {
    machine::print().await?;
    let (minutes, seed) = (args.minutes, args.seed);
    println!("soak: {minutes} minutes, seed {seed}, {} simulated agents beside a real one\n", args.agents);
    let mut stage = Scene::set(&args).await?;
    let tally = Arc::new(Tally::default());
    let stop = CancellationToken::new();
    let callers = Callers::start(&stage.asked(), args.callers, seed, &tally, &stop);
    let changes = Changes::start(&stage.stage.system, stage.stage.broker_url(), &stop).await?;

    // The first queries are made before anything is measured or broken.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let private_queues = stage.stage.private_queues().await?.len();
    let mut memory = vec![("start", stage.memory()?)];
    let end = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    let middle = Instant::now() + Duration::from_secs_f64(minutes * 30.0);
    let mut random = StdRng::seed_from_u64(seed);
    while Instant::now() < end {
        stage.stage.trouble(&mut random, &tally, &stage.crowd).await?;
        if memory.len() == 1 && Instant::now() >= middle {
            memory.push(("middle", stage.memory()?));
        }
    }
    println!("no more trouble; waiting until all is well\n");
    stage.well().await?;
    tally.peace();
    tokio::time::sleep(PEACE).await;
    stop.cancel();
    callers.finish().await?;
    stage.nothing_left_over(private_queues).await?;
    memory.push(("end", stage.memory()?));
    let lost_changes = changes.finish().await?;

    tally.print();
    print_memory(&memory);
    stage.stage.print();
    println!("changes without their event: {lost_changes}");
    println!("requests that were lost: {}", tally.lost());
    ensure!(tally.lost() == 0 && lost_changes == 0, "something was lost");
    tally.all_answered_in_peace()?;
    ensure!(tally.late_ones() == 0, "answers came later than their deadline and 100 ms");
    Ok(())
}

/// Everything that runs.
struct Scene {
    stage: Stage,
    crowd: Crowd,
    real: Credentials,
    simulated: Simulated,
    _directory: tempfile::TempDir,
}

impl Scene {
    async fn set(args: &SoakArgs) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let simulated = Simulated::start(directory.path(), SEED).await?;
        // One of its own, because harm is done to it.
        let broker = OwnBroker::new().await?;
        let mut proxies = HashMap::new();
        let mut bus_urls = HashMap::new();
        for service in ["user-auth", "cluster", "onboarding"] {
            let proxy = Proxy::start(broker.address().to_string()).await?;
            bus_urls.insert(service, format!("amqp://guest:guest@{}/%2f", proxy.address()));
            proxies.insert(service, proxy);
        }
        let onboarding = vec![("HEARTBEAT_SECONDS", "5".to_owned())];
        let options =
            Options { share_answers: true, websocket_timeout: PATIENCE_SECONDS, onboarding, bus_urls };
        let system = System::start(directory.path(), options).await?;
        let real = system.make_cluster("real").await?;
        let address = system.addresses.onboarding;
        let agent = system.start_agent(directory.path(), &real, &simulated.kubeconfig, address)?;
        let mut others = Vec::new();
        for number in 0..args.agents {
            others.push(system.make_cluster(&format!("simulated-{number}")).await?);
        }
        let crowd = Crowd::start(address, others, args.seed);
        let scene = Self {
            stage: Stage::new(system, agent, broker, proxies),
            crowd,
            real,
            simulated,
            _directory: directory,
        };
        scene.well().await?;
        Ok(scene)
    }

    /// Who can be asked, and where.
    fn asked(&self) -> Asked {
        Asked {
            address: self.stage.system.addresses.cluster,
            api_key: self.stage.system.api_key.clone(),
            real: self.real.agent_id.clone(),
            others: self.crowd.agent_ids(),
        }
    }

    /// Waits until every service is ready, every agent is connected, and the real one answers.
    async fn well(&self) -> Result<()> {
        let System { addresses, user_auth, api_key, .. } = &self.stage.system;
        for address in [user_auth.address().await?, addresses.onboarding, addresses.cluster] {
            system::ready(address).await?;
        }
        self.all_connected().await?;
        let path = format!("/api/v3.0/cluster/namespaces?agent_id={}", self.real.agent_id);
        system::answers(addresses.cluster, &path, api_key, "\"success\":true").await
    }

    async fn all_connected(&self) -> Result<()> {
        let (onboarding, expected) = (self.stage.system.addresses.onboarding, (self.crowd.len() + 1) as f64);
        let mut open = 0.0;
        let waiting = eventually_within(RECOVERY, "all sessions", async || {
            open = Metrics::of(onboarding).await.ok()?.sum("agent_sessions", "").unwrap_or_default();
            ((open - expected).abs() < 0.5).then_some(())
        });
        waiting.await.with_context(|| format!("{open} of {expected} sessions are open"))
    }

    /// Waits until nothing is under way anywhere, and the broker has no more private queues than at the beginning.
    async fn nothing_left_over(&mut self, private_queues: usize) -> Result<()> {
        let addresses = self.stage.system.addresses;
        for (address, gauge) in [
            (addresses.cluster, "queries_in_flight"),
            (addresses.cluster, "bus_requests_in_flight"),
            (addresses.onboarding, "bus_requests_in_flight"),
            (addresses.onboarding, "bus_serving"),
            (addresses.onboarding, "agent_questions_in_flight"),
            (addresses.onboarding, "agent_answer_bytes_queued"),
        ] {
            eventually_within(RECOVERY, gauge, async || {
                (Metrics::of(address).await.ok()?.sum(gauge, "")? < 1.0).then_some(())
            })
            .await?;
        }
        let mut now = 0;
        let waiting = eventually_within(RECOVERY, "the private queues of the beginning", async || {
            now = self.stage.private_queues().await.ok()?.len();
            (now == private_queues).then_some(())
        });
        waiting.await.with_context(|| format!("{now} private queues instead of {private_queues}"))
    }

    fn memory(&self) -> Result<Vec<(&'static str, u64)>> {
        let Stage { system, agent, .. } = &self.stage;
        let programs: [&Program; 5] =
            [&system.user_auth, &system.cluster, &system.onboarding, agent, &self.simulated.program];
        programs
            .into_iter()
            .map(|program| Ok((program.name(), Watched::new(program.name(), program.pid()?).rss_kib()?)))
            .collect()
    }
}

/// Who can be asked, and where.
#[derive(Clone)]
struct Asked {
    address: SocketAddr,
    api_key: String,
    real: String,
    others: Vec<String>,
}

fn print_memory(memory: &[(&str, Vec<(&'static str, u64)>)]) {
    let heads: Vec<&str> = std::iter::once("RSS, MiB").chain(memory.iter().map(|(when, _)| *when)).collect();
    let programs = memory.first().map(|(_, programs)| programs.as_slice()).unwrap_or_default();
    let rows: Vec<Vec<String>> = programs
        .iter()
        .enumerate()
        .map(|(row, (name, _))| {
            let of = |programs: &Vec<(&str, u64)>| format!("{:.1}", programs[row].1 as f64 / 1024.0);
            std::iter::once((*name).to_owned())
                .chain(memory.iter().map(|(_, programs)| of(programs)))
                .collect()
        })
        .collect();
    table::print(&heads, &rows);
}
