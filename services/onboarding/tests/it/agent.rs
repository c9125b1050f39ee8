//! An agent, played frame by frame.

use std::{collections::HashMap, net::SocketAddr};

use anyhow::{Context, Result, bail, ensure};
use contracts::{
    ErrorCode, Timestamp,
    agent::{
        GoingAway, Heartbeat, Hello, PART_BYTES, PROTOCOL, Part, RefusalCode, Request, Response,
        ResponseError, ServerFrame, Welcome,
    },
    query::{Command, QueryRequest},
};
use futures_util::{SinkExt, StreamExt};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};
use uuid::Uuid;

use crate::world::{Made, PATIENCE, World};

pub(crate) const CONNECT: &str = "/api/v1/agents/connect";

/// One WebSocket of an agent.
pub(crate) struct Agent {
    socket: WebSocketStream<TcpStream>,
    /// How many more parts of each answer the server wants.
    wanted: HashMap<Uuid, u32>,
}

/// What the server sent.
#[derive(Debug)]
pub(crate) enum Received {
    Frame(Box<ServerFrame>),
    /// The close code.
    Closed(Option<u16>),
}

pub(crate) fn hello(agent_id: &str) -> Hello {
    Hello {
        protocol: PROTOCOL,
        agent_id: agent_id.to_owned(),
        agent_version: "1.2.3".to_owned(),
        kubernetes_version: Some("v1.36.1".to_owned()),
        cluster_name: None,
        capabilities: [Command::GetPods, Command::GetNodes].map(|command| command.as_str().to_owned()).into(),
        simulated: false,
        instance: None,
        last_epoch: None,
        moving: false,
    }
}

impl Agent {
    /// Opens the WebSocket and says nothing.
    pub(crate) async fn connect(world: &World, cluster: &Made) -> Result<Self> {
        Self::connect_with(world.address, &cluster.agent_id, &cluster.key, None).await
    }

    /// The same with another key of the agent, and the size of the socket's buffer for what arrives.
    pub(crate) async fn connect_with(
        address: SocketAddr,
        agent_id: &str,
        key: &str,
        receive_buffer: Option<u32>,
    ) -> Result<Self> {
        let mut request = format!("ws://{address}{CONNECT}").into_client_request()?;
        request.headers_mut().insert("X-API-Key", key.parse()?);
        request.headers_mut().insert("X-Agent-Id", agent_id.parse()?);
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        let connecting = client_async(request, socket.connect(address).await?);
        let (socket, _) = timeout(PATIENCE, connecting).await??;
        Ok(Self { socket, wanted: HashMap::new() })
    }

    /// Opens a session.
    pub(crate) async fn open(world: &World, cluster: &Made) -> Result<Self> {
        let mut agent = Self::connect(world, cluster).await?;
        agent.greet(&cluster.agent_id).await?;
        Ok(agent)
    }

    /// Says hello and is welcomed.
    pub(crate) async fn greet(&mut self, agent_id: &str) -> Result<()> {
        self.send(&hello(agent_id)).await?;
        match self.frame().await? {
            ServerFrame::Welcome(_) => Ok(()),
            other => bail!("{other:?} instead of welcome"),
        }
    }

    /// Opens a session as a process of version 1.1 or later; answers what it is welcomed with.
    pub(crate) async fn open_as(
        world: &World,
        cluster: &Made,
        instance: Uuid,
        last_epoch: Option<u64>,
        moving: bool,
    ) -> Result<(Self, Welcome)> {
        let mut agent = Self::connect(world, cluster).await?;
        agent
            .send(&Hello { instance: Some(instance), last_epoch, moving, ..hello(&cluster.agent_id) })
            .await?;
        match agent.frame().await? {
            ServerFrame::Welcome(welcome) => Ok((agent, welcome)),
            other => bail!("{other:?} instead of welcome"),
        }
    }

    pub(crate) async fn send(&mut self, frame: &impl Serialize) -> Result<()> {
        self.send_raw(Message::text(serde_json::to_string(frame)?)).await
    }

    pub(crate) async fn send_raw(&mut self, message: Message) -> Result<()> {
        Ok(timeout(PATIENCE, self.socket.send(message)).await??)
    }

