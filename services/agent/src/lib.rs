//! The agent: it runs in a cluster, read-only, dials home over a WebSocket and answers queries.
//!
//! It opens one session after the other for as long as it runs, answers from a cache that a watch feeds where it can
//! and from the cluster's API server where it must, and needs no right beyond those of the ClusterRole that the install
//! script makes.

mod bulk;
mod cluster;
mod config;
mod endpoint;
mod proxy;
mod relay;
mod tls;
mod vitals;

use std::sync::Arc;

use thiserror::Error;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use web::{App, Readiness, ServeError, Server, ServerConfig, Shutdown};

pub use cluster::{ClusterError, ClusterSource};
pub use config::{Config, ConfigError, Settings, Timing};
pub use endpoint::{Endpoint, InvalidEndpoint};
pub use proxy::{InvalidProxy, Proxy};
pub use tls::TlsError;

use cluster::Cluster;
use relay::{Process, Relay};
use vitals::Vitals;

/// Why an agent cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// There is no cluster to answer for.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The relay could not be verified.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The health endpoints cannot be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// An agent that has found its cluster and waits to be run.
pub struct Agent {
    relay: Arc<Relay>,
}

impl Agent {
    /// Finds the cluster and what the relay is to be verified by; connects to neither.
    ///
    /// # Errors
    /// [`StartError`] when there are no usable credentials for a cluster, or no trusted certificates.
    pub async fn new(config: Config) -> Result<Self, StartError> {
        tls::install_provider();
        let cluster = Arc::new(Cluster::new(&config.cluster, &config.proxy, &config.timing).await?);
        let ca_file = config.ca_file.as_deref();
        let tls = config.endpoint.is_encrypted().then(|| tls::client_config(ca_file)).transpose()?;
        let relay = Relay { config, cluster, vitals: Vitals::default(), tls, process: Process::default() };
        Ok(Self { relay: Arc::new(relay) })
    }

    /// Ready while relay and API server both answer.
    pub fn readiness(&self) -> Readiness {
        self.relay.vitals.readiness(&self.relay.cluster, self.relay.config.timing.ready)
    }

    /// Dials home and answers until `shutdown`, then says goodbye.
    pub async fn run(self, shutdown: CancellationToken) {
        let Config { endpoint, agent_id, cluster_id, .. } = &self.relay.config;
        tracing::info!(?endpoint, agent_id, cluster_id, "agent started");
        let cluster = Arc::clone(&self.relay.cluster);
        let _following = AbortOnDropHandle::new(tokio::spawn(async move { cluster.follow().await }));
        self.relay.run(&shutdown).await;
    }
}

/// Starts an agent and its health endpoints as critical tasks of a process.
///
/// # Errors
/// [`StartError`] when there is no cluster, no trusted certificate, or the port is taken.
pub async fn start(config: Config, server: &ServerConfig, shutdown: &Shutdown) -> Result<(), StartError> {
    let agent = Agent::new(config).await?;
    let app = App::new("agent", env!("CARGO_PKG_VERSION")).readiness(agent.readiness());
    let server = Server::bind(server).await?;
    tracing::info!(address = %server.local_addr(), "serving");
    shutdown.spawn_critical("http", server.run(app.into_router(), shutdown.token()));
    shutdown.spawn_service("agent", agent.run(shutdown.token()));
    Ok(())
}
