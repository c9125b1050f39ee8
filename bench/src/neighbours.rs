//! `bench neighbours`: what a session that does harm costs the others.

use std::{net::SocketAddr, path::Path, slice, time::Duration};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    agents::{bad::Harm, process::Agents},
    client::{self, Client},
    machine,
    queries::Queries,
    scrape::Metrics,
    stats::{self, Figures, ms, verdict},
    system::{Credentials, Options, System},
    table,
};

/// The p99 of the others does not double.
const TARGET: f64 = 2.0;
/// Agents that do no harm.
const GOOD: usize = 10;
/// Those who ask the one that does harm, one question after the other.
const ASKERS: usize = 2;
/// Seconds that an agent is given: short, so that its askers come back often.
const PATIENCE_SECONDS: u32 = 3;
/// Between two queries to the others.
const EVERY: Duration = Duration::from_millis(5);

/// What can be chosen.
#[derive(Args, Clone, Debug)]
pub(crate) struct NeighboursArgs {
    /// Each figure is the median of so many rounds
    #[arg(long, default_value = "3")]
    rounds: usize,
    /// Seconds of a round, without the harm and again with it
    #[arg(long, default_value = "8")]
    seconds: u64,
}

/// The others without the harm and with it.
struct Round {
    quiet: Figures,
    beside: Figures,
    /// Sessions that onboarding has ended.
    ended: f64,
}

/// Measures and prints.
pub(crate) async fn run(args: NeighboursArgs) -> Result<()> {
    machine::print().await?;
    println!(
        "bench neighbours: queries to {GOOD} agents, beside one that does harm and is asked by {ASKERS}"
    );
    println!("medians of {} rounds of {} s\n", args.rounds, args.seconds);
    let directory = tempfile::tempdir()?;
    let options = Options { websocket_timeout: PATIENCE_SECONDS, ..Options::default() };
    let system = System::start(directory.path(), options).await?;
    let mut credentials = Vec::new();
    for number in 0..=GOOD {
        credentials.push(system.make_cluster(&format!("bench-{number}")).await?);
    }
    let (bad, good) = credentials.split_first().context("no agents")?;
    let (others, _) = Agents::start(directory.path(), system.addresses.onboarding, good, None).await?;
    let mut rows = Vec::new();
    for harm in Harm::value_variants() {
        println!("{harm:?}");
        let mut rounds = Vec::new();
        for _ in 0..args.rounds {
            let time = Duration::from_secs(args.seconds);
            rounds.push(Round::measure(directory.path(), &system, (bad, good), *harm, time).await?);
        }
        rows.push((*harm, rounds));
    }
    others.end().await?;
    println!();
    print(&rows);
    Ok(())
}

impl Round {
    async fn measure(
        directory: &Path,
        system: &System,
        (bad, good): (&Credentials, &[Credentials]),
        harm: Harm,
        time: Duration,
    ) -> Result<Self> {
        let queries = Queries::new(system, EVERY, "\"total_count\":1,");
        let mut next = good.iter().map(|agent| agent.agent_id.as_str()).cycle();
        let quiet = queries.within(time, || next.next().unwrap_or_default()).await?;
        let before = ended(system).await?;
        let onboarding = system.addresses.onboarding;
        let (doing, _) = Agents::start(directory, onboarding, slice::from_ref(bad), Some(harm)).await?;
        let mut asking = JoinSet::new();
        for _ in 0..ASKERS {
            asking.spawn(ask(system.addresses.cluster, system.api_key.clone(), bad.agent_id.clone()));
        }
        let beside = queries.within(time, || next.next().unwrap_or_default()).await?;
        let ended = ended(system).await? - before;
        drop(asking);
        doing.end().await?;
        Ok(Self { quiet, beside, ended })
    }
}

/// Asks again and again, whatever the answer.
async fn ask(cluster: SocketAddr, api_key: String, agent_id: String) {
    let path = format!("/api/v3.0/cluster/namespaces?agent_id={agent_id}");
    let (request, mut body) = (client::get(cluster, &path, &api_key), Vec::new());
    loop {
        if let Ok(mut client) = Client::connect(cluster).await {
            while client.ask(&request, &mut body).await.is_ok_and(|answer| answer.status == 200) {}
        }
        // It is not connected, or cannot answer.
        sleep(Duration::from_millis(20)).await;
    }
}

async fn ended(system: &System) -> Result<f64> {
    let metrics = Metrics::of(system.addresses.onboarding).await?;
    Ok(metrics.sum("agent_sessions_ended_total", "").unwrap_or_default())
}

fn print(rows: &[(Harm, Vec<Round>)]) {
    let median = |rounds: &[Round], of: &dyn Fn(&Round) -> f64| stats::median(rounds.iter().map(of));
    let mut worst: f64 = 0.0;
    let lines: Vec<_> = rows
        .iter()
        .map(|(harm, rounds)| {
            let times = median(rounds, &|round| round.beside.p99_us / round.quiet.p99_us);
            worst = worst.max(times);
            let of = |figures: &dyn Fn(&Round) -> Figures| {
                let p50 = median(rounds, &|round| figures(round).p50_us);
                format!("{}, {}", ms(p50), ms(median(rounds, &|round| figures(round).p99_us)))
            };
            vec![
                format!("{harm:?}"),
                of(&|round| round.quiet),
                of(&|round| round.beside),
                format!("{times:.2}"),
                format!("{:.0}", median(rounds, &|round| (round.quiet.wrong + round.beside.wrong) as f64)),
                format!("{:.0}", median(rounds, &|round| round.ended)),
            ]
        })
        .collect();
    table::print(
        &[
            "the one is",
            "others quiet: p50, p99",
            "beside it: p50, p99",
            "times",
            "failed",
            "its sessions ended",
        ],
        &lines,
    );
    println!(
        "\np99 of the others beside it: at most {worst:.2} times (target less than {TARGET}): {}\n",
        verdict(worst < TARGET)
    );
}
