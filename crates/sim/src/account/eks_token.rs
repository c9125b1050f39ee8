//! Tokens by which those who have assumed a role are known to the cluster.
//!
//! The real cluster sends the signed request that is in the token to STS. Here the credentials are at hand: what they sign is the
//! token, or it is none.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_access::eks_token;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use secrecy::ExposeSecret as _;
use subtle::ConstantTimeEq as _;
use url::Url;

use super::Roles;
use crate::auth::User;

const PREFIX: &str = "k8s-aws-v1.";
/// `maxTokenLenBytes` of <https://github.com/kubernetes-sigs/aws-iam-authenticator/blob/v0.7.8/pkg/token/token.go>.
const LONGEST: usize = 4096;
/// A token is good for so long after its date, and not before it by more.
const GOOD_FOR: Duration = Duration::from_mins(15);
/// The group that the cluster's access entry gives to who has assumed a role.
const GROUP: &str = "kubesage:optimizer";

/// Knows the tokens for one cluster.
pub(crate) struct EksTokens {
    roles: Arc<Roles>,
    cluster: String,
}

impl EksTokens {
    pub(crate) fn new(roles: Arc<Roles>, cluster: String) -> EksTokens {
        EksTokens { roles, cluster }
    }

    /// Who has signed a token.
    pub(crate) fn user_of(&self, token: &str) -> Option<User> {
        let encoded = token.strip_prefix(PREFIX).filter(|_| token.len() <= LONGEST)?;
        let url = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()?;
        let url = Url::parse(&url).ok()?;
        let parameter = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value);
        // The access key, the day, the region, the service and a fixed word.
        let credential = parameter("X-Amz-Credential")?;
        let mut scope = credential.split('/');
        let (access_key_id, region) = (scope.next()?, scope.nth(1)?);
        let date = DateTime::strptime("%Y%m%dT%H%M%SZ", &*parameter("X-Amz-Date")?).ok()?;
        let date = SystemTime::from(date.to_zoned(TimeZone::UTC).ok()?.timestamp());
        let now = SystemTime::now();
        // Never negative: one of the two is not later than the other.
        let apart = now.duration_since(date).or_else(|_| date.duration_since(now)).ok()?;
        if apart > GOOD_FOR {
            return None;
        }
        let session = self.roles.session(access_key_id)?;
        let expected = eks_token(&session.credentials, region, &self.cluster, date).ok()?;
        let is_own = expected.token.expose_secret().as_bytes().ct_eq(token.as_bytes());
        bool::from(is_own).then(|| User::new(&session.arn, [GROUP]))
    }
}
