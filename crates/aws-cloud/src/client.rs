//! The clients of the services.

use std::time::Duration;

use aws_config::{Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_ec2::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use cloud::CloudError;

use crate::{Account, Settings, SpotAdvisor, Timeouts, error, offers::Catalog, role::Role};

/// Reads are tried so often: it is quick again where a connection was lost.
const READ_TRIES: u32 = 2;
/// The SDK waits for up to 20 seconds between tries by default.
const MOST_BACKOFF: Duration = Duration::from_secs(1);

/// The price list of all regions is served in a few of them
/// (<https://docs.aws.amazon.com/general/latest/gr/billing.html>).
const PRICE_LIST_REGION: &str = "us-east-1";

/// An account in a region, as its role may use it. The role is assumed when that is needed.
pub struct AwsCloud {
    pub(crate) ec2: aws_sdk_ec2::Client,
    pub(crate) groups: aws_sdk_autoscaling::Client,
    pub(crate) eks: aws_sdk_eks::Client,
    pub(crate) pricing: aws_sdk_pricing::Client,
    pub(crate) changes: Changes,
    pub(crate) catalog: Catalog,
    pub(crate) advisor: Option<SpotAdvisor>,
    pub(crate) region: String,
    pub(crate) timeouts: Timeouts,
    role: Role,
}

/// Clients that send a call once. A call that changes something is repeated by who knows what an earlier one without an answer may
/// have done: the answer to a second attempt would be taken for the whole truth.
pub(crate) struct Changes {
    pub(crate) ec2: aws_sdk_ec2::Client,
    pub(crate) groups: aws_sdk_autoscaling::Client,
}

impl AwsCloud {
    /// A client that has not asked anything yet. `common` is what it has in common with those of other accounts.
    pub(crate) fn new(settings: &Settings, common: &SdkConfig, account: &Account) -> Self {
        let timeouts = settings.timeouts;
        let role = Role::new(settings.sessions.clone(), account);
        let times =
            TimeoutConfig::builder().connect_timeout(timeouts.connect).operation_timeout(timeouts.call);
        let common = common
            .to_builder()
            .region(Region::new(account.region.clone()))
            .credentials_provider(SharedCredentialsProvider::new(role.clone()))
            .build();
        let reads = common
            .clone()
            .into_builder()
            .retry_config(
                RetryConfig::standard().with_max_attempts(READ_TRIES).with_max_backoff(MOST_BACKOFF),
            )
            .timeout_config(times.clone().operation_attempt_timeout(timeouts.attempt).build())
            .build();
        let at_price_list = reads.to_builder().region(Region::from_static(PRICE_LIST_REGION)).build();
        let once =
            common.into_builder().retry_config(RetryConfig::disabled()).timeout_config(times.build()).build();
        Self {
            ec2: aws_sdk_ec2::Client::new(&reads),
            groups: aws_sdk_autoscaling::Client::new(&reads),
            eks: aws_sdk_eks::Client::new(&reads),
            pricing: aws_sdk_pricing::Client::new(&at_price_list),
            changes: Changes {
                ec2: aws_sdk_ec2::Client::new(&once),
                groups: aws_sdk_autoscaling::Client::new(&once),
            },
            catalog: Catalog::new(),
            advisor: settings.advisor.clone(),
            region: account.region.clone(),
            timeouts,
            role,
        }
    }

    /// What the session signs with, for tokens of EKS.
    ///
    /// # Errors
    /// [`CloudError`] when the role cannot be assumed.
    pub async fn credentials(&self) -> Result<Credentials, CloudError> {
        self.role.credentials().await.map_err(|error| error::of_session(&error))
    }

    /// One call. With a session that AWS does not take nothing was done, and it comes again with a new one.
    pub(crate) async fn ask<T, E, F>(&self, call: impl Fn() -> F) -> Result<T, CloudError>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let answered = match call().await {
            Err(error) if error::is_of_session(&error) => {
                self.role.forget().await;
                call().await
            }
            answered => answered,
        };
        answered.map_err(|error| error::of_call(&error))
    }
}
