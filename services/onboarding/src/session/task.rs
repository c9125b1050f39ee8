//! The task of a session, from `hello` to the end.

use std::{collections::HashMap, ops::ControlFlow, sync::Arc, time::Duration};

use contracts::{
    Timestamp,
    agent::{
        AgentFrame, GoingAway, Heartbeat, Hello, PROTOCOL, Part, RefusalCode, Refused, Response, ServerFrame,
        Welcome,
    },
};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};
use tokio_tungstenite::tungstenite::{
    Error as SocketError, Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use super::{Answer, Command, Registry, SessionHandle, answer::Assembly, improper, silence, socket::Socket};
use crate::{
    store::{AgentIdentity, Vitals},
    vitals::VitalsRecorder,
};

/// The bounds of sessions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionSettings {
    /// How often agents are to send a heartbeat.
    pub(crate) heartbeat: Duration,
    /// How long an agent may take to say `hello`.
    pub(crate) hello_within: Duration,
    /// How long a frame may take to be written before the agent counts as gone.
    pub(crate) write_within: Duration,
    /// How many sessions this process holds.
    pub(crate) max_sessions: usize,
    /// Agents are told to come back after a random time up to this when this process stops.
    pub(crate) reconnect_within: Duration,
}

/// All sessions of this process.
#[derive(Clone)]
pub(crate) struct Sessions {
    pub(crate) registry: Arc<Registry>,
    pub(crate) recorder: VitalsRecorder,
    pub(crate) settings: SessionSettings,
    pub(crate) tasks: TaskTracker,
    pub(crate) shutdown: CancellationToken,
}

/// Why a session ends.
enum End {
    /// We say why and close.
    Refuse(Refused),
    /// This process stops.
    Shutdown,
    /// The agent closed or said that it goes away, or the connection broke.
    Gone(String),
}

impl Sessions {
    /// Runs a session to its end.
    pub(crate) async fn run(self, mut socket: Socket, identity: AgentIdentity) {
        let hello = match self.greet(&mut socket, &identity).await {
            Ok(hello) => hello,
            Err(end) => {
                tracing::info!(agent = identity.agent_id, reason = end.reason(), "session not opened");
                return end.carry_out(&mut socket, &self.settings).await;
            }
        };
        let id = Uuid::now_v7();
        let (handle, commands) = SessionHandle::new(id, identity, hello);
        let agent_id = handle.identity().agent_id.clone();
        let cluster_id = handle.identity().cluster_id.clone();
        self.recorder.learn(&cluster_id, opening_vitals(&handle));
        let earlier = self.registry.insert(handle);
        if let Some(earlier) = earlier {
            let detail = "another session of this agent was opened; the newer one wins";
            earlier.close(RefusalCode::Replaced, detail, true).await;
        }
        metrics::gauge!("agent_sessions").increment(1);
        tracing::info!(agent = agent_id, session = %id, "session opened");

        let welcome =
            Welcome { session_id: id.to_string(), heartbeat_seconds: heartbeat_seconds(&self.settings) };
        let mut session = Session { sessions: &self, socket, commands, waiting: HashMap::new(), cluster_id };
        let end = match session.send(&ServerFrame::Welcome(welcome)).await {
            Ok(()) => session.serve().await,
            Err(end) => end,
        };

        self.registry.remove(&agent_id, id);
        metrics::gauge!("agent_sessions").decrement(1);
        tracing::info!(agent = agent_id, session = %id, reason = end.reason(), "session ended");
        end.carry_out(&mut session.socket, &self.settings).await;
    }

    /// Waits for `hello` and checks it.
    async fn greet(&self, socket: &mut Socket, identity: &AgentIdentity) -> Result<Hello, End> {
        if self.registry.len() >= self.settings.max_sessions {
            return Err(refuse(RefusalCode::Overloaded, "too many sessions here; try again later", true));
        }
        let first = tokio::select! {
            first = timeout(self.settings.hello_within, socket.next()) => first,
            () = self.shutdown.cancelled() => return Err(End::Shutdown),
        };
        let first = first.map_err(|_| refuse(RefusalCode::Timeout, "no hello within its time", true))?;
        let Frame::Text(AgentFrame::Hello(hello)) = read(first)? else {
            return Err(protocol_error("the first frame must be hello"));
        };
        if hello.protocol != PROTOCOL {
            let detail = format!("this server speaks protocol {PROTOCOL}, not {}", hello.protocol);
            return Err(refuse(RefusalCode::UnsupportedProtocol, &detail, false));
        }
        if hello.agent_id != identity.agent_id {
            return Err(refuse(
                RefusalCode::AgentMismatch,
                "hello names another agent than X-Agent-Id",
                false,
            ));
        }
        Ok(hello)
    }
}

