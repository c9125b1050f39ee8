//! One session with the relay, from dialling to the last frame.

use std::{sync::Arc, time::Duration};

use contracts::agent::{GoingAway, ServerFrame, Welcome};
use futures_util::{StreamExt, stream::SplitStream};
use tokio::time::{Instant, Interval, interval, sleep_until, timeout, timeout_at};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    End, Relay,
    connect::{self, Opened},
    heartbeat,
    in_flight::InFlight,
    socket::{self, Outbox, Socket},
    successor::Successor,
};

/// How long the other side is given to say goodbye too.
const GOODBYE: Duration = Duration::from_secs(2);
/// A server may ask to be left alone for so long at most.
const LONGEST_AWAY: Duration = Duration::from_secs(300);
/// Whether a session is open: 1 or 0.
const SESSION_OPEN: &str = "agent_session_open";

/// What follows a session.
pub(super) enum Ended {
    /// Nothing yet.
    Over(End),
    /// A session that was opened before this one is closed.
    Moved {
        opened: Box<Opened>,
        /// Sends the last answers of this one; nothing when it is closed already.
        earlier: Option<AbortOnDropHandle<()>>,
    },
}

/// Serves the session that was opened already, or else opens one, until it ends.
pub(super) async fn run(
    relay: &Arc<Relay>,
    opened: Option<Box<Opened>>,
    shutdown: &CancellationToken,
) -> Ended {
    let opening = async {
        match opened {
            Some(opened) => Ok(opened),
            None => connect::open(relay, false).await.map(Box::new),
        }
    };
    let opened = tokio::select! {
        opened = opening => opened,
        () = shutdown.cancelled() => return Ended::Over(End::Shutdown),
    };
    let Opened { socket, welcome } = match opened {
        Ok(opened) => *opened,
        Err(end) => return Ended::Over(end),
    };
    tracing::info!(session_id = welcome.session_id, "session with the relay is open");
    if let Some(notice) = &welcome.notice {
        tracing::warn!(notice, "the relay has a notice for the operator of this agent");
    }
    metrics::gauge!(SESSION_OPEN).set(1);
    let mut session = Session::new(relay, socket, &welcome);
    let ended = match session.serve(shutdown).await {
        Served::Moved(opened) => {
            let earlier = AbortOnDropHandle::new(tokio::spawn(session.finish()));
            return Ended::Moved { opened, earlier: Some(earlier) };
        }
        Served::Over(end) => end,
    };
    metrics::gauge!(SESSION_OPEN).set(0);
    let successor = session.successor.take().filter(|_| matches!(ended, End::GoingAway(_)));
    session.close(&ended).await;
    match successor {
        // The server did not wait for it.
        Some(mut successor) => {
            relay.vitals.disconnected(&ended.reason());
            tokio::select! {
                opened = successor.opened() => Ended::Moved { opened, earlier: None },
                () = shutdown.cancelled() => Ended::Over(End::Shutdown),
            }
        }
        None => Ended::Over(ended),
    }
}

/// Why a session is served no more.
enum Served {
    Over(End),
    /// Its successor is open.
    Moved(Box<Opened>),
}

struct Session {
    relay: Arc<Relay>,
    stream: SplitStream<Socket>,
    outbox: Outbox,
    in_flight: InFlight,
    pings: Interval,
    /// When the server was last heard.
    heard: Instant,
    leaving: Option<Leaving>,
    /// The server goes away, and the next session is being opened.
    successor: Option<Successor>,
    heartbeats: AbortOnDropHandle<()>,
    /// Writes as long as the session lives.
    _writer: AbortOnDropHandle<()>,
}

/// The session is to end when all that is under way has been sent, at the latest by then.
struct Leaving {
    why: End,
    by: Instant,
    /// The server closes it, once it has nothing more to ask here.
    is_closed_by_server: bool,
}

impl Session {
    fn new(relay: &Arc<Relay>, socket: Socket, welcome: &Welcome) -> Self {
        let (sink, stream) = socket.split();
        let (outbox, writer) = Outbox::open(sink);
        let cluster = Arc::clone(&relay.cluster);
        let period = heartbeat::period(welcome.heartbeat_seconds);
        let heartbeats = heartbeat::beat(Arc::clone(&cluster), outbox.clone(), period);
        relay.vitals.heard();
        Self {
            relay: Arc::clone(relay),
            stream,
            in_flight: InFlight::new(cluster, outbox.clone()),
            outbox,
            // The server's patience is measured in heartbeats.
            pings: interval(relay.config.timing.ping.min(period / 2)),
            heard: Instant::now(),
            leaving: None,
            successor: None,
            heartbeats: AbortOnDropHandle::new(tokio::spawn(heartbeats)),
            _writer: writer,
        }
    }