    /// Writes bytes past the WebSocket.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.socket.get_mut().write_all(bytes).await?)
    }

    pub(crate) async fn beat(&mut self, nodes: u64, pods: u64) -> Result<()> {
        let at = Timestamp::from_millis(0).context("a time")?;
        self.send(&Heartbeat {
            nodes: Some(nodes),
            pods: Some(pods),
            provider: None,
            region: None,
            cpu_millis: None,
            memory_bytes: None,
            at,
        })
        .await
    }

    pub(crate) async fn go_away(&mut self) -> Result<()> {
        self.send(&GoingAway { reconnect_after_ms: 0 }).await
    }

    /// Answers with this text, byte for byte.
    pub(crate) async fn answer(&mut self, request: &Request, json: &str) -> Result<()> {
        let result = Some(RawValue::from_string(json.to_owned())?);
        self.send(&Response { request_id: request.request_id, result, error: None }).await
    }

    pub(crate) async fn answer_error(&mut self, request: &Request, code: ErrorCode) -> Result<()> {
        let error = Some(ResponseError { code, detail: "the agent says why".to_owned() });
        self.send(&Response { request_id: request.request_id, result: None, error }).await
    }

    /// Answers with these bytes, as gzip, in parts: as many as are wanted, and further ones when they are.
    pub(crate) async fn answer_in_parts(&mut self, request: &Request, gzip: &[u8]) -> Result<()> {
        self.begin_parts(request)?;
        let mut parts = gzip.chunks(PART_BYTES).peekable();
        while let Some(data) = parts.next() {
            self.part_wanted(request.request_id).await?;
            self.send_part(request.request_id, parts.peek().is_none(), data).await?;
        }
        Ok(())
    }

    /// Notes how many parts are wanted at first.
    pub(crate) fn begin_parts(&mut self, request: &Request) -> Result<()> {
        let window = request.window.context("a window")?;
        *self.wanted.entry(request.request_id).or_default() += window;
        Ok(())
    }

    /// Waits until a further part is wanted.
    pub(crate) async fn part_wanted(&mut self, request_id: Uuid) -> Result<()> {
        while self.wanted.get(&request_id).is_none_or(|wanted| *wanted == 0) {
            let message = timeout(PATIENCE, self.socket.next()).await.context("no more is wanted")?;
            match message.context("the connection ended")?? {
                Message::Text(text) => match ServerFrame::parse(&text)? {
                    ServerFrame::More(more) => *self.wanted.entry(more.request_id).or_default() += more.parts,
                    other => bail!("{other:?} instead of more"),
                },
                Message::Ping(_) | Message::Pong(_) => {}
                other => bail!("the server sent {other:?}"),
            }
        }
        *self.wanted.entry(request_id).or_default() -= 1;
        Ok(())
    }

    /// How many more parts of an answer the server has said that it wants, as far as that was read.
    pub(crate) fn wanted(&self, request: &Request) -> usize {
        self.wanted.get(&request.request_id).map_or(0, |wanted| *wanted as usize)
    }

    pub(crate) async fn send_part(&mut self, request_id: Uuid, last: bool, data: &[u8]) -> Result<()> {
        self.send_raw(Message::binary(Part { request_id, last, data }.to_bytes())).await
    }

    /// The next thing that is neither ping, pong nor `more`.
    pub(crate) async fn receive(&mut self) -> Result<Received> {
        let receiving = async {
            loop {
                return Ok(
                    match self.socket.next().await.context("the connection ended without a close")?? {
                        Message::Text(text) => match ServerFrame::parse(&text)? {
                            ServerFrame::More(more) => {
                                *self.wanted.entry(more.request_id).or_default() += more.parts;
                                continue;
                            }
                            frame => Received::Frame(frame.into()),
                        },
                        Message::Close(close) => Received::Closed(close.map(|close| close.code.into())),
                        Message::Ping(_) | Message::Pong(_) => continue,
                        other => bail!("the server sent {other:?}"),
                    },
                );
            }
        };
        timeout(PATIENCE, receiving).await.context("the server sent nothing")?
    }

    /// The next frame; not the end.
    pub(crate) async fn frame(&mut self) -> Result<ServerFrame> {
        match self.receive().await? {
            Received::Frame(frame) => Ok(*frame),
            Received::Closed(code) => bail!("closed ({code:?}) instead of a frame"),
        }
    }

    /// The next frame, which must be a request.
    pub(crate) async fn request(&mut self) -> Result<Request> {
        match self.frame().await? {
            ServerFrame::Request(request) => Ok(request),
            other => bail!("{other:?} instead of a request"),
        }
    }

    /// The next frame, which must be a cancellation; answers whose.
    pub(crate) async fn cancelled(&mut self) -> Result<Uuid> {
        match self.frame().await? {
            ServerFrame::Cancel(cancel) => Ok(cancel.request_id),
            other => bail!("{other:?} instead of a cancellation"),
        }
    }

    /// Answers the next request with `"pong"`.
    pub(crate) async fn pong(&mut self) -> Result<()> {
        let request = self.request().await?;
        self.answer(&request, "\"pong\"").await
    }

    /// Its session lives: the query reaches it, and its answer the asker.
    pub(crate) async fn answers(&mut self, world: &World, query: &QueryRequest) -> Result<()> {
        let (answer, ponged) = tokio::join!(world.ask(query), self.pong());
        ponged?;
        let answer = answer?;
        ensure!(answer.result.as_ref().is_some_and(|result| result.get() == "\"pong\""), "{answer:?}");
        Ok(())
    }

    /// The next frame, which must be a refusal followed by a close; answers whether to try again.
    pub(crate) async fn refused(mut self, code: &RefusalCode, close: u16) -> Result<bool> {
        let refused = match self.frame().await? {
            ServerFrame::Refused(refused) => refused,
            other => bail!("{other:?} instead of refused {code:?}"),
        };
        ensure!(refused.code == *code, "{refused:?} instead of {code:?}");
        ensure!(!refused.detail.is_empty(), "it is not said why");
        self.closed(close).await?;
        Ok(refused.retry)
    }

    /// The end, by a close of this code.
    pub(crate) async fn closed(mut self, close: u16) -> Result<()> {
        match self.receive().await? {
            Received::Closed(code) => ensure!(code == Some(close), "closed {code:?}, not {close}"),
            Received::Frame(frame) => bail!("{frame:?} instead of the end"),
        }
        // The server closes the connection too.
        let rest = timeout(PATIENCE, self.socket.next()).await.context("the connection stayed open")?;
        ensure!(rest.is_none(), "{rest:?} after the close");
        Ok(())
    }

    /// Waits until the connection is gone in any way.
    pub(crate) async fn lost(mut self) -> Result<()> {
        let reading = async { while let Some(Ok(_)) = self.socket.next().await {} };
        timeout(PATIENCE, reading).await.context("the connection stayed open")
    }
}
