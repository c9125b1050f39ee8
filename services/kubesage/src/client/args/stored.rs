//! What is told of clusters by stored credentials.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use contracts::Timestamp;
use jiff::{Span, SpanRelativeTo};

use super::ClientArgs;

const ADD_EXAMPLES: &str = "Examples:
  kubesage clusters add --kubeconfig ~/.kube/config
  kubesage clusters add production --kubeconfig ~/.kube/config --context prod
  kubectl config view --raw --flatten | kubesage clusters add --kubeconfig -
  kubectl create token kubesage |
    kubesage clusters add prod --server https://203.0.113.7:6443 --ca-file ca.pem --token-file -";

const UPDATE_EXAMPLES: &str = "Examples:
  kubectl create token kubesage | kubesage clusters update prod --token-file -
  kubesage clusters update prod --server https://203.0.113.8:6443 --ca-file ca.pem --cert-file c.pem --key-file k.pem

The address, the authorities and the server's name stay as they are where they are not given; the token or client certificate is replaced.";

const KUBECTL_EXAMPLES: &str = "Examples:
  kubesage kubectl -- get pods -A -o wide
  kubesage kubectl --cluster prod -- logs deploy/web -n shop --tail 20

It ends with kubectl's exit code, with 124 where kubectl took too long, and with those of `kubesage --help` where kubectl was not run.
With `--output json` before the command, the answer tells the exit code and the time it took, too.";

const AUDIT_EXAMPLES: &str = "Examples:
  kubesage audit --since 24h
  kubesage audit --cluster prod --type cluster_kubectl_executed --limit 500";

/// Commands for clusters whose credentials are stored.
#[derive(Subcommand)]
pub(crate) enum StoredCommand {
    /// Add one without an agent, by credentials that Kubesage stores: those of a kubeconfig, or a token or a client certificate
    Add(Box<AddArgs>),
    /// Replace the credentials of one that was added, such as a token that has expired
    Update(Box<UpdateArgs>),
    /// Make one that was added the active one, which `kubesage kubectl` takes
    Use {
        /// Its name or id
        cluster: String,
    },
    /// Remove one that was added, with its credentials; the cluster itself stays as it is
    Remove {
        /// Its name or id
        cluster: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// The namespaces of one that was added
    Namespaces {
        /// Its name or id
        cluster: String,
    },
    /// Show the credentials of one that was added, which is noted in the audit log
    Credentials {
        /// Its name or id
        cluster: String,
    },
}

#[derive(Args)]
#[command(after_help = ADD_EXAMPLES)]
pub(crate) struct AddArgs {
    /// What you call it; of a kubeconfig, the only context's cluster, which is called as the context without it
    #[arg(value_name = "NAME", required_unless_present = "kubeconfig")]
    pub(crate) cluster_name: Option<String>,

    /// Address of its API server, such as https://203.0.113.7:6443; or give a --kubeconfig
    #[arg(long, value_name = "URL", required_unless_present = "kubeconfig")]
    pub(crate) server: Option<String>,

    #[command(flatten)]
    pub(crate) credentials: CredentialArgs,

    /// Add the clusters of this kubeconfig, one for each context; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["server", "CredentialArgs"])]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Only this context of the kubeconfig
    #[arg(long, value_name = "NAME", requires = "kubeconfig", conflicts_with = "server")]
    pub(crate) context: Option<String>,

    /// Who runs it
    #[arg(long)]
    pub(crate) provider: Option<String>,

    /// Words to find it by
    #[arg(long)]
    pub(crate) tags: Option<String>,

    #[command(flatten)]
    pub(crate) verify: VerifyArgs,
}

/// How a cluster is asked.
#[derive(Args)]
pub(crate) struct CredentialArgs {
    /// File with a bearer token; - is standard input. Without it and without a client certificate, a terminal asks for the token,
    /// and programs write it to standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// File with the certificates of the authorities that vouch for the server, PEM
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub(crate) ca_file: Option<PathBuf>,

    /// Name in the server's certificate, where it is another than the URL's host
    #[arg(long, value_name = "NAME")]
    pub(crate) tls_server_name: Option<String>,

    /// File with a client certificate, PEM
    #[arg(long, value_name = "FILE", requires = "key_file")]
    pub(crate) cert_file: Option<PathBuf>,

    /// File with its key, PEM
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    pub(crate) key_file: Option<PathBuf>,

    /// Do not check the server's certificate: whoever answers gets the credentials
    #[arg(long)]
    pub(crate) insecure: bool,
}

/// Whether a cluster has to answer before its credentials are stored.
#[derive(Args)]
pub(crate) struct VerifyArgs {
    /// Ask the cluster for its version first, and store nothing of one that does not answer (the default)
    #[arg(long = "verify", overrides_with = "no_verify")]
    _verify: bool,

