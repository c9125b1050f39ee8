//! The agent's own process.

use std::process::ExitCode;

use clap::Parser;
use web::{
    Shutdown,
    config::{LogArgs, ServerArgs},
    process::{self, Workers},
};

/// Kubesage's agent: runs in a cluster, read-only, dials home and answers queries
#[derive(Parser)]
#[command(name = "agent", version)]
struct Cli {
    #[command(flatten)]
    agent: agent::Settings,
    #[command(flatten)]
    server: ServerArgs<8080>,
    #[command(flatten)]
    log: LogArgs,
}

/// Requests are many small pieces of memory, which the system's allocator takes a fifth of the time to give and take.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    process::run(&cli.log.clone(), Workers::HalfTheCores, async {
        let shutdown = Shutdown::on_signals()?;
        agent::start(cli.agent.check()?, &cli.server.server_config(), &shutdown).await?;
        Ok(shutdown.run_until_done().await)
    })
}
