//! A listener whose TLS handshakes run beside each other.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// As the API server's `tlsHandshakeTimeout` (`apiserver/pkg/server/secure_serving.go`) is for its proxies.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Beyond this, new connections wait in the operating system's queue until a handshake ends or times out.
const MAX_HANDSHAKES: usize = 512;

type Connection = (TlsStream<TcpStream>, (SocketAddr, Peer));

/// Accepts connections and gives them to the server once they are encrypted: a client that never speaks holds up
/// nobody else.
pub(crate) struct TlsListener {
    tcp: TcpListener,
    tls: TlsAcceptor,
    handshakes: JoinSet<Option<Connection>>,
}

/// The certificate that the client of a connection has shown, if any; the cluster's authority has signed it.
#[derive(Debug, Clone)]
pub(crate) struct Peer(pub(crate) Option<CertificateDer<'static>>);

impl TlsListener {
    pub(crate) fn new(tcp: TcpListener, tls: TlsAcceptor) -> TlsListener {
        TlsListener { tcp, tls, handshakes: JoinSet::new() }
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = (SocketAddr, Peer);

    async fn accept(&mut self) -> Connection {
        loop {
            tokio::select! {
                // That of axum waits where the process is out of file descriptors.
                (stream, address) = Listener::accept(&mut self.tcp),
                    if self.handshakes.len() < MAX_HANDSHAKES =>
                {
                    self.handshakes.spawn(shake_hands(self.tls.clone(), stream, address));
                }
                Some(ended) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = ended {
                        return connection;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<(SocketAddr, Peer)> {
        Ok((self.tcp.local_addr()?, Peer(None)))
    }
}

async fn shake_hands(tls: TlsAcceptor, stream: TcpStream, address: SocketAddr) -> Option<Connection> {
    // Answers are written whole: waiting to fill a packet only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%address, %error, "TCP_NODELAY not set");
    }
    match timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
        Ok(Ok(stream)) => {
            let certificates = stream.get_ref().1.peer_certificates();
            let certificate = certificates.and_then(|chain| chain.first()).cloned();
            Some((stream, (address, Peer(certificate))))
        }
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "TLS handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!(%address, "TLS handshake took too long");
            None
        }
    }
}

impl Connected<IncomingStream<'_, TlsListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Peer {
        stream.remote_addr().1.clone()
    }
}
