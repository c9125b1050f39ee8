//! The service's settings.

use std::{num::NonZeroU32, time::Duration};

use aws_access::{Sts, StsOptions};
use clap::{ArgAction, Args, Parser};
use secrecy::SecretString;
use semver::Version;
use thiserror::Error;
use url::Url;
use web::config::{AuthArgs, BusArgs, DatabaseArgs, LogArgs, RateLimitArgs, ServerArgs, boolean, secret};

use crate::{
    alerts::{InvalidSecret, Webhook},
    lifecycle::Patience,
};

/// Install scripts, the sessions of agents, and the relay of queries to them.
#[derive(Clone, Debug, Parser)]
#[command(name = "onboarding", version)]
#[expect(missing_docs, reason = "each field is the settings of its name")]
pub struct Config {
    #[command(flatten)]
    pub server: ServerArgs<8009>,
    #[command(flatten)]
    pub bus: BusArgs,
    #[command(flatten)]
    pub database: DatabaseArgs,
    #[command(flatten)]
    pub auth: AuthArgs,
    #[command(flatten)]
    pub rate_limit: RateLimitArgs,
    #[command(flatten)]
    pub agents: AgentArgs,
    #[command(flatten)]
    pub aws: AwsArgs,
    #[command(flatten)]
    pub log: LogArgs,
}

/// How agents connect.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Agents")]
pub struct AgentArgs {
    /// Where agents reach this service: http(s)://…; goes into install scripts. Without it: this machine, as the service itself
    /// does
    #[arg(long, env = "PUBLIC_URL", value_parser = http_url)]
    pub public_url: Option<Url>,

    /// Image of the agent; goes into install scripts
    #[arg(long, env = "AGENT_IMAGE", default_value = "kubesage/agent:1.0.0", value_parser = image)]
    pub agent_image: String,

    /// Seconds between the heartbeats of an agent; after 1.4 times this in silence it counts as gone
    #[arg(long, env = "HEARTBEAT_SECONDS", default_value = "30", value_parser = clap::value_parser!(u64).range(1..=300))]
    pub heartbeat_seconds: u64,

    /// Seconds of silence after which a cluster is stale
    #[arg(long, env = "STALE_AFTER_SECONDS", default_value = "90", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub stale_after_seconds: u64,

    /// Seconds of silence after which it is disconnected
    #[arg(long, env = "DISCONNECTED_AFTER_SECONDS", default_value = "600", value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub disconnected_after_seconds: u64,

    #[command(flatten)]
    #[expect(missing_docs, reason = "it is the settings of its name")]
    pub alerts: AlertArgs,

    /// The oldest version of an agent that is supported; older ones are told so and flagged
    #[arg(long, env = "OLDEST_AGENT_VERSION", default_value = "1.0.0")]
    pub oldest_agent_version: Version,

    /// Agent sessions that this process holds at most
    #[arg(long, env = "MAX_SESSIONS", default_value = "20000")]
    pub max_sessions: usize,

    /// Agents that all replicas together let in in a second; further ones wait
    #[arg(long, env = "CONNECTS_PER_SECOND", default_value = "500")]
    pub connects_per_second: NonZeroU32,

    /// Seconds in which sessions that this process has beyond its share are sent to other replicas; 0: never
    #[arg(long, env = "REBALANCE_SECONDS", default_value = "120", value_parser = clap::value_parser!(u64).range(..=86_400))]
    pub rebalance_seconds: u64,

    /// Requests that may wait for one agent; further ones are refused (429)
    #[arg(long, env = "MAX_REQUESTS_PER_SESSION", default_value = "128", value_parser = clap::value_parser!(u16).range(1..))]
    pub max_requests_per_session: u16,

    /// MiB of answers that this process holds for callers who are slower than their agents; beyond it large answers are
    /// refused (503)
    #[arg(long, env = "MAX_QUEUED_MIB", default_value = "256", value_parser = clap::value_parser!(u16).range(1..))]
    pub max_queued_mib: u16,

    /// Whether callers who ask the same of an agent at the same time, for the same user, share its answer
    #[arg(long, env = "SHARE_ANSWERS", default_value = "true", value_parser = boolean,
          action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub share_answers: bool,
}

