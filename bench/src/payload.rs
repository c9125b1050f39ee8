//! `bench payload`: large answers, and a small query beside them on the same session.

mod printed;

use std::{net::SocketAddr, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::Args;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::oneshot,
    time::timeout,
};

use crate::{
    client::{self, Client},
    fetch::{Fetched, fetched},
    machine,
    program::Program,
    queries::Queries,
    simulated::Simulated,
    stats::Figures,
    system::{self, Options, System},
    usage::Watched,
};

const SIZES: [(&str, usize); 5] =
    [("1 KiB", 1 << 10), ("64 KiB", 64 << 10), ("1 MiB", 1 << 20), ("8 MiB", 8 << 20), ("32 MiB", 32 << 20)];
/// Eight of the largest answers at once take longer than what an agent is given by default.
const PATIENCE_SECONDS: u32 = 300;
/// Between two small queries.
const EVERY: Duration = Duration::from_millis(10);
/// Large answers at once, where it is not one after the other.
const AT_ONCE: usize = 8;

/// What can be chosen.
#[derive(Args, Clone, Debug)]
pub(crate) struct PayloadArgs {
    /// Pods of the simulated cluster; the largest answer needs nearly all of them
    #[arg(long, default_value = "90000")]
    pods: usize,
    /// Seconds for which answers of one size are asked for
    #[arg(long, default_value = "6")]
    seconds: f64,
}

/// What one size gave.
struct Row {
    name: String,
    pods: u64,
    /// Of one answer.
    bytes: usize,
    quiet: Figures,
    one: Run,
    many: Run,
    bare_one: Fetched,
    bare_many: Fetched,
}

/// Answers one after the other, or several at once.
struct Run {
    fetched: Fetched,
    small: Figures,
    /// The most memory of each process, in KiB.
    peaks: Vec<(String, u64)>,
}

/// Measures and prints.
pub(crate) async fn run(args: PayloadArgs) -> Result<()> {
    machine::print().await?;
    println!("bench payload: pods of a simulated cluster of {}, and namespaces beside them", args.pods);
    println!("its API server stands for another machine and gives way to the rest (nice)\n");
    let directory = tempfile::tempdir()?;
    let simulated = Simulated::start(directory.path(), &format!("500x{}", args.pods)).await?;
    let options = Options { websocket_timeout: PATIENCE_SECONDS, ..Options::default() };
    let system = System::start(directory.path(), options).await?;
    let credentials = system.make_cluster("bench").await?;
    let onboarding = system.addresses.onboarding;
    let agent = system.start_agent(directory.path(), &credentials, &simulated.kubeconfig, onboarding)?;
    let path = format!("/api/v3.0/cluster/namespaces?agent_id={}", credentials.agent_id);
    system::answers(system.addresses.cluster, &path, &system.api_key, "total_count").await?;
    let subject =
        Subject { system, agent, simulated, bare: Bare::start().await?, agent_id: credentials.agent_id };

    let (first, more) = (subject.bytes_of(1).await?, subject.bytes_of(1001).await?);
    let of_a_pod = more.saturating_sub(first) / 1000;
    ensure!(of_a_pod > 0, "pods have no size");
    println!("a pod of an answer is {of_a_pod} bytes");
    let mut wanted: Vec<(String, usize)> = SIZES
        .iter()
        .map(|(name, bytes)| ((*name).to_owned(), 1 + bytes.saturating_sub(first) / of_a_pod))
        .collect();
    wanted.push(("10,000 pods".to_owned(), 10_000));
    let mut rows = Vec::new();
    for (name, pods) in wanted {
        ensure!(pods <= args.pods, "{name} needs {pods} pods: ask for more with --pods");
        println!("{name}: {pods} pods");
        rows.push(subject.row(name, pods, Duration::from_secs_f64(args.seconds)).await?);
    }
    println!();
    printed::throughput(&rows);
    printed::small(&rows);
    printed::peaks(&rows);
    let runs = || rows.iter().flat_map(|row| [&row.one, &row.many]);
    let wrong: u64 = runs().map(|run| run.fetched.wrong).sum();
    ensure!(wrong == 0, "{wrong} answers were not whole");
    let failed: u64 = runs().map(|run| run.small.wrong).sum();
    ensure!(failed == 0, "{failed} small queries beside them failed");
    Ok(())
}

