//! Many agents in one process: each keeps a session open as the real agent does, answers with a constant, and comes back.

use std::{
    net::SocketAddr,
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use contracts::{
    Timestamp,
    agent::{AgentFrame, Heartbeat, Hello, PROTOCOL, RefusalCode, Response, ServerFrame, Welcome},
    query::Command,
};
use futures_util::{SinkExt, StreamExt};
use serde_json::value::RawValue;
use tokio::{
    net::TcpStream,
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{Instant, interval_at, sleep, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};
use uuid::Uuid;

/// For a connection, and for the answer to `hello`, as the real agent has it.
const PATIENCE: Duration = Duration::from_secs(15);
/// For how long the last answers of a session are sent whose successor is open.
const DRAIN: Duration = Duration::from_secs(10);
/// The pauses of the real agent: 1 s to 5 s after a session was lost, and where none is to be had 1 s growing to 5 s, and up to as
/// much again at random.
const SCATTER: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What every question is answered with, unless something else is wanted.
const ANSWER: &str = r#"{"namespaces":[],"total_count":0}"#;

/// Who an agent is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its id.
    pub agent_id: String,
    /// Its key.
    pub key: String,
}

/// The agents. Dropped, they are gone.
pub struct Crowd {
    shared: Arc<Shared>,
    _agents: JoinSet<()>,
}

struct Shared {
    address: SocketAddr,
    answer: String,
    /// How many have a session.
    connected: watch::Sender<usize>,
    /// How many sessions were lost, not closed in peace.
    lost: AtomicU64,
    /// How many agents were told that another one has their place.
    replaced: AtomicU64,
    /// So many connect at a time at first.
    places: Semaphore,
}

type Socket = WebSocketStream<TcpStream>;

/// Why a session is over.
enum End {
    Lost,
    /// For minutes nothing is to be had here.
    Rejected,
}

impl Crowd {
    /// Starts them; they find the relay at this address.
    pub fn start(address: SocketAddr, identities: Vec<Identity>) -> Self {
        Self::answering(address, identities, ANSWER)
    }

    /// The same for agents that answer every question with this JSON.
    pub fn answering(address: SocketAddr, identities: Vec<Identity>, answer: &str) -> Self {
        let shared = Arc::new(Shared {
            address,
            answer: answer.to_owned(),
            connected: watch::Sender::new(0),
            lost: AtomicU64::new(0),
            replaced: AtomicU64::new(0),
            places: Semaphore::new(64),
        });
        let mut agents = JoinSet::new();
        for identity in identities {
            agents.spawn(Arc::clone(&shared).live(identity));
        }
        Self { shared, _agents: agents }
    }

    /// How many have a session now.
    pub fn connected(&self) -> usize {
        *self.shared.connected.borrow()
    }

    /// Waits until so many have a session.
    ///
    /// # Errors
    /// When that takes longer.
    pub async fn until_connected(&self, count: usize, within: Duration) -> Result<()> {
        let mut connected = self.shared.connected.subscribe();
        let reached = timeout(within, connected.wait_for(|connected| *connected >= count)).await;
        reached.with_context(|| format!("{} of {count} are connected", self.connected()))??;
        Ok(())
    }

    /// Waits until fewer than so many have a session.
    ///
    /// # Errors
    /// When that takes longer.
    pub async fn until_fewer(&self, count: usize, within: Duration) -> Result<()> {
        let mut connected = self.shared.connected.subscribe();
        timeout(within, connected.wait_for(|connected| *connected < count)).await??;
        Ok(())
    }

    /// How many sessions were lost so far, not closed in peace.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// How many agents were told so far that another one has their place.
    pub fn replaced(&self) -> u64 {
        self.shared.replaced.load(Ordering::Relaxed)
    }
}

/// An agent among the others.
struct Agent {
    shared: Arc<Shared>,
    identity: Identity,
    instance: Uuid,
    last_epoch: Option<u64>,
    /// Sessions whose last answers are still sent.
    earlier: JoinSet<()>,
}

impl Shared {
    async fn live(self: Arc<Self>, identity: Identity) {
        let mut pause = FIRST_PAUSE;
        let mut is_first = true;
        let mut agent = Agent {
            shared: Arc::clone(&self),
            identity,
            instance: Uuid::new_v4(),
            last_epoch: None,
            earlier: JoinSet::new(),
        };
        loop {
            let place = if is_first { self.places.acquire().await.ok() } else { None };
            let opened = agent.open(false).await;
            drop(place);
            is_first = false;
            let until_next = match opened {
                Ok((socket, welcome)) => {
                    pause = FIRST_PAUSE;
                    self.connected.send_modify(|connected| *connected += 1);
                    let end = agent.serve(socket, welcome).await;
                    self.connected.send_modify(|connected| *connected -= 1);
                    if matches!(end, End::Rejected) {
                        self.replaced.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                    self.lost.fetch_add(1, Ordering::Relaxed);
                    rand::random_range(SCATTER)
                }
                Err(_) => {
                    pause = (pause * 3 / 2).min(LONGEST_PAUSE);
                    jittered(pause)
                }
            };
            sleep(until_next).await;
        }
    }
}

fn jittered(pause: Duration) -> Duration {
    pause + rand::random_range(Duration::ZERO..=pause)
}

impl Agent {
    /// Opens a session.
    async fn open(&mut self, moving: bool) -> Result<(Socket, Welcome)> {
        let address = self.shared.address;
        let mut request = format!("ws://{address}/api/v1/agents/connect").into_client_request()?;
        request.headers_mut().insert("x-api-key", self.identity.key.parse()?);
        request.headers_mut().insert("x-agent-id", self.identity.agent_id.parse()?);
        let hello = AgentFrame::Hello(Hello {
            protocol: PROTOCOL,
            agent_id: self.identity.agent_id.clone(),
            agent_version: "1.1.0".to_owned(),
            kubernetes_version: None,
            cluster_name: None,
            capabilities: Command::ALL.iter().map(|command| command.as_str().to_owned()).collect(),
            simulated: true,
            instance: Some(self.instance),
            last_epoch: self.last_epoch,
            moving,
        });
        let opening = async {
            let (mut socket, _) = client_async(request, TcpStream::connect(address).await?).await?;
            send(&mut socket, &hello).await?;
            loop {
                let message = socket.next().await.context("closed before welcome")??;
                let Message::Text(text) = message else { continue };
                match ServerFrame::parse(&text)? {
                    ServerFrame::Welcome(welcome) => return Ok((socket, welcome)),
                    other => bail!("{other:?} instead of welcome"),
                }
            }
        };
        let (socket, welcome) = timeout(PATIENCE, opening).await??;
        self.last_epoch = welcome.epoch;
        Ok((socket, welcome))
    }

    /// Serves the session, and those that follow it without a gap.
    async fn serve(&mut self, mut socket: Socket, mut welcome: Welcome) -> End {
        loop {
            let after = match serve(&self.shared, &mut socket, &welcome).await {
                Served::GoingAway(after) => after,
                Served::Over(end) => return end,
            };
            // The session goes on while the next one is opened.
            let shared = Arc::clone(&self.shared);
            let going_on = tokio::spawn(async move {
                while let Served::GoingAway(_) = serve(&shared, &mut socket, &welcome).await {}
            });
            sleep(after).await;
            (socket, welcome) = loop {
                match self.open(true).await {
                    Ok(opened) => break opened,
                    Err(_) if going_on.is_finished() => return End::Lost,
                    Err(_) => sleep(jittered(FIRST_PAUSE)).await,
                }
            };
            self.earlier.spawn(async move {
                let abort = going_on.abort_handle();
                if timeout(DRAIN, going_on).await.is_err() {
                    abort.abort();
                }
            });
            while self.earlier.try_join_next().is_some() {}
        }
    }
}

enum Served {
    GoingAway(Duration),
    Over(End),
}

/// Answers until the server goes away or the session is over.
async fn serve(shared: &Shared, socket: &mut Socket, welcome: &Welcome) -> Served {
    let period = Duration::from_secs(welcome.heartbeat_seconds.into());
    let mut beats = interval_at(Instant::now() + rand::random_range(Duration::ZERO..=period), period);
    loop {
        let message = tokio::select! {
            _ = beats.tick() => {
                let beat = Heartbeat {
                    nodes: Some(3),
                    pods: Some(30),
                    provider: None,
                    region: None,
                    cpu_millis: None,
                    memory_bytes: None,
                    at: Timestamp::now(),
                };
                if send(socket, &AgentFrame::Heartbeat(beat)).await.is_err() {
                    return Served::Over(End::Lost);
                }
                continue;
            }
            message = timeout(period * 7 / 5, socket.next()) => message,
        };
        // The heartbeats are pings in this: what answers them is not waited for.
        let Ok(message) = message else { continue };
        let text = match message {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Close(_)) | Err(_)) | None => {
                let _ = socket.close(None).await;
                return Served::Over(End::Lost);
            }
            Some(Ok(_)) => continue,
        };
        match ServerFrame::parse(&text) {
            Ok(ServerFrame::Request(request)) => {
                let result = RawValue::from_string(shared.answer.clone()).ok();
                let response = Response { request_id: request.request_id, result, error: None };
                if send(socket, &AgentFrame::Response(response)).await.is_err() {
                    return Served::Over(End::Lost);
                }
            }
            Ok(ServerFrame::GoingAway(going)) => {
                return Served::GoingAway(Duration::from_millis(going.reconnect_after_ms));
            }
            Ok(ServerFrame::Refused(refused)) if refused.code == RefusalCode::Replaced => {
                let _ = socket.close(None).await;
                return Served::Over(End::Rejected);
            }
            _ => {}
        }
    }
}

async fn send(socket: &mut Socket, frame: &AgentFrame) -> Result<()> {
    Ok(socket.send(Message::text(serde_json::to_string(frame)?)).await?)
}
