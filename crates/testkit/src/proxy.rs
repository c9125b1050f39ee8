//! A TCP proxy that can be told to misbehave.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};
use tokio_util::sync::{CancellationToken, DropGuard};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Forward,
    /// New connections are closed at once.
    Refuse,
    /// Bytes are taken and go nowhere.
    Swallow,
}

/// Stands between a client and a server.
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    /// Counts the cuts; each ends the connections made before it.
    cuts: watch::Sender<u64>,
    accepted: watch::Receiver<u64>,
    _stop: DropGuard,
}

impl Proxy {
    /// Listens on a free port and forwards to `upstream`.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(upstream: impl Into<String>) -> anyhow::Result<Self> {
        let upstream = upstream.into();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mode = watch::Sender::new(Mode::Forward);
        let cuts = watch::Sender::new(0);
        let stop = CancellationToken::new();
        let (modes, cut) = (mode.subscribe(), cuts.subscribe());
        let (count, accepted) = watch::channel(0);
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            while let Ok((client, _)) = listener.accept().await {
                count.send_modify(|accepted| *accepted += 1);
                tokio::spawn(serve(client, upstream.clone(), modes.clone(), cut.clone()));
            }
        }));
        Ok(Self { address, mode, cuts, accepted, _stop: stop.drop_guard() })
    }

    /// How many connections clients have made so far.
    pub fn accepted(&self) -> u64 {
        *self.accepted.borrow()
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resets every connection and refuses new ones until [`resume`](Self::resume).
    pub fn cut(&self) {
        self.mode.send_replace(Mode::Refuse);
        self.reset();
    }

    /// Resets every connection; new ones are forwarded.
    pub fn reset(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Takes bytes and forwards none: a half-open connection. One that has lost bytes stays so; new ones are forwarded after
    /// [`resume`](Self::resume).
    pub fn swallow(&self) {
        self.mode.send_replace(Mode::Swallow);
    }

    /// Forwards again.
    pub fn resume(&self) {
        self.mode.send_replace(Mode::Forward);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.reset();
    }
}

async fn serve(
    client: TcpStream,
    upstream: String,
    mode: watch::Receiver<Mode>,
    mut cuts: watch::Receiver<u64>,
) {
    cuts.mark_unchanged();
    if *mode.borrow() == Mode::Refuse {
        return;
    }
    let Ok(server) = TcpStream::connect(upstream).await else {
        return;
    };
    // With no time to linger, closing resets the connection.
    let _ = (client.set_zero_linger(), server.set_zero_linger());
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = forward(from_client, to_server, mode.clone()) => {}
        () = forward(from_server, to_client, mode) => {}
        _ = cuts.changed() => {}
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut mode: watch::Receiver<Mode>) {
    let mut buffer = vec![0; 16 * 1024];
    let mut is_dead = false;
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        is_dead |= *mode.borrow() == Mode::Swallow;
        if is_dead {
            continue;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    // Also that one side has closed the connection the other one does not see. The sender lives as long as the proxy.
    let _ = mode.wait_for(|mode| *mode != Mode::Swallow).await;
}
