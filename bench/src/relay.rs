//! `bench relay`: how fast a query is, beside raw request/reply over the same broker.

mod all_in_one;
mod baseline;
mod hops;
mod printed;

use std::{path::Path, time::Duration};

use anyhow::Result;
use clap::Args;
use tempfile::TempDir;

use crate::{
    machine,
    measure::{Measured, Running, Timeline},
    program::Program,
    simulated::Simulated,
    system::{self, Options, System},
    usage::Watched,
};
use all_in_one::AllInOne;
use baseline::Baseline;
use hops::Hops;

/// Connections at a time.
const CONNECTIONS: [usize; 3] = [1, 16, 64];
const NAMESPACES: usize = 20;

/// What can be chosen.
#[derive(Args, Clone, Debug)]
pub(crate) struct RelayArgs {
    /// Each figure is the median of so many rounds
    #[arg(long, default_value = "3")]
    rounds: usize,
    #[command(flatten)]
    timeline: Timeline,
}

/// The rounds at one number of connections.
struct At {
    connections: usize,
    raw: Vec<Measured>,
    ours: Vec<Measured>,
}

/// Measures and prints.
pub(crate) async fn run(args: RelayArgs) -> Result<()> {
    machine::print().await?;
    println!("bench relay: namespaces ({NAMESPACES}) through cluster, RabbitMQ, onboarding and the agent");
    println!("medians of {} rounds of {} s, raw and ours in turn\n", args.rounds, args.timeline.seconds);
    let directory = tempfile::tempdir()?;
    let simulated = Simulated::start(directory.path(), "empty").await?;
    simulated.fill_up_to(NAMESPACES).await?;

    let subject = Subject::start(&directory, &simulated, false).await?;
    let baseline = Baseline::start(args.timeline).await?;
    let mut hops = Hops::default();
    let mut measured: Vec<At> = CONNECTIONS
        .map(|connections| At { connections, raw: Vec::new(), ours: Vec::new() })
        .into_iter()
        .collect();
    for round in 1..=args.rounds {
        println!("round {round} of {}", args.rounds);
        for at in &mut measured {
            at.raw.push(baseline.measure(at.connections).await?);
            let before = hops::scrape(&subject).await?;
            let one = subject.measure(at.connections, args.timeline).await?;
            if at.connections == 1 {
                hops.add(&before, &hops::scrape(&subject).await?, &one);
            }
            at.ours.push(one);
        }
    }
    drop(subject);
    println!("identical queries share an answer");
    let subject = Subject::start(&directory, &simulated, true).await?;
    let shared = rounds(args.rounds, async || subject.measure(64, args.timeline).await).await?;
    drop(subject);
    println!("the all-in-one");
    let all_in_one = AllInOne::start(directory.path(), &simulated.kubeconfig).await?;
    let mut inside = Vec::new();
    for connections in CONNECTIONS {
        let of_it = rounds(args.rounds, async || all_in_one.measure(connections, args.timeline).await);
        inside.push((connections, of_it.await?));
    }
    println!();
    printed::rates(&measured);
    printed::others(&shared, &inside);
    printed::usage(&measured);
    hops.print();
    Ok(())
}

async fn rounds(rounds: usize, mut one: impl AsyncFnMut() -> Result<Measured>) -> Result<Vec<Measured>> {
    let mut all = Vec::new();
    for _ in 0..rounds {
        all.push(one().await?);
    }
    Ok(all)
}

/// The system that is measured, with its agent.
struct Subject {
    agent: Program,
    system: System,
    path: String,
    watched: Vec<Watched>,
}

impl Subject {
    async fn start(directory: &TempDir, simulated: &Simulated, share_answers: bool) -> Result<Self> {
        let directory = directory.path();
        let system = System::start(directory, Options { share_answers, ..Options::default() }).await?;
        let credentials = system.make_cluster("bench").await?;
        let onboarding = system.addresses.onboarding;
        let agent = system.start_agent(directory, &credentials, &simulated.kubeconfig, onboarding)?;
        let path = format!("/api/v3.0/cluster/namespaces?agent_id={}", credentials.agent_id);
        system::answers(system.addresses.cluster, &path, &system.api_key, &expected()).await?;
        let mut watched = vec![
            Watched::new("cluster", system.cluster.pid()?),
            Watched::new("onboarding", system.onboarding.pid()?),
            Watched::new("agent", agent.pid()?),
            Watched::new("user-auth", system.user_auth.pid()?),
            Watched::new("sim", simulated.program.pid()?),
        ];
        watched.extend(Watched::broker());
        // What came up has settled.
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(Self { agent, system, path, watched })
    }

    async fn measure(&self, connections: usize, timeline: Timeline) -> Result<Measured> {
        let load = Load {
            address: self.system.addresses.cluster.to_string(),
            path: &self.path,
            api_key: &self.system.api_key,
        };
        load.measure(connections, timeline, &self.watched).await
    }
}

/// Where the load goes.
struct Load<'a> {
    address: String,
    path: &'a str,
    api_key: &'a str,
}

impl Load<'_> {
    async fn measure(&self, connections: usize, timeline: Timeline, watched: &[Watched]) -> Result<Measured> {
        let (connections, expected) = (connections.to_string(), expected());
        let arguments = ["load", "--address", &self.address, "--path", self.path, "--expect", &expected];
        let arguments = [&arguments[..], &["--connections", &connections]].concat();
        let running = Running::start(&arguments, &[("API_KEY", self.api_key)], timeline, watched).await?;
        running.finish().await
    }
}

/// What each answer holds.
fn expected() -> String {
    format!("\"total_count\":{NAMESPACES},")
}

/// Logs and data of one run lie in one place.
fn below(directory: &Path, name: &str) -> Result<std::path::PathBuf> {
    let path = directory.join(name);
    std::fs::create_dir_all(&path)?;
    Ok(path)
}
