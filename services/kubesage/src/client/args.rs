//! What the client is told on the command line.

mod stored;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use secrecy::SecretString;
use url::Url;
use web::config::secret;

pub(crate) use stored::{AddArgs, AuditArgs, CredentialArgs, KubectlArgs, StoredCommand, UpdateArgs};

/// The exit codes, for `--help`.
pub(crate) const EXIT_CODES: &str = "Exit codes of the commands that ask a running Kubesage:
  0  done
  1  something else failed, or not all of it could be done
  2  the command line, a value on it or the profile is wrong
  3  the API key is not known or may not do this, or the cluster does not allow it
  4  there is no such thing
  5  Kubesage, the cluster's agent or the cluster cannot be reached right now, or too much was asked
  6  the cluster did not connect within the time
`kubesage kubectl` ends with kubectl's own exit code, or with 124 where kubectl took too long.";

#[derive(Subcommand)]
pub(crate) enum ClientCommand {
    /// Your clusters: list, show, verify and delete those that have an agent; add, use and remove those without one
    Clusters(ClustersArgs),
    /// Connect a cluster: print the script that installs its agent, and wait until the agent is there
    Connect(ConnectArgs),
    /// Namespaces of a cluster
    Namespaces(ListArgs),
    /// Nodes of a cluster
    Nodes(ListArgs),
    /// Pods of a cluster
    Pods(PodsArgs),
    /// The last lines of a pod's log
    Logs(LogsArgs),
    /// What a cluster costs, by namespace; and enter what its resources cost
    Costs(CostsArgs),
    /// The keys of a cluster's agent: list, create and revoke them
    Keys(KeysArgs),
    /// Run a kubectl command on a cluster that was added without an agent
    Kubectl(KubectlArgs),
    /// What has happened to what is yours, newest first
    Audit(AuditArgs),
    /// Which Kubesage is asked, with which key: list, set, use and remove profiles
    Profiles(ProfilesArgs),
}

/// Whom to ask, and how to show the answer.
#[derive(Args, Clone)]
#[command(next_help_heading = "Client")]
pub(crate) struct ClientArgs {
    /// Profile of the config file; without it: the current one
    #[arg(long, env = "KUBESAGE_PROFILE", global = true)]
    pub(crate) profile: Option<String>,

    /// Address of Kubesage, instead of the profile's
    #[arg(long, env = "KUBESAGE_URL", global = true)]
    pub(crate) url: Option<Url>,

    /// Address of the onboarding service, where it has one of its own
    #[arg(long, env = "KUBESAGE_ONBOARDING_URL", global = true)]
    pub(crate) onboarding_url: Option<Url>,

    /// API key, ks_…; give it as an environment variable or in a profile: arguments can be seen by other processes
    #[arg(long, env = "KUBESAGE_API_KEY", hide_env_values = true, value_parser = secret, global = true)]
    pub(crate) api_key: Option<SecretString>,

    /// Ask without TLS another machine than this one: the key can then be read on the way
    #[arg(long, env = "KUBESAGE_ALLOW_INSECURE", global = true)]
    pub(crate) allow_insecure: bool,

    /// A table for people, or JSON for programs
    #[arg(long, short, value_enum, default_value_t, global = true)]
    pub(crate) output: Format,
}

/// How answers are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    #[default]
    Table,
    Json,
}

#[derive(Args)]
pub(crate) struct ClustersArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ClustersCommand>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Subcommand)]
pub(crate) enum ClustersCommand {
    /// All that have an agent (the default), or those that were added without one
    List {
        /// Those that were added without an agent: Kubesage stores credentials for them
        #[arg(long)]
        stored: bool,
    },
    /// One that has an agent, with what comes next
    Show {
        /// Its name or id
        cluster: String,
    },
    /// Whether its agent is connected, and why not
    Verify {
        /// Its name or id
        cluster: String,
    },
    /// Delete one that has an agent: the agent's keys are revoked and its session is closed
    Delete {
        /// Its name or id
        cluster: String,
    },
    #[command(flatten)]
    Stored(StoredCommand),
}

