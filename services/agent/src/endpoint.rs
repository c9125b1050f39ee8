//! Where the agent dials home to.

use std::fmt;

use http::Uri;
use thiserror::Error;
use url::{Host, Url};

const CONNECT_PATH: &str = "/api/v1/agents/connect";

/// The WebSocket's address.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

/// The text is no address to dial home to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidEndpoint {
    /// Not a URL with a host.
    #[error("must be a URL such as https://kubesage.example.com")]
    NotAUrl,
    /// Another scheme.
    #[error("must begin with https://, wss://, http:// or ws://, not {0}://")]
    Scheme(String),
    /// What has no place in it.
    #[error("must not hold a user, a password, a query or a fragment")]
    Superfluous,
    /// The key would travel in the clear.
    #[error(
        "is not encrypted, and {0} is not this machine: use https://, or set ALLOW_INSECURE_ENDPOINT=true if nobody \
         else can listen on the way"
    )]
    Insecure(String),
}

impl Endpoint {
    /// Reads onboarding's address and completes it.
    ///
    /// # Errors
    /// [`InvalidEndpoint`]; in particular without TLS to another machine, unless `allow_insecure`.
    pub fn parse(text: &str, allow_insecure: bool) -> Result<Self, InvalidEndpoint> {
        let mut url = Url::parse(text.trim()).map_err(|_| InvalidEndpoint::NotAUrl)?;
        let scheme = match url.scheme() {
            "https" | "wss" => "wss",
            "http" | "ws" => "ws",
            other => return Err(InvalidEndpoint::Scheme(other.chars().take(20).collect())),
        };
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidEndpoint::Superfluous);
        }
        let host = url.host().ok_or(InvalidEndpoint::NotAUrl)?;
        if scheme == "ws" && !is_loopback(&host) && !allow_insecure {
            return Err(InvalidEndpoint::Insecure(host.to_string()));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        if path.ends_with(CONNECT_PATH) {
            url.set_path(&path);
        } else {
            url.set_path(&format!("{path}{CONNECT_PATH}"));
        }
        url.set_scheme(scheme).map_err(|()| InvalidEndpoint::NotAUrl)?;
        Ok(Self(url))
    }

    /// The address as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// `host:port`, to connect to.
    pub(crate) fn authority(&self) -> String {
        // Both schemes have a port of their own, and the host was checked.
        let port = self.0.port_or_known_default().unwrap_or(443);
        format!("{}:{port}", self.0.host_str().unwrap_or_default())
    }

    /// The host as a proxy is asked for it.
    pub(crate) fn address(&self) -> Uri {
        let scheme = if self.is_encrypted() { "https" } else { "http" };
        // Whatever stands in a parsed URL can stand in a URI.
        format!("{scheme}://{}/", self.authority()).parse().unwrap_or_default()
    }

    /// Whether it is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        self.0.host().is_some_and(|host| is_loopback(&host))
    }

    /// Whether the connection is by TLS.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.0.scheme() == "wss"
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn complete(text: &str) -> String {
        Endpoint::parse(text, false).map_or_else(|error| error.to_string(), |endpoint| endpoint.0.into())
    }

    #[test]
    fn schemes_and_path_are_completed() {
        for text in ["https://k.example", "wss://k.example/", "https://k.example/api/v1/agents/connect/"] {
            assert_eq!(complete(text), "wss://k.example/api/v1/agents/connect");
        }
        assert_eq!(complete("https://k.example:8009/sub/"), "wss://k.example:8009/sub/api/v1/agents/connect");
        assert_eq!(complete("http://localhost:8009"), "ws://localhost:8009/api/v1/agents/connect");
        assert_eq!(complete("http://[::1]:8009"), "ws://[::1]:8009/api/v1/agents/connect");
        assert_eq!(complete("ws://127.0.0.1:80"), "ws://127.0.0.1/api/v1/agents/connect");
    }

    #[test]
    fn an_unencrypted_endpoint_elsewhere_needs_consent() {
        let insecure = Err(InvalidEndpoint::Insecure("k.example".to_owned()));
        assert_eq!(Endpoint::parse("http://k.example", false), insecure);
        assert!(Endpoint::parse("http://k.example", true).is_ok());
        // Not loopback, only called like it.
        assert!(Endpoint::parse("http://localhost.k.example", false).is_err());
        assert!(Endpoint::parse("http://10.0.0.1", false).is_err());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        assert_eq!(Endpoint::parse("k.example", false), Err(InvalidEndpoint::NotAUrl));
        assert_eq!(Endpoint::parse("ftp://k", false), Err(InvalidEndpoint::Scheme("ftp".to_owned())));
        for text in ["https://u:p@k.example", "https://k.example?x=1", "https://k.example#x"] {
            assert_eq!(Endpoint::parse(text, false), Err(InvalidEndpoint::Superfluous));
        }
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_without_consent_is_encrypted_or_loopback(text in "(https?|wss?)://\\PC{0,30}") {
            if let Ok(endpoint) = Endpoint::parse(&text, false) {
                prop_assert!(endpoint.is_encrypted() || is_loopback(&endpoint.0.host().unwrap()));
                prop_assert!(endpoint.0.path().ends_with(CONNECT_PATH));
            }
        }
    }
}