fn heartbeat_seconds(settings: &SessionSettings) -> u32 {
    u32::try_from(settings.heartbeat.as_secs()).unwrap_or(u32::MAX).max(1)
}

fn opening_vitals(session: &SessionHandle) -> Vitals {
    let hello = &session.about.hello;
    Vitals {
        agent_version: Some(bounded(&hello.agent_version)),
        kubernetes_version: hello.kubernetes_version.as_deref().map(bounded),
        connected_at: Some(Timestamp::now()),
        ..Vitals::default()
    }
}

/// What an agent says of itself is stored and shown, so it is cut.
fn bounded(text: &str) -> String {
    text.chars().take(100).collect()
}

/// A frame that means something to a session.
enum Frame {
    Text(AgentFrame),
    Part {
        request_id: Uuid,
        last: bool,
        data: Vec<u8>,
    },
    /// Ping, pong: the agent lives. Tungstenite answers pings by itself.
    Alive,
}

/// Reads what came from the socket. What it holds shares the socket's buffer and is copied where it is kept.
fn read(received: Option<Result<Message, SocketError>>) -> Result<Frame, End> {
    match received {
        Some(Ok(Message::Text(text))) => match AgentFrame::parse(&text) {
            Ok(frame) => Ok(Frame::Text(frame)),
            Err(error) => Err(protocol_error(&error.to_string())),
        },
        Some(Ok(Message::Binary(bytes))) => match Part::parse(&bytes) {
            Ok(part) => {
                Ok(Frame::Part { request_id: part.request_id, last: part.last, data: part.data.to_vec() })
            }
            Err(error) => Err(protocol_error(&error.to_string())),
        },
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(Frame::Alive),
        Some(Ok(Message::Close(_))) | None => Err(End::Gone("the agent closed the connection".to_owned())),
        Some(Err(SocketError::Capacity(error))) => {
            Err(refuse(RefusalCode::TooLarge, &error.to_string(), true))
        }
        Some(Err(SocketError::Utf8(_))) => Err(protocol_error("a text frame is not UTF-8")),
        Some(Err(error)) => Err(End::Gone(error.to_string())),
    }
}

fn refuse(code: RefusalCode, detail: &str, retry: bool) -> End {
    End::Refuse(Refused { code, detail: detail.to_owned(), retry })
}

fn protocol_error(detail: &str) -> End {
    refuse(RefusalCode::ProtocolError, detail, true)
}

/// A session after `hello`.
struct Session<'a> {
    sessions: &'a Sessions,
    socket: Socket,
    commands: mpsc::Receiver<Command>,
    waiting: HashMap<Uuid, Waiting>,
    cluster_id: String,
}

/// A question that the agent has not answered yet.
struct Waiting {
    reply: oneshot::Sender<Answer>,
    parts: Assembly,
}

