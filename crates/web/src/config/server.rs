use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::{boolean, port};
use crate::{ServerConfig, TlsFiles};

/// Where a service listens; `DEFAULT_PORT` is the service's own and stands in its `--help`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "HTTP")]
pub struct ServerArgs<const DEFAULT_PORT: u16> {
    /// Address to listen on
    #[arg(long, env = "HOST", default_value = "0.0.0.0")]
    pub host: String,

    /// Port to listen on; 0 takes any free one
    #[arg(long, env = "PORT", default_value_t = DEFAULT_PORT, value_parser = port)]
    pub port: u16,

    /// Whether and with what it serves HTTPS.
    #[command(flatten)]
    pub tls: TlsArgs,
}

/// Whether and with what a service serves HTTPS.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "HTTP")]
pub struct TlsArgs {
    /// Serve HTTPS instead of HTTP
    #[arg(long, env = "USE_SSL", default_value = "false", value_parser = boolean, action = ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub use_ssl: bool,

    /// Private key of the certificate, PEM; read when USE_SSL is true
    #[arg(long, env = "SSL_KEYFILE", default_value = "key.pem")]
    pub ssl_keyfile: PathBuf,

    /// Certificate chain, PEM; read when USE_SSL is true
    #[arg(long, env = "SSL_CERTFILE", default_value = "cert.pem")]
    pub ssl_certfile: PathBuf,
}

impl<const DEFAULT_PORT: u16> ServerArgs<DEFAULT_PORT> {
    /// The server's configuration that these settings ask for.
    pub fn server_config(&self) -> ServerConfig {
        self.tls.server_config(&self.host, self.port)
    }
}

impl TlsArgs {
    /// The configuration of a server at this address.
    pub fn server_config(&self, host: &str, port: u16) -> ServerConfig {
        let files = || TlsFiles { certificate: self.ssl_certfile.clone(), key: self.ssl_keyfile.clone() };
        ServerConfig { tls: self.use_ssl.then(files), ..ServerConfig::new(host, port) }
    }
}
