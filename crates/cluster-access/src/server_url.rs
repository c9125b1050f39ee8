//! The URL of a cluster's API server, as a user gives it.

use std::{fmt, net::IpAddr};

use rustls::pki_types::ServerName;
use thiserror::Error;
use url::{Host, Url};

use crate::address::forbidden;

/// Longer ones are refused, in bytes.
const MAX_LENGTH: usize = 2048;

/// What is allowed beyond an address that anybody may have, over TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Plain HTTP.
    pub http: bool,
    /// Addresses that are refused otherwise: link-local ones, and those of a cloud's metadata.
    pub any_address: bool,
}

/// The URL of an API server: a scheme, a host, perhaps a port and a path, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl(Url);

/// Why a URL is none.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidServerUrl {
    /// It cannot be read.
    #[error("must be a URL such as https://203.0.113.7:6443: {0}")]
    Unreadable(String),
    /// It is too long.
    #[error("is longer than {MAX_LENGTH} bytes")]
    TooLong,
    /// It has another scheme.
    #[error("must begin with https://; with use_secure_tls false it may begin with http://")]
    Scheme,
    /// It holds a name or a password.
    #[error("must not hold a user name or a password: send the token as a field of its own")]
    UserInfo,
    /// It has a query or a fragment.
    #[error("must not have a query or a fragment")]
    Query,
    /// No cluster is looked for there.
    #[error("is {0}")]
    Address(&'static str),
}

impl ServerUrl {
    /// Checks what a user gives. A name is looked up only when it is connected to, and its addresses are checked then.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, allowed: Allowed) -> Result<Self, InvalidServerUrl> {
        if text.len() > MAX_LENGTH {
            return Err(InvalidServerUrl::TooLong);
        }
        let url = Url::parse(text).map_err(|error| InvalidServerUrl::Unreadable(error.to_string()))?;
        match url.scheme() {
            "https" => {}
            "http" if allowed.http => {}
            _ => return Err(InvalidServerUrl::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidServerUrl::UserInfo);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidServerUrl::Query);
        }
        let address = match url.host() {
            Some(Host::Ipv4(v4)) => Some(IpAddr::V4(v4)),
            Some(Host::Ipv6(v6)) => Some(IpAddr::V6(v6)),
            Some(Host::Domain(_)) | None => None,
        };
        if let Some(reason) = address.filter(|_| !allowed.any_address).and_then(forbidden) {
            return Err(InvalidServerUrl::Address(reason));
        }
        Ok(Self(url))
    }

    /// The URL.
    pub fn url(&self) -> &Url {
        &self.0
    }
}

/// Whether it can be the name in a server's certificate: a DNS name or an address.
pub fn is_server_name(text: &str) -> bool {
    ServerName::try_from(text).is_ok()
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, InvalidServerUrl> {
        ServerUrl::parse(text, Allowed::default()).map(|url| url.to_string())
    }

    #[test]
    fn a_server_has_a_scheme_a_host_and_perhaps_a_port_and_a_path() {
        assert_eq!(parse("https://203.0.113.7:6443").unwrap(), "https://203.0.113.7:6443");
        assert_eq!(parse("https://Example.COM/").unwrap(), "https://example.com");
        assert_eq!(
            parse("https://rancher.example.com/k8s/clusters/c-1").unwrap(),
            "https://rancher.example.com/k8s/clusters/c-1"
        );
        assert_eq!(parse("https://[2001:db8::1]:6443").unwrap(), "https://[2001:db8::1]:6443");
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        for text in ["", "203.0.113.7:6443", "//203.0.113.7", "https://"] {
            assert!(parse(text).is_err(), "{text}: {:?}", parse(text));
        }
        for text in ["http://203.0.113.7", "ftp://203.0.113.7", "file:///etc/passwd", "unix:/run/docker.sock"]
        {
            assert_eq!(parse(text), Err(InvalidServerUrl::Scheme), "{text}");
        }
        for text in ["https://a@b.example", "https://:b@c.example", "https://203.0.113.7%2f@b.example"] {
            assert_eq!(parse(text), Err(InvalidServerUrl::UserInfo), "{text}");
        }
        // A backslash is a slash, so what follows is a path.
        assert_eq!(parse("https://203.0.113.7\\@b.example").unwrap(), "https://203.0.113.7/@b.example");
        assert_eq!(parse("https://a:b@c.example"), Err(InvalidServerUrl::UserInfo));
        assert_eq!(parse("https://a.example/?x"), Err(InvalidServerUrl::Query));
        assert_eq!(parse("https://a.example/#x"), Err(InvalidServerUrl::Query));
        // Also written as a number, as octal and hexadecimal digits, and as IPv6.
        for host in [
            "169.254.169.254",
            "2852039166",
            "0xa9fea9fe",
            "0251.0376.0251.0376",
            "[::ffff:169.254.169.254]",
            "[fe80::1]",
            "0.0.0.0",
            "[fd00:ec2::254]",
        ] {
            let parsed = parse(&format!("https://{host}/latest/meta-data"));
            assert!(matches!(parsed, Err(InvalidServerUrl::Address(_))), "{host}: {parsed:?}");
        }
        let anywhere = Allowed { http: true, any_address: true };
        assert!(ServerUrl::parse("http://169.254.169.254", anywhere).is_ok());
    }
}
