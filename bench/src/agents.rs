//! Many simulated agents in one process: idle sessions with heartbeats, which answer questions with a constant.

pub(crate) mod bad;
pub(crate) mod process;
pub(crate) mod session;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, BufReader, stdin},
    sync::{Semaphore, mpsc},
    task::JoinSet,
};

use crate::system::Credentials;
use bad::Harm;
use session::{Manner, Session};

/// Fewer than the ports that one address has for connections of its own.
const SESSIONS_OF_AN_ADDRESS: usize = 20_000;

/// What a process of simulated agents is told.
#[derive(Args, Debug)]
pub(crate) struct AgentsArgs {
    #[arg(long)]
    onboarding: SocketAddr,
    /// A file with the agents' ids and keys, as JSON.
    #[arg(long)]
    file: PathBuf,
    /// So many connect at a time.
    #[arg(long, default_value = "64")]
    at_a_time: usize,
    /// They do harm in this way.
    #[arg(long)]
    harm: Option<Harm>,
}

/// What the process says once all are connected, and once more at its end.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Told {
    /// Sessions that are open.
    pub(crate) open: usize,
    /// How long connecting took.
    pub(crate) seconds: f64,
    /// Why the first one that has ended did.
    pub(crate) ended: Option<String>,
}

/// Connects them all, and serves until nobody holds its standard input any more.
#[tokio::main]
pub(crate) async fn run(args: &AgentsArgs) -> Result<()> {
    let credentials: Vec<Credentials> = serde_json::from_slice(&std::fs::read(&args.file)?)?;
    let (places, count) = (Arc::new(Semaphore::new(args.at_a_time)), credentials.len());
    let (onboarding, harm, start) = (args.onboarding, args.harm, Instant::now());
    let (opened, mut openings) = mpsc::channel(count.max(1));
    let mut serving = JoinSet::new();
    for (number, credentials) in credentials.into_iter().enumerate() {
        let place = Arc::clone(&places).acquire_owned().await?;
        let opened = opened.clone();
        // Each is served from the moment it is open: connecting them all may take longer than one may be silent.
        serving.spawn(async move {
            let session = Session::open(onboarding, source(number)?, &credentials).await?;
            drop(place);
            opened.send(()).await?;
            drop(opened);
            match harm {
                Some(harm) => bad::harm(onboarding, source(number)?, &credentials, session, harm).await,
                None => session.serve(Manner::Prompt).await,
            }
        });
    }
    drop(opened);
    for number in 0..count {
        openings.recv().await.with_context(|| format!("only {number} of {count} connect"))?;
    }
    let seconds = start.elapsed().as_secs_f64();
    tell(&mut serving, seconds)?;
    // The pages that connecting took are not what idle sessions need.
    let mut lines = BufReader::new(stdin()).lines();
    while lines.next_line().await?.is_some() {}
    tell(&mut serving, seconds)
}

fn tell(serving: &mut JoinSet<Result<()>>, seconds: f64) -> Result<()> {
    let mut ended = None;
    while let Some(done) = serving.try_join_next() {
        let why = done.context("a session's task has ended")?;
        ended.get_or_insert_with(|| why.map_or_else(|error| error.to_string(), |()| "closed".to_owned()));
    }
    println!("{}", serde_json::to_string(&Told { open: serving.len(), seconds, ended })?);
    Ok(())
}

/// Another address of this machine for every so many sessions, so that there are ports for all.
fn source(number: usize) -> Result<Ipv4Addr> {
    Ok(Ipv4Addr::new(127, 0, 0, u8::try_from(1 + number / SESSIONS_OF_AN_ADDRESS)?))
}

/// How often each agent pings, as real ones do.
pub(crate) const PING: Duration = Duration::from_secs(15);
