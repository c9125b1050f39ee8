//! The task of a session, from `hello` to the end.

use std::{pin::pin, sync::Arc};

use contracts::{
    Timestamp,
    agent::{AgentFrame, GoingAway, Hello, PROTOCOL, RefusalCode, ServerFrame, Welcome},
};
use futures_util::StreamExt;
use std::time::Duration;
use store::Clock;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;
use web::metrics::refused;

use super::{
    Bounds, NotInserted, Pace, Registry, SessionHandle, SessionSettings, Shared, Turn,
    end::End,
    frame::{self, Frame},
    serve::Session,
    socket::Socket,
};
use crate::{
    agent_version::OldestAgent,
    directory::{Directory, NotClaimed},
    store::{AgentIdentity, Incident, Vitals},
    vitals::VitalsRecorder,
};

/// An agent has a capability for each command, of which there are a dozen.
const MAX_CAPABILITIES: usize = 64;
/// An agent that has a connection says `hello` at once.
const HELLO_SOON: Duration = Duration::from_secs(1);
/// What an agent is told that has taken the place of another process.
const HAS_REPLACED: &str =
    "another process with this agent's id had a session, which has been ended: if it still runs, stop it";

/// All sessions of this process.
pub(crate) struct Sessions {
    pub(crate) registry: Arc<Registry>,
    pub(crate) directory: Directory,
    /// The time that all replicas agree on.
    pub(crate) clock: Clock,
    pub(crate) recorder: VitalsRecorder,
    pub(crate) settings: SessionSettings,
    pub(crate) oldest_agent: OldestAgent,
    pub(crate) bounds: Bounds,
    /// How fast agents are let in.
    pub(crate) pace: Pace,
    /// One for each socket of an agent: also before its session, and until it is closed after it.
    pub(crate) sockets: Arc<Semaphore>,
    pub(crate) tasks: TaskTracker,
    pub(crate) shutdown: CancellationToken,
}

/// So many agents may have a socket where so many may have a session: some are just being replaced or refused.
pub(crate) fn sockets_of(max_sessions: usize) -> usize {
    (max_sessions + max_sessions / 10 + 100).min(Semaphore::MAX_PERMITS)
}

