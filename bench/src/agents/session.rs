//! One session of a simulated agent.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use contracts::{
    Timestamp,
    agent::{AgentFrame, Heartbeat, Hello, PROTOCOL, Request, Response, ServerFrame},
    query::Command,
};
use futures_util::{SinkExt, StreamExt};
use serde_json::value::RawValue;
use tokio::{
    net::{TcpSocket, TcpStream},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Bytes, Message, client::IntoClientRequest, protocol::WebSocketConfig},
};
use uuid::Uuid;

use super::{
    PING,
    bad::{self, Harm},
};
use crate::system::Credentials;

const BUFFER_BYTES: usize = 4 * 1024;
const PATIENCE: Duration = Duration::from_secs(30);
/// What every question is answered with. There is no cluster behind it, and it says so.
const ANSWER: &str = r#"{"namespaces":[{"name":"simulated-agent"}],"total_count":1,"simulated":true}"#;

/// How an agent behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It answers at once.
    Prompt,
    /// It answers after so long.
    Slow(Duration),
    /// It answers what nobody asked, again and again, beside what was asked.
    Talkative,
    /// It does harm.
    Harmful(Harm),
}

/// An open session.
pub(crate) struct Session {
    pub(super) socket: WebSocketStream<TcpStream>,
    heartbeat: Duration,
}

impl Session {
    /// Connects from this address, says `hello` and is welcomed.
    pub(crate) async fn open(
        onboarding: SocketAddr,
        from: Ipv4Addr,
        credentials: &Credentials,
    ) -> Result<Self> {
        timeout(PATIENCE, Self::connect(onboarding, from, credentials))
            .await
            .context("not connected in time")?
    }

    async fn connect(onboarding: SocketAddr, from: Ipv4Addr, credentials: &Credentials) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_nodelay(true)?;
        socket.bind((from, 0).into())?;
        let stream = socket.connect(onboarding).await.context("no connection to onboarding")?;
        let mut request = format!("ws://{onboarding}/api/v1/agents/connect").into_client_request()?;
        request.headers_mut().insert("x-api-key", credentials.agent_key.parse()?);
        request.headers_mut().insert("x-agent-id", credentials.agent_id.parse()?);
        let limits =
            WebSocketConfig::default().read_buffer_size(BUFFER_BYTES).write_buffer_size(BUFFER_BYTES);
        let (mut socket, _) = client_async_with_config(request, stream, Some(limits)).await?;
        socket.send(frame(&AgentFrame::Hello(hello(credentials)))?).await?;
        let heartbeat = loop {
            match next(&mut socket).await? {
                Some(ServerFrame::Welcome(welcome)) => {
                    break Duration::from_secs(welcome.heartbeat_seconds.into());
                }
                Some(ServerFrame::Refused(refused)) => bail!("refused: {}", refused.detail),
                _ => {}
            }
        };
        Ok(Self { socket, heartbeat })
    }

    /// Serves in this manner until the session ends.
    pub(crate) async fn serve(mut self, manner: Manner) -> Result<()> {
        if let Manner::Harmful(how) = manner {
            return bad::serve(self, how).await;
        }
        // Spread, as those of agents that were started at different times are.
        let mut beat = Instant::now() + self.heartbeat.mul_f64(rand::random());
        let mut ping = Instant::now() + PING.mul_f64(rand::random());
        loop {
            tokio::select! {
                received = next(&mut self.socket) => match received? {
                    Some(ServerFrame::Request(request)) => self.answer(&request, manner).await?,
                    Some(ServerFrame::Refused(refused)) => bail!("refused: {}", refused.detail),
                    Some(ServerFrame::GoingAway(_)) => return Ok(()),
                    _ => {}
                },
                () = sleep_until(beat) => {
                    beat += self.heartbeat;
                    let heartbeat = Heartbeat { nodes: Some(1), pods: Some(1), provider: None, region: None, cpu_millis: None, memory_bytes: None, at: Timestamp::now() };
                    self.send(&AgentFrame::Heartbeat(heartbeat)).await?;
                    if manner == Manner::Talkative {
                        self.send(&response(Uuid::new_v4())?).await?;
                    }
                }
                () = sleep_until(ping) => {
                    ping += PING;
                    self.socket.send(Message::Ping(Bytes::new())).await?;
                }
            }
        }
    }

    async fn answer(&mut self, request: &Request, manner: Manner) -> Result<()> {
        if let Manner::Slow(pause) = manner {
            sleep(pause).await;
        }
        self.send(&response(request.request_id)?).await
    }

    /// The next frame of the protocol.
    pub(super) async fn next(&mut self) -> Result<ServerFrame> {
        loop {
            if let Some(frame) = next(&mut self.socket).await? {
                return Ok(frame);
            }
        }
    }

    pub(super) async fn send(&mut self, message: &AgentFrame) -> Result<()> {
        Ok(self.socket.send(frame(message)?).await?)
    }
}

/// The next frame; `None` for one that is none of the protocol's.
async fn next(socket: &mut WebSocketStream<TcpStream>) -> Result<Option<ServerFrame>> {
    match socket.next().await.context("the session was closed")?? {
        Message::Text(text) => Ok(Some(ServerFrame::parse(&text)?)),
        Message::Close(_) => bail!("the session was closed"),
        _ => Ok(None),
    }
}

fn hello(credentials: &Credentials) -> Hello {
    Hello {
        protocol: PROTOCOL,
        agent_id: credentials.agent_id.clone(),
        agent_version: "1.0.0".to_owned(),
        kubernetes_version: Some("v1.36.0".to_owned()),
        cluster_name: None,
        capabilities: Command::ALL.iter().map(|command| command.as_str().to_owned()).collect(),
        simulated: true,
        instance: None,
        last_epoch: None,
        moving: false,
    }
}

fn response(request_id: Uuid) -> Result<AgentFrame> {
    let result = Some(RawValue::from_string(ANSWER.to_owned())?);
    Ok(AgentFrame::Response(Response { request_id, result, error: None }))
}

fn frame(message: &AgentFrame) -> Result<Message> {
    Ok(Message::text(serde_json::to_string(message)?))
}
