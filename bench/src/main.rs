//! The system under load: `cargo xtask bench` and `cargo xtask soak`.
//!
//! Services, agent and simulated cluster run as processes of their own, on the RabbitMQ of `TEST_AMQP_URL` and the
//! PostgreSQL of `TEST_DATABASE_URL`. What makes load is a process too: this program, with a hidden subcommand.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its figures")]

mod agents;
mod bare;
mod client;
mod descriptors;
mod drain;
mod fetch;
mod load;
mod machine;
mod measure;
mod neighbours;
mod payload;
mod program;
mod queries;
mod raw;
mod relay;
mod replicas;
mod scrape;
mod sessions;
mod simulated;
mod soak;
mod stats;
mod system;
mod table;
mod usage;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand};

/// The system under load
#[derive(Parser)]
#[command(name = "bench")]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// How fast a query is, beside raw request/reply over the same broker
    Relay(relay::RelayArgs),
    /// What idle agent sessions cost: memory, processor time, and the queries beside them
    Sessions(sessions::SessionsArgs),
    /// Large answers, and a small query beside them on the same session
    Payload(payload::PayloadArgs),
    /// What a session that does harm costs the others
    Neighbours(neighbours::NeighboursArgs),
    /// Replicas of onboarding: one that is killed under load, and all agents dropped at once
    Replicas(replicas::ReplicasArgs),
    /// Copies of one node, drained by `kubesage drain` and by `kubectl drain`: what each takes, and whether they end alike
    Drain(drain::DrainArgs),
    /// `relay`, `sessions`, `payload` and `neighbours`, one after the other
    All,
    /// A day's trouble in minutes: nothing may be lost, and nothing left over
    Soak(soak::SoakArgs),
    #[command(hide = true)]
    Agents(agents::AgentsArgs),
    #[command(hide = true)]
    Crowd(replicas::CrowdArgs),
    #[command(hide = true)]
    Bare,
    #[command(hide = true)]
    Fetch(fetch::FetchArgs),
    #[command(hide = true)]
    Load(load::LoadArgs),
    #[command(hide = true)]
    Echo(raw::EchoArgs),
    #[command(hide = true)]
    Ask(raw::AskArgs),
}

fn main() -> ExitCode {
    let done = match Cli::parse().what {
        What::Agents(args) => agents::run(&args),
        What::Crowd(args) => replicas::play_agents(&args),
        What::Bare => bare::run(),
        What::Fetch(args) => fetch::run(&args),
        What::Load(args) => load::run(&args),
        What::Echo(args) => raw::echo(&args),
        What::Ask(args) => raw::ask(&args),
        measured => measure(measured),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn measure(what: What) -> Result<()> {
    // Another one that is installed is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let measured = async {
        match what {
            What::Relay(args) => relay::run(args).await,
            What::Sessions(args) => sessions::run(args).await,
            What::All => {
                relay::run(unchosen()?).await?;
                sessions::run(unchosen()?).await?;
                payload::run(unchosen()?).await?;
                neighbours::run(unchosen()?).await
            }
            What::Payload(args) => payload::run(args).await,
            What::Neighbours(args) => neighbours::run(args).await,
            What::Replicas(args) => replicas::run(args).await,
            What::Drain(args) => drain::run(args).await,
            What::Soak(args) => soak::run(args).await,
            What::Agents(_)
            | What::Crowd(_)
            | What::Bare
            | What::Fetch(_)
            | What::Load(_)
            | What::Echo(_)
            | What::Ask(_) => bail!("not here"),
        }
    };
    // What was started ends, and what was made on the servers is removed, when this is dropped.
    tokio::select! {
        done = measured => done,
        interrupted = tokio::signal::ctrl_c() => bail!("interrupted: {interrupted:?}"),
    }
}

/// What is measured when nothing is chosen: the flags' own defaults.
fn unchosen<A: Args>() -> Result<A> {
    let matches = A::augment_args(clap::Command::new("bench")).try_get_matches_from(["bench"])?;
    Ok(A::from_arg_matches(&matches)?)
}
