//! What a client needs.

use std::{fmt, time::Duration};

use aws_access::{RoleArn, Sessions};
use url::Url;

use crate::SpotAdvisor;

/// How AWS is asked, whatever the account.
#[derive(Clone)]
pub struct Settings {
    /// They assume the roles of accounts.
    pub sessions: Sessions,
    /// Another place than AWS's own, for what is compatible with it.
    pub endpoint_url: Option<Url>,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// Who knows how often spot instances are taken away; without it that is not known. One for all accounts.
    pub advisor: Option<SpotAdvisor>,
}

/// An account in a region, and how it is entered.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Account {
    /// The role to work as.
    pub role_arn: RoleArn,
    /// The external id that the role asks for. `Debug` hides it.
    pub external_id: String,
    /// Such as `us-east-1`.
    pub region: String,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (role, region) = (&self.role_arn, &self.region);
        f.debug_struct("Account").field("role_arn", role).field("region", region).finish_non_exhaustive()
    }
}

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For an answer to what only reads; then it is asked once more.
    pub attempt: Duration,
    /// For a whole call; of what changes something nothing is to take effect later than ten seconds after it was begun.
    pub call: Duration,
    /// For all that is read before a change is sent. The change itself has what is left of `call`.
    pub preparation: Duration,
    /// For somebody to ask for the client of an account again; then it is let go.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            attempt: Duration::from_secs(4),
            call: Duration::from_secs(9),
            preparation: Duration::from_secs(4),
            idle: Duration::from_mins(15),
        }
    }
}
