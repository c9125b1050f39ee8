//! The Security Token Service.

use std::time::{Duration, SystemTime};

use aws_config::{
    BehaviorVersion, Region, environment::EnvironmentVariableRegionProvider,
    meta::region::RegionProviderChain, profile::ProfileFileRegionProvider, retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_credential_types::Credentials;
use aws_sdk_sts::Client;
use aws_smithy_http_client::{Builder, tls};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::{AwsError, RoleArn};

/// Under this name sessions that only read stand in the customer's CloudTrail.
const MONITORING: &str = "SpotOptimizerMonitoring";
/// Under this one those in which something is changed.
const ACTION: &str = "SpotOptimizerAction";
/// How long a session lasts, in seconds: what every role allows.
const SESSION_SECONDS: i32 = 3600;
/// STS answers in a fraction of a second; three tries of it.
const PATIENCE: Duration = Duration::from_secs(15);
const TRIES: u32 = 3;

/// Where STS is, and who asks it.
#[derive(Clone, Debug, Default)]
pub struct StsOptions {
    /// Another place than AWS's own, for a stand-in.
    pub endpoint_url: Option<Url>,
    /// Access key and secret; without them the usual places are looked at (environment, profile, role of the pod or machine).
    pub credentials: Option<(String, SecretString)>,
}

/// Asks STS. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sts {
    client: Client,
    session_name: &'static str,
}

/// What a role allows for an hour.
#[derive(Clone, Debug)]
pub struct Session {
    /// For the clients of other services. Their `Debug` hides the secret.
    pub credentials: Credentials,
    /// When they end.
    pub expires: SystemTime,
    /// `arn:aws:sts::…:assumed-role/…`
    pub assumed_role_arn: String,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub account_id: String,
    /// The user or role.
    pub arn: String,
}

/// What became of the attempt to prove a role.
#[derive(Clone, Debug)]
pub enum Proof {
    /// It can be assumed with the external id, and not without.
    Proven(Session),
    /// It can be assumed without the external id, or with any: whoever knows its name could have us use it for them
    /// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html>).
    Unguarded,
}

impl Sts {
    /// Finds region and credentials; asks nobody yet. The region is that of `AWS_REGION` or the profile, else `us-east-1`.
    pub async fn new(options: &StsOptions) -> Self {
        let http = Builder::new().tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring));
        // Not the metadata service of a machine, which is asked for long where there is none.
        let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
            .or_else(ProfileFileRegionProvider::new())
            .or_else(Region::from_static("us-east-1"));
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .region(region)
            .http_client(http.build_https())
            .retry_config(RetryConfig::standard().with_max_attempts(TRIES))
            .timeout_config(TimeoutConfig::builder().operation_timeout(PATIENCE).build());
        if let Some(url) = &options.endpoint_url {
            loader = loader.endpoint_url(url.as_str());
        }
        if let Some((id, secret)) = &options.credentials {
            let credentials = Credentials::new(id, secret.expose_secret(), None, None, "settings");
            loader = loader.credentials_provider(credentials);
        }
        Self { client: Client::new(&loader.load().await), session_name: MONITORING }
    }

    /// The same for sessions in which something is changed: whoever reads the CloudTrail of an account tells them from those that read.
    #[must_use]
    pub fn acting(self) -> Self {
        Self { session_name: ACTION, ..self }
    }

    /// Who we are for AWS.
    ///
    /// # Errors
    /// [`AwsError`].
    pub async fn identity(&self) -> Result<Identity, AwsError> {
        let answered = self.client.get_caller_identity().send().await;
        let identity = answered.map_err(|error| AwsError::of_call(&error))?;
        Ok(Identity {
            account_id: identity.account().unwrap_or_default().to_owned(),
            arn: identity.arn().unwrap_or_default().to_owned(),
        })
    }

    /// Assumes a role for an hour.
    ///
    /// # Errors
    /// [`AwsError`].
    pub async fn assume(&self, role: &RoleArn, external_id: Option<&str>) -> Result<Session, AwsError> {
        let request = self.client.assume_role().role_arn(role.as_str()).role_session_name(self.session_name);
        let request =
            request.duration_seconds(SESSION_SECONDS).set_external_id(external_id.map(str::to_owned));
        let answered = request.send().await.map_err(|error| AwsError::of_call(&error))?;
        let incomplete = || AwsError::Unreachable("the answer holds no credentials".to_owned());
        let granted = answered.credentials().ok_or_else(incomplete)?;
        let expires = SystemTime::try_from(*granted.expiration()).map_err(|_| incomplete())?;
        let credentials = Credentials::new(
            granted.access_key_id(),
            granted.secret_access_key(),
            Some(granted.session_token().to_owned()),
            Some(expires),
            "AssumeRole",
        );
        let assumed = answered.assumed_role_user().map(|user| user.arn().to_owned());
        Ok(Session { credentials, expires, assumed_role_arn: assumed.unwrap_or_default() })
    }

    /// Assumes the role with the external id, and sees to it that it can be assumed neither without nor with another one.
    ///
    /// # Errors
    /// [`AwsError`] when it cannot be assumed, or nothing is known of the attempt without.
    pub async fn prove(&self, role: &RoleArn, external_id: &str) -> Result<Proof, AwsError> {
        let session = self.assume(role, Some(external_id)).await?;
        let another = another_than(external_id);
        for other in [None, Some(another.as_str())] {
            match self.assume(role, other).await {
                Ok(_) => return Ok(Proof::Unguarded),
                Err(AwsError::Denied) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(Proof::Proven(session))
    }
}

/// An external id of the same length and the same characters, which differs in the first.
fn another_than(external_id: &str) -> String {
    let first = if external_id.starts_with('a') { 'b' } else { 'a' };
    [first].into_iter().chain(external_id.chars().skip(1)).collect()
}
