//! The load on a service: so many connections, each with one request at a time.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::Args;
use tokio::task::JoinSet;

use crate::{
    client::{self, Client},
    measure::{Timeline, report},
    stats::Figures,
    system::contains,
};

/// What a process that makes load is told.
#[derive(Args, Clone, Debug)]
pub(crate) struct LoadArgs {
    #[arg(long)]
    address: SocketAddr,
    #[arg(long)]
    path: String,
    /// What each answer must hold.
    #[arg(long)]
    expect: String,
    #[arg(long)]
    connections: usize,
    #[arg(long, env = "API_KEY", hide_env_values = true)]
    api_key: String,
    #[command(flatten)]
    timeline: Timeline,
}

/// Makes the load and prints the figures.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(args: &LoadArgs) -> Result<()> {
    let mut clients = Vec::new();
    for _ in 0..args.connections {
        clients.push(Client::connect(args.address).await?);
    }
    let (from, until) = args.timeline.begin();
    let mut tasks = JoinSet::new();
    for client in clients {
        tasks.spawn(ask(client, args.clone(), from, until));
    }
    args.timeline.measuring(from).await?;
    let (mut times, mut wrong) = (Vec::new(), 0);
    while let Some(asked) = tasks.join_next().await {
        let (of_one, wrong_ones) = asked.context("a connection's task has ended")??;
        times.extend(of_one);
        wrong += wrong_ones;
    }
    report(Figures::of(times, wrong, until - from))
}

async fn ask(
    mut client: Client,
    args: LoadArgs,
    from: Instant,
    until: Instant,
) -> Result<(Vec<Duration>, u64)> {
    let request = client::get(args.address, &args.path, &args.api_key);
    let (mut times, mut wrong) = (Vec::new(), 0);
    let mut body = Vec::new();
    loop {
        let start = Instant::now();
        if start >= until {
            return Ok((times, wrong));
        }
        match client.ask(&request, &mut body).await {
            Ok(answer) if answer.status == 200 && contains(&body, &args.expect) => {
                let end = Instant::now();
                if start >= from && end <= until {
                    times.push(end - start);
                }
            }
            Ok(_) => wrong += 1,
            Err(_) => {
                wrong += 1;
                client = Client::connect(args.address).await?;
            }
        }
    }
}
