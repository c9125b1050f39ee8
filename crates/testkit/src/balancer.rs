//! A TCP load balancer: connections go to the servers in turn, and past those that do not answer.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Stands before several servers.
pub struct Balancer {
    address: SocketAddr,
    servers: Arc<Servers>,
    /// Counts the cuts; each ends the connections made before it.
    cuts: watch::Sender<u64>,
    _stop: DropGuard,
}

#[derive(Default)]
struct Servers {
    addresses: Mutex<Vec<SocketAddr>>,
    turn: AtomicUsize,
}

impl Balancer {
    /// Listens on a free port, for these servers.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(servers: Vec<SocketAddr>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let servers = Arc::new(Servers { addresses: Mutex::new(servers), turn: AtomicUsize::new(0) });
        let (cuts, stop) = (watch::Sender::new(0), CancellationToken::new());
        let (serving, cut) = (Arc::clone(&servers), cuts.subscribe());
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut cut = cut.clone();
                cut.mark_unchanged();
                let servers = Arc::clone(&serving);
                tokio::spawn(async move {
                    tokio::select! {
                        () = servers.serve(client) => {}
                        // The sender lives as long as the balancer.
                        _ = cut.changed() => {}
                    }
                });
            }
        }));
        Ok(Self { address, servers, cuts, _stop: stop.drop_guard() })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// New connections go to these servers from now on.
    pub fn balance(&self, servers: Vec<SocketAddr>) {
        *self.servers.addresses.lock().unwrap_or_else(PoisonError::into_inner) = servers;
    }

    /// Ends every connection; new ones are served.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Servers {
    async fn serve(&self, mut client: TcpStream) {
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        for number in 0..addresses.len() {
            let address = addresses[(turn + number) % addresses.len()];
            if let Ok(mut server) = TcpStream::connect(address).await {
                // It ends with either side.
                let _ = copy_bidirectional(&mut client, &mut server).await;
                return;
            }
        }
    }
}
