//! Where the credentials of an account come from.

use async_trait::async_trait;
use aws_access::{AwsError, RoleArn, Sessions};
use aws_credential_types::Credentials;
use simulated_cloud::Simulated;

use crate::reach::ReachError;

/// What an account's credentials are had from.
#[async_trait]
pub trait AccountCredentials: Send + Sync {
    /// Credentials that are good now.
    ///
    /// # Errors
    /// [`ReachError`].
    async fn credentials(&self) -> Result<Credentials, ReachError>;

    /// What it gave last was not accepted: the next are to be others.
    async fn forget(&self);
}

/// Those of the simulated account.
#[async_trait]
impl AccountCredentials for Simulated {
    async fn credentials(&self) -> Result<Credentials, ReachError> {
        Ok(Self::credentials(self).await?)
    }

    /// It finds out with the next call of the cloud that its session has ended.
    async fn forget(&self) {}
}

/// Those of a role in an account of AWS.
#[derive(Clone)]
pub struct AssumedRole {
    sessions: Sessions,
    role: RoleArn,
    external_id: String,
}

impl AssumedRole {
    /// Of a role that its account's owner lets be assumed with this external id.
    pub fn new(sessions: Sessions, role: RoleArn, external_id: String) -> Self {
        Self { sessions, role, external_id }
    }
}

#[async_trait]
impl AccountCredentials for AssumedRole {
    async fn credentials(&self) -> Result<Credentials, ReachError> {
        let session = self.sessions.session(&self.role, &self.external_id).await;
        session.map(|session| session.credentials).map_err(|error| reach_error(&error))
    }

    async fn forget(&self) {
        self.sessions.forget(&self.role, &self.external_id).await;
    }
}

/// What a role that cannot be assumed means for an operation.
pub(crate) fn reach_error(error: &AwsError) -> ReachError {
    let text = error.to_string();
    if error.is_of_role() { ReachError::Refused(text) } else { ReachError::Unknown(text) }
}
