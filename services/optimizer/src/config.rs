//! The service's settings.

use std::time::Duration;

use clap::{Args, Parser};
use web::{
    config::{AuthArgs, BusArgs, DatabaseArgs, LogArgs, RateLimitArgs, ServerArgs},
    in_flight::Bound,
};

/// Moves workloads to cheaper capacity without anybody noticing.
#[derive(Clone, Debug, Parser)]
#[command(name = "optimizer", version)]
#[expect(missing_docs, reason = "each field is the settings of its name")]
pub struct Config {
    #[command(flatten)]
    pub server: ServerArgs<8010>,
    #[command(flatten)]
    pub bus: BusArgs,
    #[command(flatten)]
    pub database: DatabaseArgs,
    #[command(flatten)]
    pub auth: AuthArgs,
    #[command(flatten)]
    pub rate_limit: RateLimitArgs,
    #[command(flatten)]
    pub operations: OperationArgs,
    #[cfg(feature = "aws")]
    #[command(flatten)]
    pub aws: AwsArgs,
    #[command(flatten)]
    pub log: LogArgs,
}

/// How operations are carried on.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Operations")]
pub struct OperationArgs {
    /// Operations that this process carries on at once; further ones wait
    #[arg(long, env = "MAX_OPERATIONS", default_value = "32", value_parser = clap::value_parser!(u16).range(1..))]
    pub max_operations: u16,

    /// Operations of one user that may be under way at once; further ones are refused (429)
    #[arg(long, env = "MAX_OPERATIONS_PER_USER", default_value = "16", value_parser = clap::value_parser!(u16).range(1..))]
    pub max_operations_per_user: u16,

    /// Streams of events that may be open at once; further ones are refused (503)
    #[arg(long, env = "MAX_EVENT_STREAMS", default_value = "256", value_parser = clap::value_parser!(u16).range(1..))]
    pub max_event_streams: u16,

    /// Streams of events of one user that may be open at once; further ones are refused (429)
    #[arg(long, env = "MAX_EVENT_STREAMS_PER_USER", default_value = "32", value_parser = clap::value_parser!(u16).range(1..))]
    pub max_event_streams_per_user: u16,

    /// Seconds after which an instance is ended that an operation has bought and left behind
    #[arg(long, env = "ORPHAN_GRACE_SECONDS", default_value = "900", value_parser = clap::value_parser!(u64).range(60..=604_800))]
    pub orphan_grace_seconds: u64,

    /// Days for which an operation that is over is kept, with its journal
    #[arg(long, env = "OPERATION_RETENTION_DAYS", default_value = "90", value_parser = clap::value_parser!(u16).range(1..))]
    pub operation_retention_days: u16,
}

/// How the roles that users hand over are assumed. Kubesage's own credentials and region come from where AWS's tools look
/// for them.
#[cfg(feature = "aws")]
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "AWS")]
pub struct AwsArgs {
    /// Another place than AWS's own, for a stand-in
    #[arg(long, env = "AWS_ENDPOINT_URL")]
    pub aws_endpoint_url: Option<url::Url>,

    /// Where it is read how often spot instances are interrupted; without it: AWS's own file
    #[arg(long, env = "SPOT_ADVISOR_URL")]
    pub spot_advisor_url: Option<url::Url>,
}

#[cfg(feature = "aws")]
impl AwsArgs {
    /// The clouds of a process that works in AWS.
    pub(crate) async fn clouds(&self) -> Result<crate::Clouds, aws_cloud::AdvisorError> {
        let options =
            aws_access::StsOptions { endpoint_url: self.aws_endpoint_url.clone(), credentials: None };
        let aws = crate::Aws {
            sessions: aws_access::Sessions::new(aws_access::Sts::new(&options).await),
            endpoint_url: self.aws_endpoint_url.clone(),
            advisor: Some(aws_cloud::SpotAdvisor::new(self.spot_advisor_url.clone())?),
        };
        Ok(crate::Clouds::default().and_aws(aws))
    }
}

impl OperationArgs {
    pub(crate) fn streams(&self) -> Bound {
        Bound {
            what: "streams of events",
            gauge: "event_streams",
            max: (self.max_event_streams, "max_event_streams"),
            max_per_user: (self.max_event_streams_per_user, "max_event_streams_per_user"),
        }
    }

    pub(crate) fn orphan_grace(&self) -> Duration {
        Duration::from_secs(self.orphan_grace_seconds)
    }

    pub(crate) fn retention(&self) -> Duration {
        Duration::from_hours(u64::from(self.operation_retention_days) * 24)
    }
}

impl Default for OperationArgs {
    /// What the command line says when it says nothing.
    fn default() -> Self {
        #[derive(Parser)]
        struct Nothing {
            #[command(flatten)]
            operations: OperationArgs,
        }
        Nothing::parse_from([""]).operations
    }
}
