//! What a user gives of a cluster, checked before it is stored.

use cluster_access::{Allowed, Credentials, Identity, ServerUrl, Trust, is_server_name, tls_data};
use contracts::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use web::FieldError;

use super::StoredError;

/// The longest name of a cluster and of what else is only shown, in characters.
const MAX_NAME: usize = 253;
/// The longest text of tags, in characters.
const MAX_TAGS: usize = 4096;
/// The longest token, in bytes. An API server takes a megabyte of headers; tokens have some hundreds of bytes, those of identity
/// providers some thousands.
const MAX_TOKEN: usize = 16 * 1024;

/// What a user gives, by the names of the API.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    pub(crate) cluster_name: String,
    pub(crate) server_url: String,
    pub(crate) token: Option<SecretString>,
    pub(crate) context_name: Option<String>,
    pub(crate) provider_name: Option<String>,
    pub(crate) tags: Option<String>,
    pub(crate) use_secure_tls: bool,
    pub(crate) ca_data: Option<String>,
    /// Whether the authorities that this machine trusts will do.
    pub(crate) public_ca: bool,
    pub(crate) tls_server_name: Option<String>,
    pub(crate) tls_cert: Option<String>,
    pub(crate) tls_key: Option<SecretString>,
}

/// A cluster that can be stored.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub(crate) name: String,
    pub(crate) context_name: Option<String>,
    pub(crate) provider_name: Option<String>,
    pub(crate) tags: Option<String>,
    pub(crate) credentials: Credentials,
}

/// Gathers what is wrong.
#[derive(Default)]
struct Wrong(Vec<FieldError>);

impl Wrong {
    fn is(&mut self, field: &str, message: impl Into<String>) {
        self.0.push(FieldError { field: field.to_owned(), message: message.into() });
    }

    /// The value, or what is wrong with it is noted.
    fn value<T, E: ToString>(&mut self, field: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.is(field, error.to_string())).ok()
    }
}

impl Given {
    /// Checks every field, and names all that cannot be accepted. `any_address` allows what is refused otherwise.
    pub(crate) fn check(self, any_address: bool, now: Timestamp) -> Result<Checked, StoredError> {
        let mut wrong = Wrong::default();
        let seconds = now.as_millis() / 1000;
        for (field, text, max) in [
            ("cluster_name", Some(&self.cluster_name), MAX_NAME),
            ("context_name", self.context_name.as_ref(), MAX_NAME),
            ("provider_name", self.provider_name.as_ref(), MAX_NAME),
            ("tls_server_name", self.tls_server_name.as_ref(), MAX_NAME),
            ("tags", self.tags.as_ref(), MAX_TAGS),
        ] {
            if let Some(message) = text.and_then(|text| unprintable(text, max)) {
                wrong.is(field, message);
            }
        }
        if self.cluster_name.trim().is_empty() || self.cluster_name.trim() != self.cluster_name {
            wrong.is("cluster_name", "must have 1 to 253 characters, and no space at its ends");
        }
        if self.tls_server_name.as_ref().is_some_and(|name| !is_server_name(name)) {
            wrong.is("tls_server_name", "must be the name in a certificate: a DNS name or an address");
        }
        let allowed = Allowed { http: !self.use_secure_tls, any_address };
        let server = wrong.value("server_url", ServerUrl::parse(&self.server_url, allowed));
        let is_empty = self.token.as_ref().is_some_and(|token| token.expose_secret().is_empty());
        let token = self.token.filter(|_| !is_empty);
        if let Some(message) = token.as_ref().and_then(unusable) {
            wrong.is("token", message);
        }
        let certificate =
            self.tls_cert.and_then(|text| wrong.value("tls_cert", tls_data::certificate(&text, seconds)));
        let identity = match (certificate, self.tls_key) {
            (Some(certificate), Some(key)) => wrong
                .value("tls_key", tls_data::key_of(&certificate, &key))
                .map(|key| Identity { certificate, key }),
            (Some(_), None) => {
                wrong.is("tls_key", "is needed with tls_cert");
                None
            }
            (None, Some(_)) if wrong.0.iter().all(|error| error.field != "tls_cert") => {
                wrong.is("tls_cert", "is needed with tls_key");
                None
            }
            (None, _) => None,
        };
        if token.is_none() && identity.is_none() && wrong.0.is_empty() {
            wrong.is("token", if is_empty { "is empty" } else { "is needed, or tls_cert and tls_key" });
        }
        let ca_data = self.ca_data.filter(|text| !text.trim().is_empty());
        let trust = match (self.use_secure_tls, ca_data) {
            (false, _) => Trust::Nobody,
            (true, None) if self.public_ca => Trust::Public,
            (true, None) => {
                wrong.is(
                    "ca_data",
                    "is needed: the certificates of the authorities, as PEM or PEM in Base64; with use_secure_tls false the server is \
                     not checked",
                );
                Trust::Public
            }
            (true, Some(text)) => {
                let pem = wrong.value("ca_data", tls_data::authorities(&text, seconds));
                pem.map(Trust::Authorities).unwrap_or_default()
            }
        };
        match server {
            Some(server) if wrong.0.is_empty() => Ok(Checked {
                name: self.cluster_name,
                context_name: self.context_name,
                provider_name: self.provider_name,
                tags: self.tags,
                credentials: Credentials {
                    server,
                    server_name: self.tls_server_name,
                    token,
                    identity,
                    trust,
                },
            }),
            _ => Err(StoredError::Invalid(wrong.0)),
        }
    }
}

fn unprintable(text: &str, max: usize) -> Option<String> {
    if text.chars().any(char::is_control) {
        return Some("must not hold line breaks or other control characters".to_owned());
    }
    (text.chars().count() > max).then(|| format!("must have at most {max} characters"))
}

/// What is wrong with a token. It goes into a header.
fn unusable(token: &SecretString) -> Option<String> {
    let text = token.expose_secret();
    if text.len() > MAX_TOKEN {
        return Some(format!("is longer than {} KiB", MAX_TOKEN / 1024));
    }
    let is_one = text.bytes().all(|byte| byte.is_ascii_graphic());
    (!is_one).then(|| "must be the token alone, without spaces or line breaks (and not in Base64)".to_owned())
}
