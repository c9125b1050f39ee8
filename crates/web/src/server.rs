//! Serves a router over HTTP/1.1, with or without TLS, until told to stop.
//!
//! The accept loop stands here because the usual ones (`axum::serve`, axum-server) wait without a limit for a
//! connection's first byte, and axum-server loses HTTP upgrades when it is held to HTTP/1.1.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use futures_util::FutureExt;
use hyper::{
    body::Incoming,
    header::{self, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_io_timeout::TimeoutWriter;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::{
    metrics::{CONNECTIONS, Held},
    tls::{TlsError, TlsFiles},
};

/// How long to wait after a failed accept: the process may be out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// So long after the server is told to stop, a connection without a request is still open. A caller who is just sending one on it
/// gets an answer, which says that it is the last; were it closed, the caller could not know whether the request was heeded.
const LAST_REQUEST: Duration = Duration::from_secs(1);

/// Where and how to serve.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The address or name to listen on.
    pub host: String,
    /// The port to listen on; 0 takes any free one.
    pub port: u16,
    /// The certificate to serve TLS with; without it the server speaks plain HTTP.
    pub tls: Option<TlsFiles>,
    /// How long a caller may take for the TLS handshake, and again for the head of each request.
    pub head_timeout: Duration,
    /// How long a caller may take nothing of what is written to it.
    pub write_timeout: Duration,
    /// So many connections are open at once; further ones wait to be accepted. Those that were upgraded are not counted.
    pub max_connections: usize,
    /// How long requests under way may still run once the server is told to stop.
    pub grace: Duration,
}

impl ServerConfig {
    /// Plain HTTP, 10 s for a request's head, 30 s for a caller that does not read, and 20 s of grace: less than [`crate::Shutdown`] gives the process.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            tls: None,
            head_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            max_connections: 10_000,
            grace: Duration::from_secs(20),
        }
    }
}

/// Why a server cannot start or did not end well, in one line for a person.
#[derive(Debug, Error)]
pub enum ServeError {
    /// Another process listens there.
    #[error("port {port} on {host} is in use: stop what listens there or set PORT to another")]
    PortInUse {
        /// The address or name.
        host: String,
        /// The port.
        port: u16,
    },
    /// The address cannot be listened on for another reason.
    #[error("cannot listen on {host}, port {port}: {source}")]
    Bind {
        /// The address or name.
        host: String,
        /// The port.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Requests were still under way when the grace period ended.
    #[error("{0} connections were cut because their requests did not end in time")]
    Cut(usize),
}

/// A server that has its port and its certificate, and waits to be run.
pub struct Server {
    listener: TcpListener,
    local_addr: SocketAddr,
    connections: Connections,
    places: Arc<Semaphore>,
    grace: Duration,
}

/// What each connection is served with.
#[derive(Clone)]
struct Connections {
    tls: Option<TlsAcceptor>,
    head_timeout: Duration,
    write_timeout: Duration,
}

impl Server {
    /// Takes the port and reads the certificate.
    pub async fn bind(config: &ServerConfig) -> Result<Self, ServeError> {
        let tls =
            config.tls.as_ref().map(TlsFiles::load).transpose()?.map(|tls| TlsAcceptor::from(Arc::new(tls)));
        let failed = |source: io::Error| match (source.kind(), config.host.clone(), config.port) {
            (io::ErrorKind::AddrInUse, host, port) => ServeError::PortInUse { host, port },
            (_, host, port) => ServeError::Bind { host, port, source },
        };
        let listener = TcpListener::bind((config.host.as_str(), config.port)).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        let connections =
            Connections { tls, head_timeout: config.head_timeout, write_timeout: config.write_timeout };
        let places = Arc::new(Semaphore::new(config.max_connections));
        Ok(Self { listener, local_addr, connections, places, grace: config.grace })
    }

    /// The address that it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `shutdown`, then takes no more connections and lets requests under way end within the grace
    /// period. Handlers find the peer as `ConnectInfo<SocketAddr>`. Upgraded connections (WebSockets) are not
    /// waited for: whoever took them over closes them.
    ///
    /// # Errors
    /// [`ServeError::Cut`] when the grace period was not enough.
    pub async fn run(self, router: Router, shutdown: CancellationToken) -> Result<(), ServeError> {
        let mut open = JoinSet::new();
        let serve = |open: &mut JoinSet<()>, place: Option<OwnedSemaphorePermit>, stream, peer| {
            let serving = self.connections.clone().serve(stream, peer, router.clone(), shutdown.clone());
            open.spawn(async move {
                let _open = Held::new(CONNECTIONS, 1.0);
                serving.await;
                drop(place);
            });
        };
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(_) = open.join_next() => {}
                (place, accepted) = self.accept() => match accepted {
                    Ok((stream, peer)) => serve(&mut open, place, stream, peer),
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        // The system has accepted these already: were they dropped, their callers would see a reset.
        while let Some((place, Ok((stream, peer)))) = self.accept().now_or_never() {
            serve(&mut open, place, stream, peer);
        }
        drop(self.listener);
        let all_ended = timeout(self.grace, async { while open.join_next().await.is_some() {} }).await;
        all_ended.map_err(|_| ServeError::Cut(open.len()))
    }
}

impl Server {
    /// The next connection, once there is a place for it.
    async fn accept(&self) -> (Option<OwnedSemaphorePermit>, io::Result<(TcpStream, SocketAddr)>) {
        // The semaphore is never closed.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        (place, self.listener.accept().await)
    }
}

impl Connections {
    async fn serve(self, stream: TcpStream, peer: SocketAddr, router: Router, shutdown: CancellationToken) {
        // Answers are written whole: waiting to fill a packet only delays them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "TCP_NODELAY not set");
        }
        let Some(tls) = &self.tls else {
            return self.serve_http(stream, peer, router, shutdown).await;
        };
        match timeout(self.head_timeout, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.serve_http(stream, peer, router, shutdown).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
        }
    }

    async fn serve_http<S>(&self, stream: S, peer: SocketAddr, router: Router, shutdown: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stops = shutdown.clone();
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            let answering = router.clone().oneshot(request);
            let stops = stops.clone();
            async move {
                let mut answer = answering.await?;
                if stops.is_cancelled() {
                    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(answer)
            }
        });
        let mut stream = TimeoutWriter::new(stream);
        stream.set_timeout(Some(self.write_timeout));
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.head_timeout)
                .serve_connection(TokioIo::new(Box::pin(stream)), service)
                .with_upgrades()
        );
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = async { shutdown.cancelled().await; sleep(LAST_REQUEST).await } => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "connection ended early");
        }
    }
}
