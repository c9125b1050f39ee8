//! Onboarding's side of the relay, played by a test frame by frame.

use std::{
    collections::HashMap,
    io::Read,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use contracts::{
    TraceParent,
    agent::{AgentFrame, Heartbeat, Hello, Part, Request, ResponseError, Welcome},
    query::{Command, Params},
};
use flate2::read::GzDecoder;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request as Upgrade, Response as Upgraded},
    },
};
use uuid::Uuid;

/// What each session is told to be.
pub(crate) const EPOCH: u64 = 7;

/// Far longer than anything takes here; only a failure waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Accepts agents.
pub(crate) struct RelayServer {
    pub(crate) url: String,
    connections: mpsc::Receiver<Connection>,
    /// Set: upgrades are refused with it; and how many were.
    refusals: Arc<Mutex<(Option<StatusCode>, usize)>>,
    _tasks: JoinSet<()>,
}

/// One agent's WebSocket.
pub(crate) struct Connection {
    pub(crate) headers: HeaderMap,
    pub(crate) heartbeats: Vec<Heartbeat>,
    pub(crate) pings: usize,
    socket: WebSocketStream<TcpStream>,
    parts: HashMap<Uuid, Vec<u8>>,
}

/// What the agent sent.
#[derive(Debug)]
pub(crate) enum Received {
    Hello(Hello),
    Answer(Uuid, Result<Value, ResponseError>),
    GoingAway,
    /// The close code; `None` when the connection just ended.
    Closed(Option<u16>),
}

impl RelayServer {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (sender, connections) = mpsc::channel(16);
        let refusals = Arc::new(Mutex::new((None, 0)));
        let mut tasks = JoinSet::new();
        let seen = Arc::clone(&refusals);
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Some(connection) = Connection::accept(stream, &seen).await
                    && sender.send(connection).await.is_err()
                {
                    return;
                }
            }
        });
        Ok(Self { url, connections, refusals, _tasks: tasks })
    }

    /// The next agent that connects, before its `hello`.
    pub(crate) async fn accept(&mut self) -> Result<Connection> {
        let next = timeout(PATIENCE, self.connections.recv()).await;
        next.context("no agent connected")?.context("the relay ended")
    }

    /// The next agent that connects, with its session open.
    pub(crate) async fn session(&mut self) -> Result<Connection> {
        let mut connection = self.accept().await?;
        connection.hello().await?;
        connection.welcome(30).await?;
        Ok(connection)
    }

    /// Whether an agent connects within a time.
    pub(crate) async fn connects_within(&mut self, time: Duration) -> bool {
        timeout(time, self.connections.recv()).await.is_ok()
    }

    pub(crate) fn refuse_upgrades(&self, status: Option<StatusCode>) {
        self.refusals.lock().expect("no test panics with it").0 = status;
    }

    pub(crate) fn refused_upgrades(&self) -> usize {
        self.refusals.lock().expect("no test panics with it").1
    }
}

