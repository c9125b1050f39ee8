//! `bench replicas`: what it costs that a replica of onboarding dies, and that all agents are dropped at once.

mod callers;
mod crowd;

use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use testkit::Balancer;
use tokio::time::sleep;

use crate::{
    descriptors, machine,
    program::Program,
    scrape::Metrics,
    sessions::make_clusters,
    stats::{Figures, ms, verdict},
    system::{Credentials, Options, System},
    table,
};
use callers::{Asked, Callers};
use crowd::Crowd;
pub(crate) use crowd::{CrowdArgs, run as play_agents};

/// By then agents that have lost their session have one again, on two cores.
const TARGET_BACK: Duration = Duration::from_secs(15);
/// So many times its usual a healthy agent's p99 may be while others come back.
const TARGET_P99: f64 = 2.0;
/// Far longer than it may take, so that it is known how long it does.
const PATIENCE: Duration = Duration::from_secs(120);
/// Agents that stay connected through all of it, and whose queries are measured.
const HEALTHY: usize = 100;

/// What can be chosen.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReplicasArgs {
    /// How many replicas; may be repeated [default: 1, 2 and 3]
    #[arg(long)]
    replicas: Vec<usize>,
    /// Agents of the replica that is killed
    #[arg(long, default_value = "2000")]
    agents: usize,
    /// Agents that are dropped at once
    #[arg(long, default_value = "5000")]
    storm: usize,
    /// Callers
    #[arg(long, default_value = "8")]
    callers: usize,
    /// Queries in a second, of all callers together
    #[arg(long, default_value = "200")]
    rate: u32,
    /// Seconds that are measured before and after
    #[arg(long, default_value = "10")]
    seconds: u64,
    /// How often they are dropped; the median is told
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
}

/// What was seen with so many replicas.
struct Row {
    replicas: usize,
    killed: Phase,
    dropped: Storm,
}

/// All agents come back at once.
struct Storm {
    phase: Phase,
    /// Transactions in a second that the database has committed meanwhile.
    commits: f64,
    /// Keys that user-auth has verified in a second meanwhile.
    verified: f64,
}

impl Storm {
    /// How many times its usual the p99 of healthy agents was meanwhile.
    fn slower(&self) -> f64 {
        let [before, meanwhile, _] = &self.phase.figures;
        meanwhile.p99_us / before.p99_us.max(1.0)
    }
}

/// Something that happens to agents.
struct Phase {
    /// How many.
    agents: usize,
    /// Until all have a session again.
    back: Duration,
    /// Queries to the agents that it happens to: how many failed, by kind.
    failed: BTreeMap<String, usize>,
    /// The slowest of those.
    slowest: Duration,
    /// Failed queries to the other agents.
    of_others: usize,
    /// Queries to the other agents before, meanwhile and afterwards.
    figures: [Figures; 3],
}

/// Measures and prints.
pub(crate) async fn run(args: ReplicasArgs) -> Result<()> {
    // Each agent is a socket of its own, and two of the balancer.
    descriptors::allow(3 * args.storm.max(3 * args.agents))?;
    machine::print().await?;
    println!(
        "bench replicas: a replica with {} agents is killed under {} queries/s, then {} agents are dropped at once\n",
        args.agents, args.rate, args.storm
    );
    let counts = if args.replicas.is_empty() { vec![1, 2, 3] } else { args.replicas.clone() };
    let mut rows = Vec::new();
    for replicas in counts {
        println!("{replicas} replica(s)");
        rows.push(measure(&args, replicas).await.with_context(|| format!("with {replicas} replica(s)"))?);
    }
    print(&rows);
    Ok(())
}

/// The replicas, and the agents that stay as they are.
struct Scene<'a> {
    args: &'a ReplicasArgs,
    directory: &'a Path,
    system: System,
    replicas: Vec<Program>,
    agents: Vec<Credentials>,
    healthy: Vec<Credentials>,
}

