//! What a client needs.

use std::time::Duration;

use aws_access::{RoleArn, Sessions};
use url::Url;

use crate::SpotAdvisor;

/// Whose account, where, and how long to wait.
#[derive(Clone)]
pub struct Settings {
    /// They assume the role.
    pub sessions: Sessions,
    /// The role to work as.
    pub role_arn: RoleArn,
    /// The external id that the role asks for.
    pub external_id: String,
    /// Such as `us-east-1`.
    pub region: String,
    /// Another place than AWS's own, for what is compatible with it.
    pub endpoint_url: Option<Url>,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// Who knows how often spot instances are taken away; without it that is not known. One for all accounts.
    pub advisor: Option<SpotAdvisor>,
}

/// How long to wait for AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For an answer to what only reads; then it is asked once more.
    pub attempt: Duration,
    /// For a whole call; of what changes something nothing is to take effect later than ten seconds after it was sent.
    pub call: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            attempt: Duration::from_secs(4),
            call: Duration::from_secs(9),
        }
    }
}
