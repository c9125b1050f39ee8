//! The service's settings.

use std::{path::PathBuf, time::Duration};

use clap::{ArgAction, Args, Parser};
use cluster_access::Limits;

use web::{
    config::{AuthArgs, BusArgs, DatabaseArgs, LogArgs, RateLimitArgs, ServerArgs, boolean},
    in_flight::Bound,
};

use crate::kubectl_runs::Bounds;

/// Queries of users to their clusters, clusters by stored credentials, and the audit log.
#[derive(Clone, Debug, Parser)]
#[command(name = "cluster", version)]
#[expect(missing_docs, reason = "each field is the settings of its name")]
pub struct Config {
    #[command(flatten)]
    pub server: ServerArgs<8008>,
    #[command(flatten)]
    pub bus: BusArgs,
    #[command(flatten)]
    pub database: DatabaseArgs,
    #[command(flatten)]
    pub auth: AuthArgs,
    #[command(flatten)]
    pub rate_limit: RateLimitArgs,
    #[command(flatten)]
    pub queries: QueryArgs,
    #[command(flatten)]
    pub stored: StoredArgs,
    #[command(flatten)]
    pub kubectl: KubectlArgs,
    #[command(flatten)]
    pub audit: AuditArgs,
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

/// How clusters by stored credentials are asked.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Stored clusters")]
pub struct StoredArgs {
    /// Seconds that connecting to a cluster may take
    #[arg(long, env = "CLUSTER_CONNECT_TIMEOUT", default_value = "5", value_parser = clap::value_parser!(u64).range(1..=60))]
    pub cluster_connect_timeout: u64,

    /// Seconds that a cluster may take to answer
    #[arg(long, env = "CLUSTER_TIMEOUT", default_value = "30", value_parser = clap::value_parser!(u64).range(1..=600))]
    pub cluster_timeout: u64,

    /// Requests to one cluster that may be under way at once; further ones wait
    #[arg(long, env = "MAX_REQUESTS_PER_CLUSTER", default_value = "16", value_parser = clap::value_parser!(u16).range(1..))]
    pub max_requests_per_cluster: u16,

    /// Whether clusters may have link-local addresses and those of a cloud's metadata
    #[arg(long, env = "ALLOW_ANY_ADDRESS", default_value = "false", action = ArgAction::Set, value_parser = boolean)]
    pub allow_any_address: bool,
}

/// How `kubectl` is run for users.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "kubectl")]
pub struct KubectlArgs {
    /// The program: a path, or a name that is looked for in PATH
    #[arg(long, env = "KUBECTL", default_value = "kubectl")]
    pub kubectl: PathBuf,

    /// Whether commands may change clusters
    #[arg(long, env = "KUBECTL_WRITES", default_value = "false", action = ArgAction::Set, value_parser = boolean)]
    pub kubectl_writes: bool,

    /// Whether commands may show Secrets
    #[arg(long, env = "KUBECTL_SECRETS", default_value = "false", action = ArgAction::Set, value_parser = boolean)]
    pub kubectl_secrets: bool,

    /// Seconds after which a command is killed
    #[arg(long, env = "KUBECTL_TIMEOUT", default_value = "30", value_parser = clap::value_parser!(u64).range(1..=600))]
    pub kubectl_timeout: u64,

    /// KiB of a command's output that are kept; it is told when there were more
    #[arg(long, env = "KUBECTL_MAX_OUTPUT_KIB", default_value = "1024", value_parser = clap::value_parser!(u16).range(1..))]
    pub kubectl_max_output_kib: u16,

    /// MiB of memory that a command may take
    #[arg(long, env = "KUBECTL_MAX_MEMORY_MIB", default_value = "512", value_parser = clap::value_parser!(u16).range(64..))]
    pub kubectl_max_memory_mib: u16,

    /// Commands that may run at once; further ones are refused (503)
    #[arg(long, env = "MAX_KUBECTL", default_value = "16", value_parser = clap::value_parser!(u16).range(1..))]
    pub max_kubectl: u16,

    /// Commands of one user that may run at once; further ones are refused (429)
    #[arg(long, env = "MAX_KUBECTL_PER_USER", default_value = "4", value_parser = clap::value_parser!(u16).range(1..))]
    pub max_kubectl_per_user: u16,
}

impl QueryArgs {
    pub(crate) fn bound(&self) -> Bound {
        Bound {
            what: "requests",
            gauge: "queries_in_flight",
            max: (self.max_requests, "max_requests"),
            max_per_user: (self.max_requests_per_user, "max_requests_per_user"),
        }
    }
}

/// How the audit log is kept.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Audit log")]
pub struct AuditArgs {
    /// Days for which entries are kept
    #[arg(long, env = "AUDIT_DAYS", default_value = "400", value_parser = clap::value_parser!(u16).range(1..))]
    pub audit_days: u16,
}

impl StoredArgs {
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            connect: Duration::from_secs(self.cluster_connect_timeout),
            answer: Duration::from_secs(self.cluster_timeout),
            at_once: usize::from(self.max_requests_per_cluster),
            any_address: self.allow_any_address,
        }
    }
}

impl KubectlArgs {
    pub(crate) fn bound(&self) -> Bound {
        Bound {
            what: "commands",
            gauge: "kubectl_running",
            max: (self.max_kubectl, "max_kubectl"),
            max_per_user: (self.max_kubectl_per_user, "max_kubectl_per_user"),
        }
    }

    /// The program, where it is found in PATH now.
    pub(crate) fn program(&self) -> PathBuf {
        which::which(&self.kubectl).unwrap_or_else(|_| self.kubectl.clone())
    }

    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            timeout: self.timeout(),
            max_output: usize::from(self.kubectl_max_output_kib) << 10,
            max_memory: u64::from(self.kubectl_max_memory_mib) << 20,
        }
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.kubectl_timeout)
    }
}

impl AuditArgs {
    pub(crate) fn retention(&self) -> Duration {
        Duration::from_secs(u64::from(self.audit_days) * 24 * 3600)
    }
}

/// Implements `Default` as what the command line says when it says nothing.
macro_rules! default_is_nothing_said {
    ($($args:ty),*) => {$(
        impl Default for $args {
            /// What the command line says when it says nothing.
            fn default() -> Self {
                #[derive(Parser)]
                struct Nothing {
                    #[command(flatten)]
                    args: $args,
                }
                Nothing::parse_from([""]).args
            }
        }
    )*};
}

default_is_nothing_said!(QueryArgs, StoredArgs, KubectlArgs, AuditArgs);
