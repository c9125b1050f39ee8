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

    /// Queries that may be under way at once; further ones are refused (503)
    #[arg(long, env = "MAX_REQUESTS", default_value = "4096", value_parser = clap::value_parser!(u16).range(1..))]
    pub max_requests: u16,

    /// Queries of one user that may be under way at once; further ones are refused (429)
    #[arg(long, env = "MAX_REQUESTS_PER_USER", default_value = "1024", value_parser = clap::value_parser!(u16).range(1..))]
    pub max_requests_per_user: u16,
}

impl Default for QueryArgs {
    /// What the command line says when it says nothing.
    fn default() -> Self {
        #[derive(Parser)]
        struct Nothing {
            #[command(flatten)]
            queries: QueryArgs,
        }
        Nothing::parse_from([""]).queries
    }
}