impl Session<'_> {
    async fn serve(&mut self) -> End {
        let silence = silence(self.sessions.settings.heartbeat);
        let mut silent_until = Instant::now() + silence;
        loop {
            let step = tokio::select! {
                received = self.socket.next() => {
                    silent_until = Instant::now() + silence;
                    read(received).map_or_else(ControlFlow::Break, |frame| self.take(frame))
                }
                Some(command) = self.commands.recv() => self.obey(command).await,
                () = tokio::time::sleep_until(silent_until) => {
                    ControlFlow::Break(refuse(RefusalCode::Timeout, "no heartbeat within its time", true))
                }
                () = self.sessions.shutdown.cancelled() => ControlFlow::Break(End::Shutdown),
            };
            if let ControlFlow::Break(end) = step {
                return end;
            }
        }
    }

    fn take(&mut self, frame: Frame) -> ControlFlow<End> {
        match frame {
            Frame::Alive => {}
            Frame::Text(AgentFrame::Response(response)) => self.settle(response),
            Frame::Part { request_id, last, data } => self.assemble(request_id, last, &data),
            Frame::Text(AgentFrame::Heartbeat(heartbeat)) => self.note(&heartbeat),
            Frame::Text(AgentFrame::GoingAway(_)) => {
                return ControlFlow::Break(End::Gone("the agent goes away".to_owned()));
            }
            Frame::Text(AgentFrame::Hello(_)) => {
                return ControlFlow::Break(protocol_error("hello was said before"));
            }
        }
        ControlFlow::Continue(())
    }

    /// Hands an answer to who waits for it. One that nobody asked for, or waits for any longer, is only counted.
    fn settle(&mut self, response: Response) {
        let Some(waiting) = self.waiting.remove(&response.request_id) else {
            metrics::counter!("agent_unasked_answers_total").increment(1);
            return;
        };
        let answer = match (response.result, response.error) {
            (Some(result), None) => Ok(result),
            (_, Some(error)) => Err(error),
            (None, None) => Err(improper("the agent answered with neither a result nor an error")),
        };
        // Whoever asked may have gone away just now.
        let _ = waiting.reply.send(answer);
    }

    fn assemble(&mut self, request_id: Uuid, last: bool, data: &[u8]) {
        let Some(waiting) = self.waiting.get_mut(&request_id) else {
            metrics::counter!("agent_unasked_answers_total").increment(1);
            return;
        };
        let pushed = waiting.parts.push(data);
        if !last && pushed.is_ok() {
            return;
        }
        let Some(Waiting { reply, parts }) = self.waiting.remove(&request_id) else {
            return;
        };
        match pushed {
            Err(error) => drop(reply.send(Err(error))),
            Ok(()) => drop(tokio::task::spawn_blocking(move || reply.send(parts.finish()))),
        }
    }

    fn note(&self, heartbeat: &Heartbeat) {
        let vitals = Vitals {
            // By our clock: the agent's may be wrong.
            last_heartbeat: Some(Timestamp::now()),
            nodes: heartbeat.nodes,
            pods: heartbeat.pods,
            ..Vitals::default()
        };
        self.sessions.recorder.learn(&self.cluster_id, vitals);
    }

    async fn obey(&mut self, command: Command) -> ControlFlow<End> {
        let sent = match command {
            Command::Ask { request, reply } => {
                self.forget_abandoned();
                self.waiting.insert(request.request_id, Waiting { reply, parts: Assembly::default() });
                self.send(&ServerFrame::Request(*request)).await
            }
            // Not there: the answer came first.
            Command::Cancel(request_id) => match self.waiting.remove(&request_id) {
                Some(_) => self.send(&ServerFrame::Cancel(contracts::agent::Cancel { request_id })).await,
                None => Ok(()),
            },
            Command::Close(refused) => Err(End::Refuse(refused)),
        };
        sent.map_or_else(ControlFlow::Break, ControlFlow::Continue)
    }

    /// A cancellation is lost when the queue of commands is full; then this takes care of it.
    fn forget_abandoned(&mut self) {
        if self.waiting.len() >= super::COMMANDS {
            self.waiting.retain(|_, waiting| !waiting.reply.is_closed());
        }
    }

    async fn send(&mut self, frame: &ServerFrame) -> Result<(), End> {
        send(&mut self.socket, frame, &self.sessions.settings).await
    }
}

async fn send(socket: &mut Socket, frame: &ServerFrame, settings: &SessionSettings) -> Result<(), End> {
    let gone = |reason: String| End::Gone(reason);
    let text = serde_json::to_string(frame).map_err(|error| gone(error.to_string()))?;
    match timeout(settings.write_within, socket.send(Message::text(text))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(gone(error.to_string())),
        Err(_) => Err(gone("the agent does not read".to_owned())),
    }
}

impl End {
    fn reason(&self) -> String {
        match self {
            Self::Refuse(refused) => format!("{:?}: {}", refused.code, refused.detail),
            Self::Shutdown => "this process stops".to_owned(),
            Self::Gone(reason) => reason.clone(),
        }
    }

    /// Tells the agent, as far as it still listens, and closes.
    async fn carry_out(self, socket: &mut Socket, settings: &SessionSettings) {
        let (frame, code) = match self {
            Self::Gone(_) => return,
            Self::Shutdown => {
                let hint = rand::random_range(Duration::ZERO..=settings.reconnect_within);
                let reconnect_after_ms = u64::try_from(hint.as_millis()).unwrap_or(u64::MAX);
                (ServerFrame::GoingAway(GoingAway { reconnect_after_ms }), CloseCode::Away)
            }
            Self::Refuse(refused) => {
                let code = close_code(&refused.code);
                (ServerFrame::Refused(refused), code)
            }
        };
        if send(socket, &frame, settings).await.is_ok() {
            let close = CloseFrame { code, reason: "".into() };
            // The agent may be gone already.
            let _ = timeout(settings.write_within, socket.close(Some(close))).await;
        }
    }
}

/// The codes of RFC 6455, section 7.4.1.
fn close_code(refusal: &RefusalCode) -> CloseCode {
    match refusal {
        RefusalCode::ProtocolError | RefusalCode::UnsupportedProtocol => CloseCode::Protocol,
        RefusalCode::TooLarge => CloseCode::Size,
        RefusalCode::Overloaded => CloseCode::Again,
        _ => CloseCode::Policy,
    }
}