impl Connection {
    async fn accept(stream: TcpStream, refusals: &Mutex<(Option<StatusCode>, usize)>) -> Option<Self> {
        let mut headers = HeaderMap::new();
        // The type of the error is tungstenite's.
        #[expect(clippy::result_large_err, reason = "the signature that tungstenite calls")]
        let inspect = |request: &Upgrade, response: Upgraded| -> Result<Upgraded, ErrorResponse> {
            assert_eq!(request.uri().path(), "/api/v1/agents/connect");
            headers.clone_from(request.headers());
            let mut refusals = refusals.lock().expect("no test panics with it");
            let Some(status) = refusals.0 else {
                return Ok(response);
            };
            refusals.1 += 1;
            let mut refusal = ErrorResponse::new(Some(r#"{"detail":"this key was revoked"}"#.to_owned()));
            *refusal.status_mut() = status;
            Err(refusal)
        };
        let socket = accept_hdr_async(stream, inspect).await.ok()?;
        Some(Self { headers, heartbeats: Vec::new(), pings: 0, socket, parts: HashMap::new() })
    }

    pub(crate) async fn send(&mut self, frame: &impl Serialize) -> Result<()> {
        self.send_raw(Message::text(serde_json::to_string(frame)?)).await
    }

    pub(crate) async fn send_raw(&mut self, message: Message) -> Result<()> {
        Ok(self.socket.send(message).await?)
    }

    pub(crate) async fn welcome(&mut self, heartbeat_seconds: u32) -> Result<()> {
        let (session_id, epoch) = ("s-1".to_owned(), Some(EPOCH));
        self.send(&Welcome { session_id, heartbeat_seconds, epoch, notice: None }).await
    }

    /// The agent's first frame, which must be `hello`.
    pub(crate) async fn hello(&mut self) -> Result<Hello> {
        match self.receive().await? {
            Received::Hello(hello) => Ok(hello),
            other => bail!("{other:?} instead of hello"),
        }
    }

    /// Sends a request and does not wait for its answer.
    pub(crate) async fn request(
        &mut self,
        command: Command,
        params: Params,
        deadline: Duration,
    ) -> Result<Uuid> {
        let request_id = Uuid::new_v4();
        let deadline_ms = deadline.as_millis().try_into()?;
        let traceparent = Some(TraceParent::generate(&mut rand::rng()));
        self.send(&Request { request_id, command, params, deadline_ms, traceparent, window: None }).await?;
        Ok(request_id)
    }

    /// Asks and waits for the answer.
    pub(crate) async fn ask(
        &mut self,
        command: Command,
        params: Params,
    ) -> Result<Result<Value, ResponseError>> {
        let request_id = self.request(command, params, PATIENCE).await?;
        let (answered, result) = self.answer().await?;
        anyhow::ensure!(answered == request_id, "another request was answered");
        Ok(result)
    }

    /// Asks for what must be answered with a result.
    pub(crate) async fn get(&mut self, command: Command, params: Params) -> Result<Value> {
        match self.ask(command, params).await? {
            Ok(value) => Ok(value),
            Err(error) => bail!("{error:?} instead of a result"),
        }
    }

    /// Asks for what must be answered with an error.
    pub(crate) async fn refusal(&mut self, command: Command, params: Params) -> Result<ResponseError> {
        match self.ask(command, params).await? {
            Ok(value) => bail!("{value} instead of an error"),
            Err(error) => Ok(error),
        }
    }

    /// The next answer to any request.
    pub(crate) async fn answer(&mut self) -> Result<(Uuid, Result<Value, ResponseError>)> {
        match self.receive().await? {
            Received::Answer(id, result) => Ok((id, result)),
            other => bail!("{other:?} instead of an answer"),
        }
    }

    /// Waits for a heartbeat that is as wanted.
    pub(crate) async fn heartbeat(&mut self, is_wanted: impl Fn(&Heartbeat) -> bool) -> Result<()> {
        let waiting = async {
            while !self.heartbeats.iter().any(&is_wanted) {
                let message = self.socket.next().await.context("closed")??;
                anyhow::ensure!(self.understand(message)?.is_none(), "not a heartbeat");
            }
            Ok(())
        };
        timeout(PATIENCE, waiting).await.context("no such heartbeat")?
    }

    /// Reads to the end, which answers the agent's close frame; returns its code.
    pub(crate) async fn closed(&mut self) -> Result<Option<u16>> {
        let mut code = None;
        loop {
            match self.receive().await? {
                Received::Closed(None) => return Ok(code),
                Received::Closed(said) => code = said,
                other => bail!("{other:?} instead of the end"),
            }
        }
    }

    /// The next thing that is no heartbeat, ping or part of an answer.
    pub(crate) async fn receive(&mut self) -> Result<Received> {
        let receiving = async {
            loop {
                let Some(Ok(message)) = self.socket.next().await else {
                    return Ok(Received::Closed(None));
                };
                if let Some(received) = self.understand(message)? {
                    return Ok(received);
                }
            }
        };
        timeout(PATIENCE, receiving).await.context("the agent sent nothing")?
    }

    fn understand(&mut self, message: Message) -> Result<Option<Received>> {
        Ok(match message {
            Message::Text(text) => match AgentFrame::parse(&text)? {
                AgentFrame::Hello(hello) => Some(Received::Hello(hello)),
                AgentFrame::GoingAway(_) => Some(Received::GoingAway),
                AgentFrame::Heartbeat(heartbeat) => {
                    self.heartbeats.push(heartbeat);
                    None
                }
                AgentFrame::Response(response) => {
                    let result = match (response.result, response.error) {
                        (Some(result), None) => Ok(serde_json::from_str(result.get())?),
                        (None, Some(error)) => Err(error),
                        _ => bail!("neither result nor error, or both"),
                    };
                    Some(Received::Answer(response.request_id, result))
                }
            },
            Message::Binary(bytes) => {
                let part = Part::parse(&bytes)?;
                let gzip = self.parts.entry(part.request_id).or_default();
                gzip.extend_from_slice(part.data);
                if !part.last {
                    return Ok(None);
                }
                let mut json = String::new();
                GzDecoder::new(gzip.as_slice()).read_to_string(&mut json)?;
                self.parts.remove(&part.request_id);
                Some(Received::Answer(part.request_id, Ok(serde_json::from_str(&json)?)))
            }
            Message::Close(frame) => Some(Received::Closed(frame.map(|frame| frame.code.into()))),
            Message::Ping(_) => {
                self.pings += 1;
                None
            }
            Message::Pong(_) | Message::Frame(_) => None,
        })
    }
}
