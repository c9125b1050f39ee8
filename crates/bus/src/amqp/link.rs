//! One connection that is kept for ever.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::StreamExt;
use lapin::{
    Connection, ConnectionProperties, Event,
    tcp::{AMQPUriTcpExt, OwnedTLSConfig},
    uri::AMQPUri,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Includes the handshake and the opening of what goes on the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A broker that is busy recovering large queues takes a while to declare one.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(30);
/// Pauses between attempts: 0.2 s growing to 2 s, and up to twice as long with jitter, so that service is back within five
/// seconds of the broker.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A connection that lived so long was a good one: the pauses start small again.
const GOOD_CONNECTION: Duration = Duration::from_secs(10);

/// A connection and what was opened on it (`T`), while there is one.
pub(super) struct Link<T> {
    connections: Connections,
    current: watch::Receiver<Option<Arc<T>>>,
    up: watch::Receiver<bool>,
    _stop: DropGuard,
}

/// The connection of a link, while there is one.
#[derive(Clone)]
pub(super) struct Connections(watch::Receiver<Option<Arc<Connection>>>);

impl Connections {
    /// Waits until there is one; false when the link is gone.
    pub(super) async fn wait(&mut self) -> bool {
        self.0.wait_for(Option::is_some).await.is_ok()
    }

    /// What `operation` does on the connection that there is. It fails when that is lost meanwhile, or the broker does not
    /// answer in time: lapin may leave what was begun on a dying connection without an end.
    pub(super) async fn with_current<T>(
        &self,
        operation: impl AsyncFnOnce(&Connection) -> lapin::Result<T>,
    ) -> lapin::Result<T> {
        let mut connections = self.0.clone();
        let current = connections.borrow_and_update().clone();
        let failed = |kind: io::ErrorKind| io::Error::from(kind).into();
        let connection = current.ok_or_else(|| failed(io::ErrorKind::NotConnected))?;
        tokio::select! {
            biased;
            done = operation(&connection) => done,
            _ = connections.changed() => Err(failed(io::ErrorKind::ConnectionAborted)),
            () = sleep(OPERATION_TIMEOUT) => Err(failed(io::ErrorKind::TimedOut)),
        }
    }
}

impl<T: Send + Sync + 'static> Link<T> {
    /// Starts connecting; `open` opens what goes on each new connection, and may cancel the token that it is given when that
    /// is beyond repair.
    pub(super) fn start<F, O>(uri: AMQPUri, name: String, open: F) -> Self
    where
        F: Fn(Arc<Connection>, CancellationToken) -> O + Send + Sync + 'static,
        O: Future<Output = lapin::Result<Arc<T>>> + Send + 'static,
    {
        let (connections, connected) = watch::channel(None);
        let (current, seen) = watch::channel(None);
        let (up, is_up) = watch::channel(false);
        let stop = CancellationToken::new();
        let keeper = Keeper { uri, name, connections, current, up };
        tokio::spawn(stop.clone().run_until_cancelled_owned(keeper.run(open)));
        Self { connections: Connections(connected), current: seen, up: is_up, _stop: stop.drop_guard() }
    }

    pub(super) fn current(&self) -> Option<Arc<T>> {
        self.current.borrow().clone()
    }

    pub(super) fn connections(&self) -> &Connections {
        &self.connections
    }

    pub(super) fn is_up(&self) -> bool {
        *self.up.borrow()
    }

    pub(super) fn up(&self) -> watch::Receiver<bool> {
        self.up.clone()
    }
}

struct Keeper<T> {
    uri: AMQPUri,
    name: String,
    connections: watch::Sender<Option<Arc<Connection>>>,
    current: watch::Sender<Option<Arc<T>>>,
    up: watch::Sender<bool>,
}

/// A connection, what was opened on it, and the tokens that say that this is beyond repair, and that lapin's task for it has ended.
struct Opened<T> {
    connection: Arc<Connection>,
    opened: Arc<T>,
    broken: CancellationToken,
    ended: CancellationToken,
}