struct Subject {
    system: System,
    agent: Program,
    simulated: Simulated,
    bare: Bare,
    agent_id: String,
}

impl Subject {
    async fn row(&self, name: String, pods: usize, time: Duration) -> Result<Row> {
        let agent = || self.agent_id.as_str();
        let quiet = self.small().within(time, agent).await?;
        let one = self.beside(pods, 1, time).await?;
        let many = self.beside(pods, AT_ONCE, time).await?;
        let bytes = usize::try_from(one.fetched.bytes.checked_div(one.fetched.answers).unwrap_or_default())?;
        let bare = format!("/{bytes}");
        let bare = async |at_once| fetched((self.bare.address, &bare, ""), None, at_once, time / 4).await;
        Ok(Row {
            name,
            pods: pods as u64,
            bytes,
            quiet,
            one,
            many,
            bare_one: bare(1).await?,
            bare_many: bare(AT_ONCE).await?,
        })
    }

    /// Large answers, with the small query beside them.
    async fn beside(&self, pods: usize, at_once: usize, time: Duration) -> Result<Run> {
        let watched = self.watched()?;
        watched.iter().for_each(Watched::reset_peak);
        let (end, ended) = oneshot::channel::<()>();
        let small = self.small();
        let small = small.until(async { drop(ended.await) }, || self.agent_id.as_str());
        let large = async {
            let path = self.path(pods);
            let count = Some(pods as u64);
            let target = (self.system.addresses.cluster, path.as_str(), self.system.api_key.as_str());
            let fetched = fetched(target, count, at_once, time).await;
            drop(end);
            fetched
        };
        let (fetched, small) = tokio::join!(large, small);
        let peaks =
            watched.iter().map(|one| Ok((one.name.clone(), one.peak_kib()?))).collect::<Result<_>>()?;
        Ok(Run { fetched: fetched?, small: small?, peaks })
    }

    fn small(&self) -> Queries {
        Queries::new(&self.system, EVERY, "\"total_count\":")
    }

    fn path(&self, pods: usize) -> String {
        format!("/api/v3.0/cluster/pods?agent_id={}&limit={pods}", self.agent_id)
    }

    async fn bytes_of(&self, pods: usize) -> Result<usize> {
        let address = self.system.addresses.cluster;
        let request = client::get(address, &self.path(pods), &self.system.api_key);
        let mut body = Vec::new();
        let answer = Client::connect(address).await?.ask(&request, &mut body).await?;
        ensure!(answer.status == 200, "{}", String::from_utf8_lossy(&body));
        Ok(body.len())
    }

    fn watched(&self) -> Result<Vec<Watched>> {
        let mut watched = vec![
            Watched::new("cluster", self.system.cluster.pid()?),
            Watched::new("onboarding", self.system.onboarding.pid()?),
            Watched::new("agent", self.agent.pid()?),
            Watched::new("sim", self.simulated.program.pid()?),
        ];
        watched.extend(Watched::broker());
        Ok(watched)
    }
}

/// The process of the baseline.
struct Bare {
    address: SocketAddr,
    _process: Child,
}

impl Bare {
    async fn start() -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut process = command.arg("bare").stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let mut lines = BufReader::new(process.stdout.take().context("standard output is piped")?).lines();
        let line = timeout(Duration::from_secs(10), lines.next_line()).await??;
        Ok(Self { address: line.context("the bare server does not start")?.parse()?, _process: process })
    }
}
