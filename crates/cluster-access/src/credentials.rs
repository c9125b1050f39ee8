//! How a cluster is reached, and as whom.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use kube::config::AuthInfo;
use secrecy::{ExposeSecret, SecretString};

use crate::ServerUrl;

/// What a user has handed over to reach a cluster.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Where its API server is.
    pub server: ServerUrl,
    /// The name in its certificate, where it is another than the URL's host.
    pub server_name: Option<String>,
    /// A bearer token.
    pub token: Option<SecretString>,
    /// A client's certificate.
    pub identity: Option<Identity>,
    /// How the server is known.
    pub trust: Trust,
}

/// A client's certificate and its key, as PEM.
#[derive(Clone)]
pub struct Identity {
    /// With its intermediates.
    pub certificate: String,
    /// Its private key.
    pub key: SecretString,
}

/// How a server proves that it is the one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// By a certificate of the authorities that this machine trusts.
    #[default]
    Public,
    /// By a certificate of these authorities, as PEM.
    Authorities(String),
    /// It does not: whoever answers there is believed.
    Nobody,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Trust {
    /// The certificates of the authorities, where they are given, as PEM.
    pub fn authorities(&self) -> Option<&str> {
        match self {
            Self::Authorities(pem) => Some(pem),
            Self::Public | Self::Nobody => None,
        }
    }
}

impl Credentials {
    /// As `kube` takes them.
    pub(crate) fn auth_info(&self) -> AuthInfo {
        let encoded = |pem: &str| BASE64_STANDARD.encode(pem);
        let identity = self.identity.as_ref();
        AuthInfo {
            token: self.token.clone(),
            client_certificate_data: identity.map(|identity| encoded(&identity.certificate)),
            client_key_data: identity.map(|identity| encoded(identity.key.expose_secret()).into()),
            ..AuthInfo::default()
        }
    }
}
