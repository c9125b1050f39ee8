//! Settings: environment variables and flags, checked, and the times by which the agent lives.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use backon::ExponentialBuilder;
use clap::{ArgAction, Args};
use contracts::{Token, TokenError, TokenKind};
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use web::config::{boolean, secret};

use crate::{
    cluster::ClusterSource,
    endpoint::{Endpoint, InvalidEndpoint},
    proxy::{InvalidProxy, Proxy},
};

/// The agent's own settings, as they come from the environment or the command line.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Agent")]
pub struct Settings {
    /// Address of onboarding: http://…, https://…, ws://… or wss://…; /api/v1/agents/connect is added
    #[arg(long, env = "API_ENDPOINT")]
    pub api_endpoint: String,

    /// Id of this agent, from the install script
    #[arg(long, env = "AGENT_ID")]
    pub agent_id: String,

    /// Id of the cluster, from the install script
    #[arg(long, env = "CLUSTER_ID")]
    pub cluster_id: String,

    /// Key of this agent, ka_…; give it as an environment variable: arguments can be seen by other processes
    #[arg(long, env = "API_KEY", hide_env_values = true, value_parser = secret)]
    pub api_key: SecretString,

    /// What the cluster is called here
    #[arg(long, env = "CLUSTER_NAME")]
    pub cluster_name: Option<String>,

    /// Connect without TLS to an endpoint that is not this machine: the key can then be read on the way
    #[arg(long, env = "ALLOW_INSECURE_ENDPOINT", default_value = "false", value_parser = boolean,
          action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub allow_insecure_endpoint: bool,

    /// Trust the certificates (PEM) of this file too, for a relay with a private authority. The file may be missing
    #[arg(long, env = "API_CA_FILE")]
    pub api_ca_file: Option<PathBuf>,

    /// Connect through this HTTP proxy: http://[user:password@]host:port; give it as an environment variable if it holds a
    /// password
    #[arg(long, env = "HTTPS_PROXY", hide_env_values = true, value_parser = secret)]
    pub https_proxy: Option<SecretString>,

    /// Hosts, domains and networks that are reached without the proxy, separated by commas
    #[arg(long, env = "NO_PROXY")]
    pub no_proxy: Option<String>,

    /// Kubeconfig file of the cluster. Without it: the pod's service account, else the files of KUBECONFIG, else
    /// ~/.kube/config
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig; without it: its current one
    #[arg(long)]
    pub context: Option<String>,
}

/// A setting cannot be used; each error names it.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The endpoint is no address, or not a safe one.
    #[error("API_ENDPOINT {0}")]
    Endpoint(InvalidEndpoint),
    /// The key is not of an agent's.
    #[error("API_KEY is not an agent's key: {0}")]
    Key(TokenError),
    /// The proxy is none.
    #[error("HTTPS_PROXY {0}")]
    Proxy(#[from] InvalidProxy),
    /// The id cannot be sent.
    #[error("AGENT_ID must be 1 to 128 visible ASCII characters")]
    AgentId,
}

/// Checked settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to connect to.
    pub endpoint: Endpoint,
    /// Who the agent is.
    pub agent_id: String,
    /// Which cluster it is in.
    pub cluster_id: String,
    /// What the cluster is called where the agent runs.
    pub cluster_name: Option<String>,
    /// The agent's key.
    pub key: Token,
    /// Certificates that the relay is verified by, besides those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// How the relay is reached.
    pub proxy: Proxy,
    /// Where the cluster is.
    pub cluster: ClusterSource,
    /// The times by which it lives.
    pub timing: Timing,
}

impl Settings {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`ConfigError`], which names the setting and never holds the key.
    pub fn check(self) -> Result<Config, ConfigError> {
        let is_sendable = self.agent_id.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_sendable || !(1..=128).contains(&self.agent_id.len()) {
            return Err(ConfigError::AgentId);
        }
        let proxy = match self.https_proxy.filter(|proxy| !proxy.expose_secret().is_empty()) {
            Some(proxy) => Proxy::new(&proxy, self.no_proxy.as_deref())?,
            None => Proxy::default(),
        };
        Ok(Config {
            proxy,
            ca_file: self.api_ca_file.filter(|path| !path.as_os_str().is_empty()),
            endpoint: Endpoint::parse(&self.api_endpoint, self.allow_insecure_endpoint)
                .map_err(ConfigError::Endpoint)?,
            key: Token::parse(TokenKind::AgentKey, self.api_key.expose_secret()).map_err(ConfigError::Key)?,
            agent_id: self.agent_id,
            cluster_id: self.cluster_id,
            cluster_name: self.cluster_name.filter(|name| !name.is_empty()),
            cluster: ClusterSource { kubeconfig: self.kubeconfig, context: self.context },
            timing: Timing::default(),
        })
    }
}