/// Who is called when a cluster falls silent.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Alerts")]
pub struct AlertArgs {
    /// Called by POST when a cluster is stale, disconnected, or back: https://…, signed as Standard Webhooks says
    #[arg(long, env = "ALERT_WEBHOOK_URL", value_parser = http_url, requires = "alert_webhook_secret")]
    pub alert_webhook_url: Option<Url>,

    /// What calls are signed with: whsec_ and 24 to 64 bytes in Base64
    #[arg(long, env = "ALERT_WEBHOOK_SECRET", hide_env_values = true, value_parser = secret)]
    pub alert_webhook_secret: Option<SecretString>,
}

/// A setting that cannot be used; it is named, and the text never holds a secret.
#[derive(Debug, Error)]
pub enum InvalidSetting {
    /// Nothing can be signed with it.
    #[error("ALERT_WEBHOOK_SECRET {0}")]
    AlertSecret(InvalidSecret),
    /// An agent that is well would count as stale between two of its heartbeats.
    #[error("STALE_AFTER_SECONDS must be at least one and a half times HEARTBEAT_SECONDS, so {0}")]
    Stale(u64),
    /// A cluster is stale first.
    #[error("DISCONNECTED_AFTER_SECONDS must be more than STALE_AFTER_SECONDS, which is {0}")]
    Disconnected(u64),
}

impl AlertArgs {
    /// Whom to call, if anybody.
    pub(crate) fn webhook(&self) -> Result<Option<Webhook>, InvalidSetting> {
        let Some(url) = &self.alert_webhook_url else { return Ok(None) };
        let secret = self.alert_webhook_secret.as_ref().ok_or(InvalidSetting::AlertSecret(InvalidSecret))?;
        Webhook::new(url, secret).map(Some).map_err(InvalidSetting::AlertSecret)
    }
}

/// How the roles that users hand over are assumed. Kubesage's own credentials and region come from where AWS's tools look
/// for them.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "AWS")]
pub struct AwsArgs {
    /// Another place than AWS's own, for a stand-in
    #[arg(long, env = "AWS_ENDPOINT_URL", value_parser = http_url)]
    pub aws_endpoint_url: Option<Url>,

    /// Who roles are told to trust, such as arn:aws:iam::123456789012:root; without it: whoever Kubesage is for AWS
    #[arg(long, env = "AWS_TRUSTED_PRINCIPAL")]
    pub aws_trusted_principal: Option<String>,
}

impl AwsArgs {
    /// How to ask AWS.
    pub async fn sts(&self) -> Sts {
        Sts::new(&StsOptions { endpoint_url: self.aws_endpoint_url.clone(), credentials: None }).await
    }
}

impl Default for AgentArgs {
    /// What the command line says when it says nothing.
    fn default() -> Self {
        #[derive(Parser)]
        struct Nothing {
            #[command(flatten)]
            agents: AgentArgs,
        }
        Nothing::parse_from([""]).agents
    }
}

impl AgentArgs {
    pub(crate) fn heartbeat(&self) -> Duration {
        Duration::from_secs(self.heartbeat_seconds)
    }

    /// In what time sessions are spread over the replicas; zero: never.
    pub(crate) fn rebalance_over(&self) -> Duration {
        Duration::from_secs(self.rebalance_seconds)
    }

    /// How long agents may be silent.
    pub(crate) fn patience(&self) -> Result<Patience, InvalidSetting> {
        let least = self.heartbeat_seconds.saturating_mul(3).div_ceil(2);
        if self.stale_after_seconds < least {
            return Err(InvalidSetting::Stale(least));
        }
        if self.disconnected_after_seconds <= self.stale_after_seconds {
            return Err(InvalidSetting::Disconnected(self.stale_after_seconds));
        }
        Ok(Patience {
            stale_after: Duration::from_secs(self.stale_after_seconds),
            disconnected_after: Duration::from_secs(self.disconnected_after_seconds),
        })
    }
}

/// Reads an address that agents can connect to.
fn http_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| "must be http://… or https://…".to_owned())
}

/// Reads the name of an image; it goes into a script as it is.
fn image(text: &str) -> Result<String, String> {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "-_./:@".contains(c);
    if !text.is_empty() && text.len() <= 256 && text.chars().all(harmless) {
        Ok(text.to_owned())
    } else {
        Err("must be the name of an image, such as registry.example.com/kubesage/agent:1.0.0".to_owned())
    }
}
