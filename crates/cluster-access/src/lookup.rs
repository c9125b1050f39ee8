//! Names become addresses here, and what may not be connected to is refused here: after the lookup, so that no name leads there.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    vec,
};

use hyper_util::client::legacy::connect::dns::Name;
use tower::Service;

use crate::address::forbidden;

/// Looks names up with the system's resolver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lookup {
    /// Whether those addresses are kept that are refused otherwise.
    pub(crate) any_address: bool,
}

impl Lookup {
    /// The addresses of a host to which a connection may be made; at least one.
    pub(crate) async fn addresses(self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
        let reason = found.iter().find_map(|address| forbidden(address.ip()));
        let allowed: Vec<SocketAddr> = found
            .into_iter()
            .filter(|address| self.any_address || forbidden(address.ip()).is_none())
            .collect();
        match (allowed.is_empty(), reason) {
            (false, _) => Ok(allowed),
            (true, Some(reason)) => {
                Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{host} is {reason}")))
            }
            (true, None) => Err(io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"))),
        }
    }
}

impl Service<Name> for Lookup {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let lookup = *self;
        // The port is the connector's to fill in.
        Box::pin(async move { Ok(lookup.addresses(name.as_str(), 0).await?.into_iter()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_of_a_forbidden_address_is_refused_after_the_lookup() {
        // The resolver answers for addresses as for names, also written as a number.
        for host in ["169.254.169.254", "2852039166", "::ffff:169.254.169.254", "0"] {
            let refused = Lookup { any_address: false }.addresses(host, 443).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied, "{host}: {refused}");
        }
        assert!(Lookup { any_address: true }.addresses("169.254.169.254", 443).await.is_ok());
        assert!(Lookup { any_address: false }.addresses("localhost", 443).await.is_ok());
    }
}