impl Sessions {
    /// A place for the socket of one more agent, if there is one.
    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.sockets).try_acquire_owned().inspect_err(|_| refused("max_sessions")).ok()
    }

    /// Waits until one more agent may be let in; `None` when too many wait already, or this process stops.
    pub(crate) async fn turn(&self) -> Option<Turn> {
        let turn = self.pace.turn(self.directory.replicas());
        self.shutdown.run_until_cancelled(turn).await.flatten()
    }

    /// Runs a session to its end, and keeps its place so long.
    ///
    /// The size of this future is what an idle session costs. So what is large is boxed before it is moved in, and what comes
    /// before and after the session is boxed to be freed with its end.
    pub(crate) fn run(
        self: Arc<Self>,
        socket: Socket,
        identity: AgentIdentity,
        place: OwnedSemaphorePermit,
        turn: Turn,
    ) -> impl Future<Output = ()> + Send {
        let (mut socket, identity) = (Box::new(socket), Box::new(identity));
        async move {
            let (agent_id, cluster_id) = (identity.agent_id.clone(), identity.cluster_id.clone());
            let (end, session) = match Box::pin(self.open(&mut socket, identity, turn)).await {
                Ok(shared) => {
                    // Whoever waits for an answer learns that none will come before the agent is told why.
                    let end = Session::new(&self, &mut socket, &shared).serve().await;
                    self.forget(&shared, &end);
                    (end, Some(shared))
                }
                Err(end) => (end, None),
            };
            tracing::info!(agent = agent_id, reason = end.reason(), "connection of an agent ended");
            self.note(&cluster_id, &end, session.is_some());
            Box::pin(self.say_goodbye(&mut socket, end, session)).await;
            drop(place);
        }
    }

    /// Keeps how a session has ended, or why there was none. That an agent has gone over to a newer one is no news.
    fn note(&self, cluster_id: &str, end: &End, was_open: bool) {
        if matches!(end, End::Moved) {
            return;
        }
        let incident = Some(Incident { at: self.clock.now(), why: end.told() });
        let learnt = if was_open {
            Vitals { ended: incident, ..Vitals::default() }
        } else {
            Vitals { refused: incident, ..Vitals::default() }
        };
        self.recorder.learn(cluster_id, learnt);
    }

    /// Says goodbye, if the agent still listens, and closes.
    async fn say_goodbye(&self, socket: &mut Socket, end: End, session: Option<Arc<Shared>>) {
        let is_replaced = end.is_replaced();
        let has_answered = end.carry_out(socket, &self.settings).await;
        // One that does not answer was lost: its agent has come back.
        if let Some(session) = session.filter(|_| is_replaced && has_answered) {
            self.directory.tell_of_duplicate(&session.about.identity).await;
        }
    }

    /// Makes the session this replica's and known, and welcomes the agent.
    async fn open(
        &self,
        socket: &mut Socket,
        identity: Box<AgentIdentity>,
        turn: Turn,
    ) -> Result<Arc<Shared>, End> {
        let (hello, turn) = self.greet_in_turn(socket, &identity, turn).await?;
        let vitals = opening_vitals(&hello, self.clock.now());
        let opening = self.registry.begin(&identity);
        let (claimed, claimed_as) = self.directory.claim(&identity, &hello).await.map_err(not_claimed)?;
        // What follows is to wait for others.
        drop(turn);
        let (to, has_replaced) = (claimed.successor(&hello), claimed.has_replaced(&hello));
        let handle = SessionHandle::new(Uuid::now_v7(), claimed.epoch(), *identity, hello, &self.bounds);
        let shared = Arc::clone(&handle.0);
        // Looked at again: others may have said hello meanwhile.
        let earlier = match opening.insert(handle, self.bounds.max_sessions) {
            Ok(earlier) => earlier,
            Err(not_inserted) => {
                self.directory.release(shared.agent_id(), shared.about.epoch);
                return Err(match not_inserted {
                    NotInserted::Full => too_many(),
                    NotInserted::Over(refused) => End::Refuse(refused),
                });
            }
        };
        if let Some(earlier) = earlier {
            earlier.give_way(to);
        }
        metrics::gauge!("agent_sessions").increment(1);
        tracing::info!(agent = shared.agent_id(), session = %shared.about.id, "session opened");
        let welcomed = async {
            // Looked at now that what ends the session is heeded.
            if !self.directory.is_known_as(&claimed_as) {
                return Err(not_claimed(NotClaimed::Unavailable));
            }
            let taken_over = self.directory.take_over(&shared.about.identity, &claimed, to).await;
            taken_over.map_err(not_claimed)?;
            self.welcome(socket, &shared, vitals, has_replaced).await
        };
        welcomed.await.inspect_err(|end| self.forget(&shared, end))?;
        Ok(shared)
    }

    /// From now on nobody finds the session here, nor looks for it here; what was asked of it before may still be answered.
    pub(super) fn withdraw(&self, shared: &Shared, end: &End) {
        self.registry.remove(shared.agent_id(), shared.about.id);
        // One that was replaced is not this replica's any more, and all of a process that stops are released together.
        if !end.is_replaced() && !matches!(end, End::Moved | End::Shutdown) {
            self.directory.release(shared.agent_id(), shared.about.epoch);
        }
    }

    /// The session is over.
    fn forget(&self, shared: &Shared, end: &End) {
        self.withdraw(shared, end);
        shared.mailbox.close();
        metrics::gauge!("agent_sessions").decrement(1);
        metrics::counter!("agent_sessions_ended_total", "reason" => end.label()).increment(1);
    }

    /// Waits for `hello`; an agent that is slow to say it keeps others from their turn for a moment only.
    async fn greet_in_turn(
        &self,
        socket: &mut Socket,
        identity: &AgentIdentity,
        turn: Turn,
    ) -> Result<(Hello, Option<Turn>), End> {
        let mut greeting = pin!(self.greet(socket, identity));
        match timeout(HELLO_SOON, &mut greeting).await {
            Ok(hello) => Ok((hello?, Some(turn))),
            Err(_) => {
                drop(turn);
                Ok((greeting.await?, None))
            }
        }
    }

    /// Waits for `hello` and checks it.
    async fn greet(&self, socket: &mut Socket, identity: &AgentIdentity) -> Result<Hello, End> {
        if !self.registry.takes(&identity.agent_id, self.bounds.max_sessions) {
            return Err(too_many());
        }
        let first = tokio::select! {
            first = timeout(self.settings.timing.hello_within, first_frame(socket)) => first,
            () = self.shutdown.cancelled() => {
                self.announce_shutdown(socket).await?;
                return Err(End::Shutdown);
            }
        };
        let late = |_| End::refuse(RefusalCode::Timeout, "no hello within its time", true);
        let Frame::Text(AgentFrame::Hello(hello)) = first.map_err(late)?? else {
            return Err(End::protocol_error("the first frame must be hello"));
        };
        if hello.protocol != PROTOCOL {
            let detail = format!("this server speaks protocol {PROTOCOL}, not {}", hello.protocol);
            return Err(End::refuse(RefusalCode::UnsupportedProtocol, &detail, false));
        }
        if hello.agent_id != identity.agent_id {
            let detail = "hello names another agent than X-Agent-Id";
            return Err(End::refuse(RefusalCode::AgentMismatch, detail, false));
        }
        Ok(bounded(hello))
    }

    async fn welcome(
        &self,
        socket: &mut Socket,
        shared: &Shared,
        vitals: Vitals,
        has_replaced: bool,
    ) -> Result<(), End> {
        self.learn(shared, vitals);
        let heartbeat_seconds = self.settings.heartbeat_seconds();
        let too_old = self.oldest_agent.notice(&shared.about.agent_version);
        let notices: Vec<String> =
            too_old.into_iter().chain(has_replaced.then(|| HAS_REPLACED.to_owned())).collect();
        let welcome = Welcome {
            session_id: shared.about.id.to_string(),
            heartbeat_seconds,
            epoch: Some(shared.about.epoch),
            notice: (!notices.is_empty()).then(|| notices.join("; ")),
        };
        frame::send(socket, &ServerFrame::Welcome(welcome), &self.settings).await
    }

    /// Keeps what was learnt for those who ask now, and has it written.
    pub(super) fn learn(&self, shared: &Shared, learnt: Vitals) {
        shared.learn(learnt.clone());
        self.recorder.learn(&shared.about.identity.cluster_id, learnt);
    }

    /// Tells the agent that this process stops, and when to come back.
    pub(super) async fn announce_shutdown(&self, socket: &mut Socket) -> Result<(), End> {
        let hint = rand::random_range(Duration::ZERO..=self.settings.timing.reconnect_within);
        frame::send(socket, &ServerFrame::GoingAway(GoingAway::after(hint)), &self.settings).await
    }
}

