//! Serves the API over HTTP/1.1 and TLS: a client that never speaks, or not to the end, holds up nobody else.

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Beyond this, new connections wait in the operating system's queue until one ends.
const MAX_CONNECTIONS: usize = 4096;
/// How long to wait after a failed accept: the process may be out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long answers under way may take once the server stops: who does not read them is not waited for.
const GRACE: Duration = Duration::from_secs(10);

/// The certificate that the client of a connection has shown, if any; the cluster's authority has signed it.
#[derive(Debug, Clone)]
pub(crate) struct Peer(pub(crate) Option<CertificateDer<'static>>);

/// What every connection is served with.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) tls: TlsAcceptor,
    pub(crate) router: Router,
    /// How long a client may take for the TLS handshake, and again for the head of each request.
    pub(crate) read_timeout: Duration,
}

impl Service {
    /// Serves until `shutdown`, then lets the answers under way end. Handlers find the client as `ConnectInfo<Peer>`.
    pub(crate) async fn run(self, listener: TcpListener, shutdown: CancellationToken) {
        let mut open = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(_) = open.join_next() => {}
                accepted = listener.accept(), if open.len() < MAX_CONNECTIONS => match accepted {
                    Ok((stream, _)) => drop(open.spawn(self.clone().serve(stream, shutdown.clone()))),
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        if timeout(GRACE, async { while open.join_next().await.is_some() {} }).await.is_err() {
            tracing::debug!(
                connections = open.len(),
                "connections are cut whose answers were not read in time"
            );
        }
    }

    async fn serve(self, stream: TcpStream, shutdown: CancellationToken) {
        // Answers are written whole: waiting to fill a packet only delays them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY not set");
        }
        let handshake = tokio::select! {
            handshake = timeout(self.read_timeout, self.tls.accept(stream)) => handshake,
            () = shutdown.cancelled() => return,
        };
        let stream = match handshake {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => return tracing::debug!("TLS handshake took too long"),
        };
        let certificates = stream.get_ref().1.peer_certificates();
        let peer = Peer(certificates.and_then(|chain| chain.first()).cloned());
        let router = self.router;
        let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer.clone()));
            router.clone().oneshot(request)
        });
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.read_timeout)
                .serve_connection(TokioIo::new(stream), service)
        );
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended early");
        }
    }
}