    /// Reads until the session ends, or its successor is open. Nothing here waits for a frame to be written.
    async fn serve(&mut self, shutdown: &CancellationToken) -> Served {
        let mut is_running = true;
        let end = loop {
            let may_end = |leaving: &mut Leaving| !leaving.is_closed_by_server && self.in_flight.is_empty();
            if let Some(leaving) = self.leaving.take_if(may_end) {
                break leaving.why;
            }
            let leave_by = self.leaving.as_ref().map(|leaving| leaving.by);
            let silent_at = self.heard + self.relay.config.timing.idle;
            tokio::select! {
                () = shutdown.cancelled(), if is_running => {
                    is_running = false;
                    self.begin_shutdown();
                }
                () = sleep_until(leave_by.unwrap_or(silent_at)), if leave_by.is_some() => {
                    break self.why_left("not all answers could be sent in time");
                }
                opened = succeeded(&mut self.successor), if self.leaving.is_none() => {
                    self.successor = None;
                    return Served::Moved(opened);
                }
                Some(()) = self.in_flight.ended() => {}
                () = self.outbox.closed() => break self.why_left("the connection cannot be written to"),
                _ = self.pings.tick() => self.outbox.ping(),
                next = timeout_at(silent_at, self.stream.next()) => {
                    let ended = match next {
                        Ok(Some(Ok(message))) => self.receive(message),
                        Ok(Some(Err(error))) => Some(self.why_left(&error.to_string())),
                        Ok(None) => Some(self.why_left("the relay closed the connection")),
                        Err(_) => Some(self.why_left("the relay fell silent")),
                    };
                    if let Some(end) = ended {
                        break end;
                    }
                }
            }
        };
        Served::Over(end)
    }

    /// Sends the answers that are under way, until the server closes the session.
    async fn finish(mut self) {
        let by = Instant::now() + self.relay.config.timing.drain;
        self.leaving = Some(Leaving { why: End::GoingAway(Duration::ZERO), by, is_closed_by_server: true });
        // The next session sends them.
        self.heartbeats.abort();
        let never = CancellationToken::new();
        if let Served::Over(end) = self.serve(&never).await {
            self.close(&end).await;
        }
    }

    fn begin_shutdown(&mut self) {
        match socket::text(&GoingAway { reconnect_after_ms: 0 }) {
            Ok(message) => self.in_flight.send(message),
            Err(error) => tracing::error!(%error, "a frame could not be serialised"),
        }
        self.leave(End::Shutdown);
    }

    fn leave(&mut self, why: End) {
        let by = Instant::now() + self.relay.config.timing.drain;
        self.leaving = Some(Leaving { why, by, is_closed_by_server: false });
    }

    /// Why the session is over, where it was not to end for another reason already.
    fn why_left(&mut self, lost: &str) -> End {
        match self.leaving.take() {
            Some(leaving) => leaving.why,
            // It has said so.
            None if self.successor.is_some() => End::GoingAway(Duration::ZERO),
            None => End::Lost(lost.to_owned()),
        }
    }

    /// Does what a message asks for; returns why the session is over, if it is.
    fn receive(&mut self, message: Message) -> Option<End> {
        self.heard = Instant::now();
        self.relay.vitals.heard();
        match message {
            Message::Text(text) => self.receive_frame(&text),
            Message::Close(_) => Some(self.why_left("the relay closed the session")),
            Message::Ping(_) | Message::Pong(_) => None,
            Message::Binary(_) | Message::Frame(_) => {
                tracing::warn!("the relay sent a binary frame: ignored");
                None
            }
        }
    }

    fn receive_frame(&mut self, text: &str) -> Option<End> {
        match ServerFrame::parse(text) {
            Ok(ServerFrame::Request(request)) => self.in_flight.start(request),
            Ok(ServerFrame::More(more)) => self.in_flight.more(more.request_id, more.parts),
            Ok(ServerFrame::Cancel(cancel)) => self.in_flight.cancel(cancel.request_id),
            Ok(ServerFrame::Refused(refused)) => return Some(connect::refusal(&refused)),
            Ok(ServerFrame::GoingAway(going)) => {
                if self.leaving.is_none() && self.successor.is_none() {
                    let after = Duration::from_millis(going.reconnect_after_ms).min(LONGEST_AWAY);
                    super::report(&End::GoingAway(after), after);
                    self.successor = Some(Successor::after(&self.relay, after));
                }
            }
            Ok(ServerFrame::Welcome(_)) => tracing::warn!("the relay sent a second welcome: ignored"),
            // One frame that is not understood is no reason to end what the others ask for.
            Err(error) => tracing::warn!(%error, "the relay sent a frame that is not understood: ignored"),
        }
        None
    }

    /// Says goodbye and waits a little for the answer; what is still under way is abandoned.
    async fn close(self, end: &End) {
        let Self { mut stream, outbox, in_flight, heartbeats, .. } = self;
        drop((in_flight, heartbeats));
        let code = if *end == End::Shutdown { CloseCode::Away } else { CloseCode::Normal };
        let goodbye = async {
            outbox.send(Message::Close(Some(CloseFrame { code, reason: "".into() }))).await;
            while let Some(Ok(message)) = stream.next().await {
                if message.is_close() {
                    break;
                }
            }
        };
        if timeout(GOODBYE, goodbye).await.is_err() {
            tracing::debug!("the relay did not say goodbye");
        }
    }
}

/// Waits for the successor, if there is to be one.
async fn succeeded(successor: &mut Option<Successor>) -> Box<Opened> {
    match successor {
        Some(successor) => successor.opened().await,
        None => std::future::pending().await,
    }
}