fn not_claimed(reason: NotClaimed) -> End {
    match reason {
        NotClaimed::Revoked => End::refuse(RefusalCode::Revoked, "the agent's key was revoked", false),
        NotClaimed::Superseded => End::refuse(
            RefusalCode::Replaced,
            "another process with this agent's id is connected, and is the newer one",
            false,
        ),
        NotClaimed::Unavailable => {
            let detail = "the session cannot be opened right now; try again";
            End::refuse(RefusalCode::Overloaded, detail, true)
        }
    }
}

fn too_many() -> End {
    refused("max_sessions");
    End::refuse(RefusalCode::Overloaded, "too many sessions here; try again later", true)
}

/// The first frame that is neither ping nor pong.
async fn first_frame(socket: &mut Socket) -> Result<Frame, End> {
    loop {
        match frame::read(socket.next().await)? {
            Frame::Alive => {}
            frame => return Ok(frame),
        }
    }
}

/// What is kept of a `hello` for as long as the session lives.
fn bounded(hello: Hello) -> Hello {
    Hello {
        agent_version: presentable(&hello.agent_version),
        kubernetes_version: hello.kubernetes_version.as_deref().map(presentable),
        cluster_name: hello.cluster_name.as_deref().map(presentable),
        capabilities: hello
            .capabilities
            .iter()
            .take(MAX_CAPABILITIES)
            .map(|name| presentable(name))
            .collect(),
        ..hello
    }
}

fn opening_vitals(hello: &Hello, now: Timestamp) -> Vitals {
    Vitals {
        agent_version: Some(hello.agent_version.clone()),
        kubernetes_version: hello.kubernetes_version.clone(),
        simulated: Some(hello.simulated),
        connected_at: Some(now),
        ..Vitals::default()
    }
}

/// What an agent says of itself is stored and shown, so it is cut and cleaned: PostgreSQL takes no NUL in a text.
pub(super) fn presentable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}
