//! Large answers, read and checked by a process of its own.

use std::{
    collections::BTreeMap,
    io::Write,
    net::SocketAddr,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::{process::Command, task::JoinSet, time::sleep, time::timeout};

use crate::{
    client::{self, Client},
    stats::{median, micros},
};

/// Before asking again after a refusal.
const PAUSE: Duration = Duration::from_millis(200);
/// Eight of the largest answers at once take minutes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a process that fetches is told.
#[derive(Args, Clone, Debug)]
pub(crate) struct FetchArgs {
    #[arg(long)]
    address: SocketAddr,
    #[arg(long)]
    path: String,
    /// The answers' `total_count`; without it answers are not looked into.
    #[arg(long)]
    count: Option<u64>,
    #[arg(long)]
    at_once: usize,
    /// No answer is asked for later.
    #[arg(long)]
    seconds: f64,
    #[arg(long, env = "API_KEY", hide_env_values = true)]
    api_key: String,
}

/// What was fetched.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Fetched {
    pub(crate) answers: u64,
    pub(crate) bytes: u64,
    /// Until the last answer was read.
    pub(crate) seconds: f64,
    pub(crate) first_byte_us: f64,
    /// Refusals by code.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Answers that were not complete.
    pub(crate) wrong: u64,
}

/// Fetches and prints what was fetched.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(args: &FetchArgs) -> Result<()> {
    let start = Instant::now();
    let until = start + Duration::from_secs_f64(args.seconds);
    let mut fetching = JoinSet::new();
    for _ in 0..args.at_once {
        fetching.spawn(fetch(args.clone(), until));
    }
    let (mut all, mut firsts) = (Fetched::default(), Vec::new());
    while let Some(of_one) = fetching.join_next().await {
        let (of_one, first) = of_one??;
        all.answers += of_one.answers;
        all.bytes += of_one.bytes;
        all.wrong += of_one.wrong;
        for (code, times) in of_one.refused {
            *all.refused.entry(code).or_default() += times;
        }
        firsts.extend(first);
    }
    all.seconds = start.elapsed().as_secs_f64();
    all.first_byte_us = median(firsts);
    println!("{}", serde_json::to_string(&all)?);
    Ok(std::io::stdout().flush()?)
}

async fn fetch(args: FetchArgs, until: Instant) -> Result<(Fetched, Vec<f64>)> {
    let mut client = Client::connect(args.address).await?;
    let request = client::get(args.address, &args.path, &args.api_key);
    let (mut fetched, mut firsts, mut body) = (Fetched::default(), Vec::new(), Vec::new());
    while Instant::now() < until {
        match client.ask(&request, &mut body).await {
            Ok(answer) if answer.status == 200 && is_whole(&body, args.count) => {
                fetched.answers += 1;
                fetched.bytes += body.len() as u64;
                firsts.push(micros(answer.first_byte));
            }
            Ok(answer) if answer.status != 200 => {
                let code = code(&body).unwrap_or_else(|| format!("status {}", answer.status));
                *fetched.refused.entry(code).or_default() += 1;
                sleep(PAUSE).await;
            }
            // An answer that was begun and then broken off is one that is not whole.
            Ok(_) | Err(_) => {
                fetched.wrong += 1;
                client = Client::connect(args.address).await?;
                sleep(PAUSE).await;
            }
        }
    }
    Ok((fetched, firsts))
}

/// Whether it is a whole JSON object that says so many.
fn is_whole(body: &[u8], count: Option<u64>) -> bool {
    #[derive(Deserialize)]
    struct Counted {
        total_count: u64,
    }
    let Some(count) = count else {
        return true;
    };
    serde_json::from_slice::<Counted>(body).is_ok_and(|counted| counted.total_count == count)
}

fn code(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Problem {
        code: String,
    }
    serde_json::from_slice::<Problem>(body).ok().map(|problem| problem.code)
}

/// Has a process of its own fetch.
pub(crate) async fn fetched(
    (address, path, api_key): (SocketAddr, &str, &str),
    count: Option<u64>,
    at_once: usize,
    time: Duration,
) -> Result<Fetched> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["fetch", "--address", &address.to_string(), "--path", path]);
    command.args(["--at-once", &at_once.to_string(), "--seconds", &time.as_secs_f64().to_string()]);
    command.args(count.map(|count| format!("--count={count}")));
    command.env("API_KEY", api_key).stdout(Stdio::piped()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.spawn()?.wait_with_output()).await.context("too slow")??;
    ensure!(output.status.success(), "fetching has failed");
    Ok(serde_json::from_slice(&output.stdout)?)
}