impl Default for ClustersCommand {
    fn default() -> Self {
        Self::List { stored: false }
    }
}

#[derive(Args)]
pub(crate) struct ConnectArgs {
    /// Who runs the cluster
    #[arg(long, value_parser = ["eks", "aks", "gke", "openshift", "kops", "other"])]
    pub(crate) provider: String,

    /// What you call the cluster; one of this name that is there already gets a new script
    #[arg(long)]
    pub(crate) name: String,

    /// What the agent may do beyond reading the basic kinds
    #[arg(long, value_delimiter = ',', value_parser = ["logs", "usage", "analysis"])]
    pub(crate) features: Vec<String>,

    /// Write the script to this file instead of standard output
    #[arg(long)]
    pub(crate) script: Option<PathBuf>,

    /// Seconds to wait for the agent; 0 only prints the script
    #[arg(long, default_value = "600")]
    pub(crate) timeout: u64,

    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// Which cluster.
#[derive(Args, Clone)]
pub(crate) struct ClusterArg {
    /// Name or id of the cluster; without it: your only one
    #[arg(long, env = "KUBESAGE_CLUSTER", global = true)]
    pub(crate) cluster: Option<String>,
}

#[derive(Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) cluster: ClusterArg,
    #[command(flatten)]
    pub(crate) selection: Selection,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// What narrows a list.
#[derive(Args, Clone, Default)]
pub(crate) struct Selection {
    /// Only objects with these labels, as kubectl takes them
    #[arg(long, short = 'l')]
    pub(crate) selector: Option<String>,

    /// At most so many
    #[arg(long)]
    pub(crate) limit: Option<u32>,
}

#[derive(Args)]
pub(crate) struct PodsArgs {
    /// Only of this namespace
    #[arg(long, short)]
    pub(crate) namespace: Option<String>,
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

#[derive(Args)]
pub(crate) struct LogsArgs {
    /// The pod
    pub(crate) pod: String,

    /// Its namespace
    #[arg(long, short, default_value = "default")]
    pub(crate) namespace: String,

    /// Its container; without it: its only one
    #[arg(long, short)]
    pub(crate) container: Option<String>,

    /// So many of the last lines
    #[arg(long, default_value = "100")]
    pub(crate) lines: u32,

    #[command(flatten)]
    pub(crate) cluster: ClusterArg,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Args)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    pub(crate) command: Option<KeysCommand>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArg,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Subcommand, Default)]
pub(crate) enum KeysCommand {
    /// Those that can be used (the default)
    #[default]
    List,
    /// Make a further one and print it, this once; two can be used at a time
    Create,
    /// Revoke one; a session that it opened is closed
    Revoke {
        /// Its id
        key: String,
    },
}

#[derive(Args)]
pub(crate) struct CostsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<CostsCommand>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArg,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Subcommand, Default)]
pub(crate) enum CostsCommand {
    /// By namespace (the default)
    #[default]
    Show,
    /// Enter what resources cost, in dollars; what is left out is unknown
    Set {
        /// A processor for an hour
        #[arg(long)]
        cpu: Option<f64>,
        /// A GiB of memory for an hour
        #[arg(long)]
        memory: Option<f64>,
        /// A GiB of storage for an hour
        #[arg(long)]
        storage: Option<f64>,
        /// A GiB of incoming traffic
        #[arg(long)]
        ingress: Option<f64>,
        /// A GiB of outgoing traffic
        #[arg(long)]
        egress: Option<f64>,
    },
}

#[derive(Args)]
pub(crate) struct ProfilesArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ProfilesCommand>,
}

#[derive(Subcommand, Default)]
pub(crate) enum ProfilesCommand {
    /// All of them (the default)
    #[default]
    List,
    /// Make or change one; the API key is read from standard input
    Set {
        /// Its name
        name: String,
        /// Address of Kubesage
        #[arg(long)]
        url: Url,
        /// Address of the onboarding service, where it has one of its own
        #[arg(long)]
        onboarding_url: Option<Url>,
    },
    /// Make one the current one
    Use {
        /// Its name
        name: String,
    },
    /// Remove one
    Remove {
        /// Its name
        name: String,
    },
}
