//! The agent's own process.

use std::process::ExitCode;

use clap::Parser;
use web::config::{LogArgs, ServerArgs};

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

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    web::telemetry::init(&cli.log)?;
    let shutdown = web::Shutdown::new();
    agent::start(cli.agent.check()?, &cli.server.server_config(), &shutdown).await?;
    Ok(shutdown.run_until_done().await?.into())
}
