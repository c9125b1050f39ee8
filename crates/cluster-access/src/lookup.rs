//! Names become addresses here, and what may not be connected to is refused here: after the lookup, so that no name leads there.

use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll},
    vec,
};

use futures_util::future::BoxFuture;
use hyper_util::client::legacy::connect::dns::Name;
use tower::Service;

use crate::address::forbidden;

/// Who knows the addresses of names.
pub(crate) type Resolver = fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;

/// Looks names up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lookup {
    any_address: bool,
    resolver: Resolver,
}

impl Lookup {
    /// By the system's resolver; with `any_address`, those addresses are kept that are refused otherwise.
    pub(crate) fn by_system(any_address: bool) -> Self {
        Self { any_address, resolver: |host, port| Box::pin(system(host, port)) }
    }

    /// The addresses of a host to which a connection may be made; at least one.
    pub(crate) async fn addresses(self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let found = (self.resolver)(host.to_owned(), port).await?;
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

async fn system(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host((host, port)).await?.collect())
}

impl Service<Name> for Lookup {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

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

    impl Lookup {
        /// Every name has the address of a cloud's metadata.
        pub(crate) fn everything_is_metadata() -> Self {
            let resolver: Resolver =
                |_, port| Box::pin(async move { Ok(vec![SocketAddr::from(([169, 254, 169, 254], port))]) });
            Self { any_address: false, resolver }
        }
    }

    #[tokio::test]
    async fn a_name_of_a_forbidden_address_is_refused_after_the_lookup() {
        // The resolver answers for addresses as for names, also written as a number.
        for host in ["169.254.169.254", "2852039166", "::ffff:169.254.169.254", "0"] {
            let refused = Lookup::by_system(false).addresses(host, 443).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied, "{host}: {refused}");
        }
        let refused = Lookup::everything_is_metadata().addresses("cluster.example", 443).await.unwrap_err();
        assert!(refused.to_string().contains("link-local"), "{refused}");
        assert!(Lookup::by_system(true).addresses("169.254.169.254", 443).await.is_ok());
        assert!(Lookup::by_system(false).addresses("localhost", 443).await.is_ok());
    }
}
