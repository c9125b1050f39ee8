//! An agent's session: one task that owns the WebSocket.
//!
//! Requests come in by [`SessionHandle::ask`] and are matched with answers by id, many in flight. The task never waits for
//! one of them: an agent that answers slowly delays only that answer.

mod budget;
mod end;
mod frame;
mod mailbox;
mod pace;
mod posed;
mod questions;
mod registry;
mod serve;
mod settings;
mod socket;
mod task;
mod unbidden;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bus::Encoding;
use contracts::{
    ErrorCode, TraceParent,
    agent::{Hello, MAX_FRAME_BYTES, Refused, Request, ResponseError, ServerFrame},
    query::{Command as QueryCommand, Successor},
};
use tokio::time::Instant;
use uuid::Uuid;

use crate::store::{AgentIdentity, Vitals};

use mailbox::{Ask, Mailbox};
use posed::{Asked, Posed};
use questions::Questions;

pub(crate) use budget::Budget;
pub(crate) use pace::{Pace, Turn};
pub(crate) use posed::Reader;
pub(crate) use questions::Question;
use registry::NotInserted;
pub(crate) use registry::Registry;
pub use settings::SessionTiming;
pub(crate) use settings::{Bounds, SessionSettings};
pub(crate) use socket::upgrade;
pub(crate) use task::{Sessions, sockets_of};

/// A live session, as the rest of the service sees it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct SessionHandle(Arc<Shared>);

struct Shared {
    about: About,
    mailbox: Arc<Mailbox>,
    questions: Questions,
    budget: Arc<Budget>,
    /// What the agent has told in this session, before it is written.
    latest: Mutex<Vitals>,
    is_sent_away: AtomicBool,
}

impl Shared {
    fn learn(&self, learnt: Vitals) {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).update(learnt);
    }

    fn agent_id(&self) -> &str {
        &self.about.identity.agent_id
    }
}

/// What does not change during a session.
struct About {
    id: Uuid,
    /// Of two sessions of an agent, wherever they are, that with the larger one is the current one.
    epoch: u64,
    identity: AgentIdentity,
    /// The agent's process. One that says which it is opens its next session before it closes this one.
    instance: Option<Uuid>,
    opened: Instant,
    agent_version: String,
    capabilities: Vec<QueryCommand>,
}

/// Why a question got no answer.
pub(crate) enum AskError {
    /// The session ended.
    Gone,
    /// The question is larger than a frame.
    TooLarge,
    /// Too many questions wait for this agent already.
    Busy,
    /// The deadline passed.
    Timeout,
    /// The agent answered with an error, or improperly.
    Agent(ResponseError),
}

impl SessionHandle {
    fn new(id: Uuid, epoch: u64, identity: AgentIdentity, hello: Hello, bounds: &Bounds) -> Self {
        let capability = |name: String| serde_json::from_value(name.into()).ok();
        let about = About {
            id,
            epoch,
            identity,
            instance: hello.instance,
            opened: Instant::now(),
            agent_version: hello.agent_version,
            capabilities: hello.capabilities.into_iter().filter_map(capability).collect(),
        };
        Self(Arc::new(Shared {
            about,
            mailbox: Arc::default(),
            questions: Questions::new(bounds.max_questions, bounds.shares_answers),
            budget: Arc::clone(&bounds.budget),
            latest: Mutex::default(),
            is_sent_away: AtomicBool::new(false),
        }))
    }

    pub(crate) fn id(&self) -> Uuid {
        self.0.about.id
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.0.about.epoch
    }

    pub(crate) fn instance(&self) -> Option<Uuid> {
        self.0.about.instance
    }

    pub(crate) fn identity(&self) -> &AgentIdentity {
        &self.0.about.identity
    }

    pub(crate) fn agent_version(&self) -> &str {
        &self.0.about.agent_version
    }

    /// What the agent has told in this session.
    pub(crate) fn latest(&self) -> Vitals {
        self.0.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the agent knows the command.
    pub(crate) fn can(&self, command: &QueryCommand) -> bool {
        self.0.about.capabilities.contains(command)
    }

    /// Asks the agent, or joins who is asking the same for the same user, and waits until its answer begins. Whoever stops
    /// reading it has the agent told, unless others read on.
    pub(crate) async fn ask(
        &self,
        question: Question,
        trace: Option<TraceParent>,
        deadline: Instant,
    ) -> Result<(Encoding, Reader), AskError> {
        let started = Instant::now();
        let mut reader =
            self.0.questions.join_or(&question, deadline, || self.pose(&question, trace, deadline))?;
        let encoding = reader.begun(deadline).await?;
        metrics::histogram!("agent_ask_seconds").record(started.elapsed());
        Ok((encoding, reader))
    }

    /// Hands a new question to the session's task.
    fn pose(
        &self,
        question: &Question,
        trace: Option<TraceParent>,
        deadline: Instant,
    ) -> Result<Arc<Posed>, AskError> {
        let patience = deadline.saturating_duration_since(Instant::now());
        let request = Request {
            request_id: Uuid::new_v4(),
            command: question.command.clone(),
            params: question.params.clone(),
            deadline_ms: u64::try_from(patience.as_millis()).unwrap_or(u64::MAX),
            window: u32::try_from(posed::WINDOW).ok(),
            traceparent: trace,
        };
        if request.deadline_ms == 0 {
            return Err(AskError::Timeout);
        }
        let request_id = request.request_id;
        let frame = serde_json::to_string(&ServerFrame::Request(request)).ok();
        let frame = frame.filter(|frame| frame.len() <= MAX_FRAME_BYTES).ok_or(AskError::TooLarge)?;
        let Shared { questions, mailbox, budget, .. } = &*self.0;
        let place = questions.place()?;
        let posed = Posed::new(request_id, deadline, Arc::clone(mailbox), Arc::clone(budget), place);
        mailbox.ask(Ask { asked: Asked::new(&posed), request_id, frame })?;
        Ok(posed)
    }

    /// Whether the agent can go over to another session, has had this one for a while, and was not asked to go yet.
    pub(crate) fn may_be_sent_away(&self, settled: Duration) -> bool {
        let About { instance, opened, .. } = &self.0.about;
        instance.is_some() && opened.elapsed() >= settled && !self.0.is_sent_away.load(Ordering::Relaxed)
    }

    /// Asks the agent to open another session after this time, and to leave this one then.
    pub(crate) fn send_away(&self, after: Duration) {
        self.0.is_sent_away.store(true, Ordering::Relaxed);
        self.0.mailbox.send_away(after);
    }

    /// Ends the session, telling the agent why.
    pub(crate) fn close(&self, refused: Refused) {
        self.0.mailbox.end(refused);
    }

    /// Ends the session in favour of a newer one.
    pub(crate) fn give_way(&self, to: Successor) {
        match to {
            // Once what was asked before has been answered.
            Successor::Moving => self.0.mailbox.give_way(),
            Successor::Returned => self.close(registry::returned()),
            Successor::Other => self.close(registry::replaced()),
        }
    }
}

fn improper(detail: impl Into<String>) -> ResponseError {
    ResponseError { code: ErrorCode::AgentError, detail: detail.into() }
}
