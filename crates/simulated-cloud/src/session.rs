//! Sessions of the role by which the account is entered.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

/// So long before its end a session is not used any more: a request takes its time.
const BEFORE_END: Duration = Duration::from_mins(1);

/// What assuming the role gives.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Session {
    access_key_id: String,
    secret_access_key: SecretString,
    pub(crate) session_token: SecretString,
    expires: Timestamp,
}

impl Session {
    pub(crate) fn is_good(&self) -> bool {
        SystemTime::from(self.expires) > SystemTime::now() + BEFORE_END
    }

    pub(crate) fn credentials(&self) -> Credentials {
        Credentials::new(
            &self.access_key_id,
            self.secret_access_key.expose_secret(),
            Some(self.session_token.expose_secret().to_owned()),
            Some(self.expires.into()),
            "simulated",
        )
    }
}