impl<T: Send + Sync + 'static> Keeper<T> {
    async fn run<F, O>(self, open: F)
    where
        F: Fn(Arc<Connection>, CancellationToken) -> O,
        O: Future<Output = lapin::Result<Arc<T>>>,
    {
        let mut pauses = pauses();
        loop {
            match timeout(CONNECT_TIMEOUT, self.connect(&open)).await {
                Ok(Ok(opened)) => {
                    tracing::info!(
                        broker = self.address(),
                        link = self.name,
                        "connected to the message broker"
                    );
                    let since = Instant::now();
                    self.hold(opened).await;
                    metrics::counter!("bus_connections_lost_total").increment(1);
                    if since.elapsed() >= GOOD_CONNECTION {
                        pauses = self::pauses();
                    }
                }
                Ok(Err(error)) => {
                    tracing::warn!(broker = self.address(), link = self.name, %error, "cannot connect");
                }
                Err(_) => {
                    tracing::warn!(broker = self.address(), link = self.name, "connecting took too long")
                }
            }
            sleep(pauses.next().unwrap_or(LONGEST_PAUSE)).await;
        }
    }

    async fn connect<F, O>(&self, open: &F) -> lapin::Result<Opened<T>>
    where
        F: Fn(Arc<Connection>, CancellationToken) -> O,
        O: Future<Output = lapin::Result<Arc<T>>>,
    {
        let ended = CancellationToken::new();
        let connecting = async {
            let connection = Arc::new(self.shake_hands(ended.clone().drop_guard()).await?);
            let broken = CancellationToken::new();
            let opened = open(Arc::clone(&connection), broken.clone()).await?;
            Ok(Opened { connection, opened, broken, ended: ended.clone() })
        };
        // Lapin may leave what was begun on a connection that is lost without an end.
        tokio::select! {
            biased;
            opened = connecting => opened,
            () = ended.cancelled() => Err(io::Error::from(io::ErrorKind::ConnectionAborted).into()),
        }
    }

    /// Lapin never ends the task of a connection whose server cannot be reached, and there would be one more with each attempt
    /// while the broker is away. So it is given a stream to a server that was reached, and with it what is dropped when that task
    /// ends.
    async fn shake_hands(&self, until_it_ends: DropGuard) -> lapin::Result<Connection> {
        let runtime = lapin::runtime::default_runtime()?;
        let tls = OwnedTLSConfig::default();
        let stream = self.uri.connect_with_config_async(tls.as_ref(), &runtime).await?;
        let stream = Mutex::new(Some(stream));
        let once = async move |_, _| {
            let _until_it_ends = &until_it_ends;
            let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
            stream.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionAborted).into())
        };
        let properties = ConnectionProperties::default().with_connection_name(self.name.as_str().into());
        Connection::connector(self.uri.clone(), runtime, once, properties).await
    }

    /// Lends the connection out until it is lost or beyond repair.
    async fn hold(&self, opened: Opened<T>) {
        let Opened { connection, opened, broken, ended } = opened;
        let mut events = Box::pin(connection.events_listener());
        self.current.send_replace(Some(opened));
        self.connections.send_replace(Some(Arc::clone(&connection)));
        self.up.send_replace(true);
        // An event that came before the listener was made would be missed; the status would not.
        while connection.status().connected() {
            tokio::select! {
                event = events.next() => match event {
                    Some(Event::ConnectionBlocked(reason)) => {
                        tracing::warn!(link = self.name, reason, "the broker refuses messages for now");
                        self.up.send_replace(false);
                    }
                    Some(Event::ConnectionUnblocked) => {
                        tracing::info!(link = self.name, "the broker takes messages again");
                        self.up.send_replace(true);
                    }
                    // A channel was closed; who uses it finds out.
                    Some(Event::Error(error)) if error.is_amqp_soft_error() => {}
                    Some(Event::Error(error)) => {
                        tracing::warn!(link = self.name, %error, "connection to the message broker lost");
                        break;
                    }
                    Some(_) => {}
                    None => break,
                },
                () = ended.cancelled() => break,
                () = broken.cancelled() => {
                    tracing::warn!(link = self.name, "a channel was closed by the broker; connecting anew");
                    break;
                }
            }
        }
        self.up.send_replace(false);
        self.current.send_replace(None);
        self.connections.send_replace(None);
        // Already closed when it was lost; then there is nothing to be said.
        let _ = timeout(Duration::from_secs(1), connection.close(200, "bye".into())).await;
    }

    fn address(&self) -> String {
        format!("{}:{}", self.uri.authority.host, self.uri.authority.port)
    }
}

fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_factor(1.5)
        .without_max_times()
        .with_jitter()
        .build()
}
