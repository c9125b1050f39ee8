//! The service's settings.

use clap::{Args, Parser};
use web::config::{AuthArgs, BusArgs, LogArgs, RateLimitArgs, ServerArgs};

/// Queries of users to their clusters.
#[derive(Clone, Debug, Parser)]
#[command(name = "cluster", version)]
#[expect(missing_docs, reason = "each field is the settings of its name")]
pub struct Config {
    #[command(flatten)]
    pub server: ServerArgs<8008>,
    #[command(flatten)]
    pub bus: BusArgs,
    #[command(flatten)]
    pub auth: AuthArgs,
    #[command(flatten)]
    pub rate_limit: RateLimitArgs,
    #[command(flatten)]
    pub queries: QueryArgs,
    #[command(flatten)]
    pub log: LogArgs,
}

/// How agents are asked.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Queries")]
pub struct QueryArgs {
    /// Seconds that an agent may take to answer
    #[arg(long, env = "WEBSOCKET_TIMEOUT", default_value = "30", value_parser = clap::value_parser!(u64).range(1..=600))]
    pub websocket_timeout: u64,
}