/// The times by which an agent lives. The defaults are for production; tests make them shorter.
#[derive(Clone, Debug)]
pub struct Timing {
    /// For TCP, TLS and the WebSocket's handshake together.
    pub connect: Duration,
    /// From `hello` to `welcome`.
    pub welcome: Duration,
    /// Between two pings. Load balancers cut silent connections after 60 s.
    pub ping: Duration,
    /// A session in which nothing is heard for so long is dead.
    pub idle: Duration,
    /// For what is under way when a session is to end.
    pub drain: Duration,
    /// Before the next attempt after a session was lost; grows, and up to the same again is added at random.
    pub reconnect: ExponentialBuilder,
    /// A session that lived so long was a good one: the next attempts are quick again.
    pub settled: Duration,
    /// Before the first attempt after such a one was lost, at random: thousands may have been lost with it.
    pub scatter: RangeInclusive<Duration>,
    /// Before the next attempt after the server said that it wants no more of them; ± 20 %.
    pub rejected: Duration,
    /// Before the next attempt after another process took this one's place: as long as that one is there it is refused; ± 20 %.
    pub replaced: Duration,
    /// For one call of the API server.
    pub api_call: Duration,
    /// How long the API server is asked to keep a watch open: so old does a cache get in health.
    pub watch: Duration,
    /// Before the next attempt after a watch failed.
    pub watch_retry: ExponentialBuilder,
    /// Older than that, a cache is not told.
    pub cache_max_age: Duration,
    /// How recent relay and API server must have been heard of for the agent to be ready.
    pub ready: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(15),
            welcome: seconds(15),
            ping: seconds(15),
            idle: seconds(40),
            drain: seconds(10),
            // With the random part 1 s to 10 s.
            reconnect: backoff(seconds(1), seconds(5)).with_factor(1.5),
            settled: seconds(30),
            scatter: seconds(1)..=seconds(5),
            rejected: seconds(300),
            replaced: seconds(60),
            api_call: seconds(20),
            watch: seconds(50),
            watch_retry: backoff(Duration::from_millis(500), seconds(15)),
            cache_max_age: seconds(300),
            ready: seconds(60),
        }
    }
}

/// An endless backoff with jitter.
fn backoff(min: Duration, max: Duration) -> ExponentialBuilder {
    ExponentialBuilder::new().with_min_delay(min).with_max_delay(max).with_jitter().without_max_times()
}

impl Config {
    /// The key as a header's value that is not shown by `Debug`.
    pub(crate) fn key_header(&self) -> HeaderValue {
        // A token is ASCII letters, digits and '_'.
        let mut value = HeaderValue::from_str(self.key.secret().expose_secret())
            .unwrap_or_else(|_| HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        settings: Settings,
    }

    fn key() -> String {
        let token = Token::generate(TokenKind::AgentKey, &mut StdRng::seed_from_u64(1));
        token.secret().expose_secret().to_owned()
    }

    fn settings(key: &str, more: &[&str]) -> Settings {
        let mut arguments = vec!["agent", "--api-endpoint", "https://relay.example", "--agent-id", "a-1"];
        arguments.extend(["--cluster-id", "c-1", "--api-key", key]);
        arguments.extend(more);
        Cli::try_parse_from(arguments).unwrap().settings
    }

    #[test]
    fn flags_become_a_configuration() {
        let config = settings(&key(), &["--context", "other"]).check().unwrap();
        assert_eq!((config.agent_id.as_str(), config.cluster_id.as_str()), ("a-1", "c-1"));
        assert_eq!(config.endpoint.as_str(), "wss://relay.example/api/v1/agents/connect");
        assert_eq!(config.cluster.context.as_deref(), Some("other"));
    }

    #[test]
    fn what_is_wrong_is_named_and_the_key_never_shown() {
        let mut mistyped = key();
        mistyped.replace_range(10..12, "!!");
        let error = settings(&mistyped, &[]).check().unwrap_err().to_string();
        assert!(error.starts_with("API_KEY"), "{error}");
        assert!(!error.contains(&mistyped[3..]), "{error}");

        let mut nameless = settings(&key(), &[]);
        "a b".clone_into(&mut nameless.agent_id);
        assert!(nameless.check().unwrap_err().to_string().starts_with("AGENT_ID"));

        let mut open = settings(&key(), &[]);
        "http://relay.example".clone_into(&mut open.api_endpoint);
        assert!(open.check().unwrap_err().to_string().starts_with("API_ENDPOINT"));
    }

    #[test]
    fn the_key_is_not_shown_by_debug() {
        let settings = settings(&key(), &[]);
        let shown = format!("{settings:?} {:?}", settings.clone().check().unwrap());
        assert!(!shown.contains(&key()[3..]));
        assert!(!format!("{:?}", settings.check().unwrap().key_header()).contains(&key()[3..]));
    }
}
