//! Credentials of the role, for the SDK.

use std::fmt;

use aws_access::{AwsError, Sessions};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, error::CredentialsError, future},
};

use crate::Account;

/// Asks [`Sessions`] each time: they keep a session until shortly before its end.
#[derive(Clone)]
pub(crate) struct Role {
    sessions: Sessions,
    account: Account,
}

impl Role {
    pub(crate) fn new(sessions: Sessions, account: &Account) -> Self {
        Self { sessions, account: account.clone() }
    }

    pub(crate) async fn credentials(&self) -> Result<Credentials, AwsError> {
        Ok(self.sessions.session(&self.account.role_arn, &self.account.external_id).await?.credentials)
    }

    /// Forgets a session that AWS does not take any more.
    pub(crate) async fn forget(&self) {
        self.sessions.forget(&self.account.role_arn, &self.account.external_id).await;
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Role").field("account", &self.account).finish_non_exhaustive()
    }
}

impl ProvideCredentials for Role {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            // The error is found again in what the call fails with.
            self.credentials().await.map_err(CredentialsError::provider_error)
        })
    }
}