    /// Store it without asking it
    #[arg(long, overrides_with = "_verify")]
    no_verify: bool,
}

impl VerifyArgs {
    pub(crate) fn is_wanted(&self) -> bool {
        !self.no_verify
    }
}

#[derive(Args)]
#[command(after_help = UPDATE_EXAMPLES)]
pub(crate) struct UpdateArgs {
    /// Its name or id
    pub(crate) cluster: String,

    /// Address of its API server, where it is another now
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,

    #[command(flatten)]
    pub(crate) credentials: CredentialArgs,

    #[command(flatten)]
    pub(crate) verify: VerifyArgs,
}

#[derive(Args)]
#[command(after_help = KUBECTL_EXAMPLES)]
pub(crate) struct KubectlArgs {
    /// Name or id of a cluster that was added; without it: the active one (kubesage clusters use NAME)
    #[arg(long)]
    pub(crate) cluster: Option<String>,

    /// The command as you would give it to kubectl
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true)]
    pub(crate) command: Vec<String>,

    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Args)]
#[command(after_help = AUDIT_EXAMPLES)]
pub(crate) struct AuditArgs {
    /// Only what happened to this cluster: its name or id
    #[arg(long)]
    pub(crate) cluster: Option<String>,

    /// Only events of this type, such as cluster_onboarded
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) event_type: Option<String>,

    /// Only what happened at this time or later: 2026-01-31T12:00:00Z, or how long ago, such as 24h or 7d
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub(crate) since: Option<Timestamp>,

    /// At most so many
    #[arg(long, default_value = "100", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,

    /// As many as there are
    #[arg(long, conflicts_with = "limit")]
    pub(crate) all: bool,

    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

fn since(text: &str) -> Result<Timestamp, String> {
    moment(text, Timestamp::now()).ok_or_else(|| {
        "neither a time such as 2026-01-31T12:00:00Z nor a duration such as 24h or 7d".to_owned()
    })
}

/// A time, or so long before `now`.
fn moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(time.into());
    }
    let span: Span = text.parse().ok()?;
    let ago = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Some(now.minus(ago.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{
        cli::{Cli, Command},
        client::args::{ClientCommand, ClustersCommand},
    };

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Ok(Cli::try_parse_from(line.split(' '))?.command.unwrap())
    }

    fn add(line: &str) -> Option<AddArgs> {
        match parse(&format!("kubesage clusters add {line}")).ok()? {
            Command::Client(ClientCommand::Clusters(args)) => match args.command? {
                ClustersCommand::Stored(StoredCommand::Add(args)) => Some(*args),
                _ => None,
            },
            _ => None,
        }
    }

    #[test]
    fn a_cluster_is_added_by_fields_or_by_kubeconfig() {
        for line in ["prod --server https://c", "prod --kubeconfig -", "--kubeconfig k --context c"] {
            assert!(add(line).is_some(), "{line}");
        }
        for line in [
            "prod",
            "--server https://c",
            "--kubeconfig k --server https://c",
            "--kubeconfig k --insecure",
            "--kubeconfig k --token-file t",
            "prod --server https://c --context c",
            "prod --server https://c --cert-file c",
            "prod --server https://c --insecure --ca-file c",
        ] {
            assert!(add(line).is_none(), "{line}");
        }
    }

    #[test]
    fn it_is_verified_unless_told_otherwise_last() {
        let is_verified = |more: &str| add(&format!("--kubeconfig k{more}")).unwrap().verify.is_wanted();
        assert!(is_verified("") && is_verified(" --verify") && is_verified(" --no-verify --verify"));
        assert!(!is_verified(" --no-verify") && !is_verified(" --verify --no-verify"));
    }

    #[test]
    fn what_follows_kubectls_verb_is_kubectls() {
        for line in ["-o json --cluster c -- get pods -o wide", "-o json --cluster c get pods -o wide"] {
            let parsed = parse(&format!("kubesage kubectl {line}")).unwrap();
            let Command::Client(ClientCommand::Kubectl(args)) = parsed else { panic!("{line}") };
            assert_eq!(args.command, ["get", "pods", "-o", "wide"], "{line}");
            assert_eq!(args.cluster.as_deref(), Some("c"), "{line}");
        }
        assert!(parse("kubesage kubectl").is_err());
    }

    #[test]
    fn since_is_a_time_or_how_long_ago() {
        let time = |text: &str| Timestamp::from(text.parse::<jiff::Timestamp>().unwrap());
        let now = time("2026-01-31T12:00:00Z");
        for (text, expected) in [
            ("2026-01-01T13:00:00+01:00", Some("2026-01-01T12:00:00Z")),
            ("24h", Some("2026-01-30T12:00:00Z")),
            ("1h 30m", Some("2026-01-31T10:30:00Z")),
            ("7d", Some("2026-01-24T12:00:00Z")),
            ("90m ago", Some("2026-01-31T10:30:00Z")),
            // Nobody knows how long a month is.
            ("1mo", None),
            ("24", None),
            ("yesterday", None),
        ] {
            assert_eq!(moment(text, now), expected.map(time), "{text}");
        }
    }
}
