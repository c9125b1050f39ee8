//! The way to the relay: straight, or through an HTTP proxy (`HTTPS_PROXY`, `NO_PROXY`).

use std::{fmt, io};

use http::Uri;
use hyper_util::{
    client::{
        legacy::connect::{HttpConnector, proxy::Tunnel},
        proxy::matcher::{Intercept, Matcher},
    },
    rt::TokioIo,
};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use tokio::net::TcpStream;
use tower::ServiceExt;
use url::Url;
use web::error_chain;

use crate::endpoint::Endpoint;

/// Which addresses are reached through which proxy. It may hold a password.
#[derive(Clone, Default)]
pub struct Proxy(Option<std::sync::Arc<Matcher>>);

/// The text is no proxy's address. It may hold a password, so it is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be http://[user:password@]host:port")]
pub struct InvalidProxy;

/// No connection came about.
#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    #[error("{0}")]
    Direct(#[from] io::Error),
    #[error("by the proxy {proxy}: {reason}")]
    Tunnel { proxy: String, reason: String },
}

impl Proxy {
    /// Reads the proxy's address and the list of hosts, domains and networks that are reached without it, as curl does.
    ///
    /// # Errors
    /// [`InvalidProxy`], also for a proxy that is spoken to by TLS or SOCKS.
    pub fn new(https_proxy: &SecretString, no_proxy: Option<&str>) -> Result<Self, InvalidProxy> {
        let text = https_proxy.expose_secret().trim();
        let url = Url::parse(text).map_err(|_| InvalidProxy)?;
        if url.scheme() != "http" || !url.has_host() {
            return Err(InvalidProxy);
        }
        Ok(Self(Some(Matcher::builder().all(text).no(no_proxy.unwrap_or_default()).build().into())))
    }

    /// The proxy for an address, if it is to be reached through one.
    pub(crate) fn of(&self, address: &Uri) -> Option<Intercept> {
        self.0.as_ref()?.intercept(address)
    }

    /// Opens a connection to the relay's host, also by way of the proxy. This machine is never reached through one.
    pub(crate) async fn connect(&self, endpoint: &Endpoint) -> Result<TcpStream, ConnectError> {
        let address = endpoint.address();
        let intercept = if endpoint.is_loopback() { None } else { self.of(&address) };
        let stream = match intercept {
            None => TcpStream::connect(endpoint.authority()).await?,
            Some(proxy) => tunnel(&proxy, address).await?,
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

async fn tunnel(proxy: &Intercept, address: Uri) -> Result<TcpStream, ConnectError> {
    let mut tunnel = Tunnel::new(proxy.uri().clone(), HttpConnector::new());
    if let Some(auth) = proxy.basic_auth() {
        tunnel = tunnel.with_auth(auth.clone());
    }
    let opened = tunnel.oneshot(address).await.map(TokioIo::into_inner);
    opened.map_err(|error| ConnectError::Tunnel {
        proxy: proxy.uri().authority().map(ToString::to_string).unwrap_or_default(),
        reason: error_chain(&error),
    })
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Proxy([redacted])" } else { "Proxy(none)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(url: &str, no_proxy: &str) -> Proxy {
        Proxy::new(&url.into(), Some(no_proxy)).unwrap()
    }

    #[test]
    fn hosts_domains_and_networks_are_left_out() {
        let proxy = proxy("http://user:secret@proxy.example:3128", "k.example,.svc,10.0.0.0/8");
        let goes_through = |address: &str| proxy.of(&address.parse().unwrap()).is_some();
        assert!(goes_through("https://kubesage.example.com:8009"));
        for direct in
            ["https://k.example", "https://a.k.example", "https://api.default.svc:443", "https://10.1.2.3"]
        {
            assert!(!goes_through(direct), "{direct}");
        }
        assert!(!format!("{proxy:?}").contains("secret"));
    }

    #[test]
    fn what_is_no_http_proxy_is_refused() {
        for text in ["", "proxy:3128", "https://proxy:3128", "socks5://proxy", "http://"] {
            assert_eq!(Proxy::new(&text.into(), None).unwrap_err(), InvalidProxy, "{text}");
        }
    }
}
