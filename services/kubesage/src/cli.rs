//! The command line.

use std::{net::IpAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use secrecy::SecretString;
use sim::Seed;
use web::config::{LogArgs, RateLimitArgs, TlsArgs, port, secret};

use crate::{
    client::{ClientCommand, EXIT_CODES},
    drain::DrainArgs,
};

/// Reach, understand, provision and cheapen many Kubernetes clusters from one place
#[derive(Parser)]
#[command(name = "kubesage", version, args_conflicts_with_subcommands = true, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) up: UpArgs,
}

#[derive(Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one of them")]
pub(crate) enum Command {
    /// Run every service in one process, with an agent on a simulated or a real cluster (the default)
    Up(UpArgs),
    /// Run the simulated cluster alone
    Sim(SimArgs),
    #[command(flatten)]
    Client(ClientCommand),
    /// Drain a node of the cluster that a kubeconfig names, as kubectl does, with a forecast and a report
    Drain(DrainArgs),
    /// Print what a shell completes the command line with: source it, or put it where your shell looks
    Completions {
        /// For which shell
        shell: Shell,
    },
}

#[derive(Args, Clone)]
pub(crate) struct UpArgs {
    /// Address to listen on
    #[arg(long, env = "HOST", default_value = "127.0.0.1")]
    pub(crate) host: String,

    /// Port to listen on; 0 takes any free one
    #[arg(long, env = "PORT", default_value = "8008", value_parser = port)]
    pub(crate) port: u16,

    /// Directory for databases, keys and the demo's kubeconfig; kept between runs
    #[arg(long, env = "DATA_DIR", default_value = ".kubesage")]
    pub(crate) data_dir: PathBuf,

    /// Message broker: memory: or amqp://user:password@host:5672/vhost
    #[arg(long, env = "BUS_URL", default_value = "memory:", hide_env_values = true, value_parser = secret)]
    pub(crate) bus_url: SecretString,

    /// Put before the name of every queue and exchange, so that several systems can share a broker
    #[arg(long, env = "QUEUE_PREFIX", default_value = "")]
    pub(crate) queue_prefix: String,

    /// Database: sqlite:DIRECTORY/ or postgres://…; each service has a file or a schema of its own in it.
    /// Without it: SQLite in the data directory
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_parser = secret)]
    pub(crate) database_url: Option<SecretString>,

    /// Key that seals secrets at rest: 32 bytes in base64, or id:key[,id:key…] while rotating. Without it: a key in a file of the data
    /// directory
    #[arg(long, env = "SECRETS_KEY", hide_env_values = true, value_parser = secret)]
    pub(crate) secrets_key: Option<SecretString>,

    /// Put the agent on the real cluster of this kubeconfig, instead of a simulated one
    #[arg(long)]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig; without it: its current one
    #[arg(long, requires = "kubeconfig")]
    pub(crate) context: Option<String>,

    #[command(flatten)]
    pub(crate) tls: TlsArgs,

    #[command(flatten)]
    pub(crate) queries: cluster::QueryArgs,

    #[command(flatten)]
    pub(crate) stored: cluster::StoredArgs,

    #[command(flatten)]
    pub(crate) kubectl: cluster::KubectlArgs,

    #[command(flatten)]
    pub(crate) audit: cluster::AuditArgs,

    #[command(flatten)]
    pub(crate) agents: onboarding::AgentArgs,

    #[command(flatten)]
    pub(crate) aws: onboarding::AwsArgs,

    #[command(flatten)]
    pub(crate) operations: optimizer::OperationArgs,

    #[command(flatten)]
    pub(crate) rate_limit: RateLimitArgs,

    #[command(flatten)]
    pub(crate) log: LogArgs,
}

#[derive(Args, Clone)]
pub(crate) struct SimArgs {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: IpAddr,

    /// Port to listen on; 0 takes any free one
    #[arg(long, default_value = "0", value_parser = port)]
    pub(crate) port: u16,

    /// Where to write a kubeconfig for the simulated cluster's administrator
    #[arg(long, default_value = "simulated.kubeconfig")]
    pub(crate) kubeconfig_out: PathBuf,

    /// What is in the cluster at first: shop, broken, empty or NODESxPODS
    #[arg(long, default_value = "shop")]
    pub(crate) seed: Seed,

    /// Directory that keeps the cluster for the next start, also when the process is killed; without it, it is gone then
    #[arg(long)]
    pub(crate) state_dir: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) log: LogArgs,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_subcommand_means_up() {
        let cli = Cli::parse_from(["kubesage", "--port", "9000"]);
        assert!(cli.command.is_none());
        assert_eq!(cli.up.port, 9000);
    }
}