async fn measure(args: &ReplicasArgs, count: usize) -> Result<Row> {
    let directory = tempfile::tempdir()?;
    let system = System::start(directory.path(), Options::default()).await?;
    let needed = args.storm.max(args.agents * count);
    let mut agents = make_clusters(&system, needed + HEALTHY).await?;
    let healthy = agents.split_off(needed);
    let mut scene =
        Scene { args, directory: directory.path(), system, replicas: Vec::new(), agents, healthy };
    // All are alike: the one that has made the clusters is not among them.
    for _ in 0..count {
        scene.replicas.push(scene.system.join(scene.directory).await?);
    }
    scene.system.onboarding.kill().await?;
    let killed = scene.kill().await?;
    let dropped = scene.drop_all().await?;
    Ok(Row { replicas: count, killed, dropped })
}

impl Scene<'_> {
    async fn addresses(&self) -> Result<Vec<SocketAddr>> {
        let mut addresses = Vec::new();
        for replica in &self.replicas {
            addresses.push(replica.address().await?);
        }
        Ok(addresses)
    }

    /// Kills the first replica. With only one, another is started at once, as an orchestrator does.
    async fn kill(&mut self) -> Result<Phase> {
        let agents = &self.agents[..self.args.agents * self.replicas.len()];
        let mut crowd = Crowd::start(self.directory, agents, self.addresses().await?, PATIENCE).await?;
        let held = self.held_by_first().await?;
        let callers = Callers::start(&self.system, agents, self.args.callers, self.args.rate);
        sleep(Duration::from_secs(self.args.seconds)).await;

        println!("one is killed");
        let died = Instant::now();
        self.replicas.remove(0).kill().await?;
        let was_alone = self.replicas.is_empty();
        if was_alone {
            self.replicas.push(self.system.join(self.directory).await?);
        }
        crowd.balance(self.addresses().await?).await?;
        crowd.until_fewer(agents.len(), PATIENCE).await?;
        crowd.until_all_connected(PATIENCE).await?;
        let back = died.elapsed();
        sleep(Duration::from_secs(self.args.seconds)).await;
        if !was_alone {
            self.replicas.push(self.system.join(self.directory).await?);
        }
        crowd.end()?;
        Ok(phase(&callers.stop(), &held, died, back))
    }

    /// The agents of the first replica.
    async fn held_by_first(&self) -> Result<HashSet<String>> {
        let address = self.replicas[0].log()?;
        let said = address.lines().rev().find(|line| line.contains("the other replicas know of this one"));
        let said: serde_json::Value = serde_json::from_str(said.context("the first has no address")?)?;
        let held: Vec<String> = sqlx::query_scalar("SELECT agent_id FROM agent_sessions WHERE replica = $1")
            .bind(said["address"].as_str())
            .fetch_all(self.system.store().await?.pool())
            .await?;
        Ok(held.into_iter().collect())
    }

    /// Drops all agents but the healthy ones, again and again, and tells of the median.
    async fn drop_all(&self) -> Result<Storm> {
        let agents = &self.agents[..self.args.storm];
        let balancer = Balancer::start(self.addresses().await?).await?;
        let healthy =
            testkit::Crowd::start(balancer.address(), self.healthy.iter().map(crowd::identity).collect());
        healthy.until_connected(self.healthy.len(), PATIENCE).await?;
        let mut crowd = Crowd::start(self.directory, agents, self.addresses().await?, PATIENCE).await?;
        let mut storms = Vec::new();
        for round in 1..=self.args.rounds {
            println!("all are dropped, round {round} of {}", self.args.rounds);
            storms.push(self.storm(&mut crowd).await?);
        }
        ensure!(healthy.lost() == 0, "{} healthy agents were lost", healthy.lost());
        crowd.end()?;
        storms.sort_by(|a, b| a.slower().total_cmp(&b.slower()));
        Ok(storms.swap_remove(storms.len() / 2))
    }

    async fn storm(&self, crowd: &mut Crowd) -> Result<Storm> {
        let callers = Callers::start(&self.system, &self.healthy, self.args.callers, self.args.rate);
        sleep(Duration::from_secs(self.args.seconds)).await;
        let counted = (self.commits().await?, self.verified().await?);
        let began = Instant::now();
        crowd.cut().await?;
        crowd.until_fewer(self.args.storm / 10, PATIENCE).await?;
        crowd.until_all_connected(PATIENCE).await?;
        let back = began.elapsed();
        let seconds = back.as_secs_f64();
        let commits = (self.commits().await? - counted.0) / seconds;
        let verified = (self.verified().await? - counted.1) / seconds;
        sleep(Duration::from_secs(self.args.seconds)).await;
        let dropped = self.agents[..self.args.storm].iter().map(|agent| agent.agent_id.clone()).collect();
        Ok(Storm { phase: phase(&callers.stop(), &dropped, began, back), commits, verified })
    }

    /// How many transactions the database has committed so far.
    async fn commits(&self) -> Result<f64> {
        let store = self.system.store().await?;
        let commits: i64 = sqlx::query_scalar(
            "SELECT CAST(xact_commit AS BIGINT) FROM pg_stat_database WHERE datname = current_database()",
        )
        .fetch_one(store.pool())
        .await?;
        Ok(commits as f64)
    }

    /// How many keys user-auth has verified so far.
    async fn verified(&self) -> Result<f64> {
        let metrics = Metrics::of(self.system.user_auth.address().await?).await?;
        Ok(metrics.sum("bus_served_total", "auth_requests").unwrap_or_default())
    }
}

