//! Where the process listens, and where it is reached.

use std::net::SocketAddr;

use url::Url;
use web::{ServeError, Server, ServerConfig};

use crate::cli::UpArgs;

/// Where the process is reached.
pub(crate) struct Addresses {
    /// By everybody.
    pub(crate) public: Url,
    /// By itself.
    pub(crate) inside: Url,
}

/// The agent inside speaks plain HTTP over loopback. Where the server speaks TLS, whose certificate is made out to another
/// name, or listens elsewhere, it gets a listener of its own.
pub(crate) async fn listen_inside(args: &UpArgs, server: &Server) -> Result<Option<Server>, ServeError> {
    let ip = server.local_addr().ip();
    if !args.tls.use_ssl && (ip.is_loopback() || ip.is_unspecified()) {
        return Ok(None);
    }
    Ok(Some(Server::bind(&ServerConfig::new("127.0.0.1", 0)).await?))
}

impl Addresses {
    pub(crate) fn of(
        args: &UpArgs,
        server: &Server,
        inside: Option<&Server>,
    ) -> Result<Self, url::ParseError> {
        let scheme = if args.tls.use_ssl { "https" } else { "http" };
        let public = reachable(scheme, server.local_addr())?;
        let inside = inside.map(|inside| reachable("http", inside.local_addr())).transpose()?;
        Ok(Self { inside: inside.unwrap_or_else(|| public.clone()), public })
    }
}

/// The address by which this machine reaches the server.
fn reachable(scheme: &str, address: SocketAddr) -> Result<Url, url::ParseError> {
    let host = if address.ip().is_unspecified() { "127.0.0.1".to_owned() } else { address.ip().to_string() };
    let host = if address.is_ipv6() && !address.ip().is_unspecified() { format!("[{host}]") } else { host };
    Url::parse(&format!("{scheme}://{host}:{}", address.port()))
}