fn phase(asked: &[Asked], held: &HashSet<String>, at: Instant, back: Duration) -> Phase {
    let (own, others): (Vec<&Asked>, Vec<&Asked>) =
        asked.iter().partition(|asked| held.contains(&asked.agent_id));
    let mut failed = BTreeMap::new();
    for kind in own.iter().filter_map(|asked| asked.failure.clone()) {
        *failed.entry(kind).or_default() += 1;
    }
    let slowest = own.iter().filter(|asked| asked.failure.is_some()).map(|asked| asked.took).max();
    let figures = |during: &dyn Fn(Instant) -> bool| {
        let times = others.iter().filter(|asked| during(asked.began)).map(|asked| asked.took).collect();
        Figures::of(times, 0, back)
    };
    // With one replica there are no others, and the agents are those that come back.
    Phase {
        agents: held.len(),
        back,
        failed,
        slowest: slowest.unwrap_or_default(),
        of_others: others.iter().filter(|asked| asked.failure.is_some()).count(),
        figures: [
            figures(&|began| began < at),
            figures(&|began| began >= at && began < at + back),
            figures(&|began| began >= at + back),
        ],
    }
}

fn print(rows: &[Row]) {
    let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    let cells = |row: &Row, phase: &Phase| {
        let [before, during, after] = phase.figures.map(|figures| match figures.requests {
            0 => "–".to_owned(),
            _ => ms(figures.p99_us),
        });
        let kinds = phase.failed.iter().map(|(kind, count)| format!("{count} × {kind}"));
        let failed: Vec<String> = kinds.collect();
        let failed = if failed.is_empty() { "none".to_owned() } else { failed.join(", ") };
        let own = format!("{failed} (slowest {})", ms(phase.slowest.as_secs_f64() * 1e6));
        vec![
            row.replicas.to_string(),
            phase.agents.to_string(),
            seconds(phase.back),
            own,
            phase.of_others.to_string(),
            before,
            during,
            after,
        ]
    };
    let heads = ["replicas", "agents", "back after", "failed", "of others", "p99 before", "during", "after"];
    println!("\na replica is killed; queries to agents of others beside it");
    table::print(&heads, &rows.iter().map(|row| cells(row, &row.killed)).collect::<Vec<_>>());
    println!(
        "all agents are dropped; queries to {HEALTHY} healthy ones beside it (the median of the rounds)"
    );
    table::print(&heads, &rows.iter().map(|row| cells(row, &row.dropped.phase)).collect::<Vec<_>>());
    for Row { replicas, killed, dropped } in rows {
        let (slower, back) = (dropped.slower(), dropped.phase.back);
        let Storm { commits, verified, .. } = dropped;
        println!(
            "{replicas}: back after {} and {} (target {} s): {}; healthy p99 {slower:.2} times its usual (target {TARGET_P99}): {}; \
             meanwhile {commits:.0} transactions/s, {verified:.0} keys verified/s",
            seconds(killed.back),
            seconds(back),
            TARGET_BACK.as_secs(),
            verdict(killed.back.max(back) <= TARGET_BACK),
            verdict(slower <= TARGET_P99),
        );
    }
    println!();
}
