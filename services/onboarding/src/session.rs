//! An agent's session: one task that owns the WebSocket.
//!
//! Requests come in by [`SessionHandle::ask`] and are matched with answers by id, many in flight. The task never waits for
//! one of them: an agent that answers slowly delays only that answer.

mod answer;
mod end;
mod frame;
mod registry;
mod serve;
mod settings;
mod socket;
mod task;

use std::sync::Arc;

use contracts::{
    ErrorCode,
    agent::{Hello, MAX_FRAME_BYTES, RefusalCode, Refused, Request, ResponseError, ServerFrame},
    query::Command as QueryCommand,
};
use serde_json::value::RawValue;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};
use uuid::Uuid;

use crate::store::AgentIdentity;

pub(crate) use registry::Registry;
pub(crate) use settings::SessionSettings;
pub use settings::SessionTiming;
pub(crate) use socket::upgrade;
pub(crate) use task::Sessions;

/// So many commands wait for the session's task before more are refused.
const COMMANDS: usize = 256;

/// The agent's answer.
pub(crate) type Answer = Result<Box<RawValue>, ResponseError>;

/// What the session's task is told.
enum Command {
    /// `frame` is the request as text.
    Ask {
        request_id: Uuid,
        frame: String,
        reply: oneshot::Sender<Answer>,
    },
    Cancel(Uuid),
}

/// Where the session's task is told what to do.
struct Inbox {
    commands: mpsc::Receiver<Command>,
    /// Beside the commands, so that it waits for none of them.
    closing: mpsc::Receiver<Refused>,
}

/// A live session, as the rest of the service sees it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct SessionHandle {
    commands: mpsc::Sender<Command>,
    closing: mpsc::Sender<Refused>,
    about: Arc<About>,
}

/// What does not change during a session.
struct About {
    id: Uuid,
    identity: AgentIdentity,
    hello: Hello,
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
    fn new(id: Uuid, identity: AgentIdentity, hello: Hello) -> (Self, Inbox) {
        let (commands, received_commands) = mpsc::channel(COMMANDS);
        let (closing, received_closing) = mpsc::channel(1);
        let inbox = Inbox { commands: received_commands, closing: received_closing };
        (Self { commands, closing, about: Arc::new(About { id, identity, hello }) }, inbox)
    }

    pub(crate) fn id(&self) -> Uuid {
        self.about.id
    }

    pub(crate) fn identity(&self) -> &AgentIdentity {
        &self.about.identity
    }

    pub(crate) fn agent_version(&self) -> &str {
        &self.about.hello.agent_version
    }

    /// Whether the agent knows the command.
    pub(crate) fn can(&self, command: &QueryCommand) -> bool {
        self.about.hello.capabilities.iter().any(|capability| capability == command.as_str())
    }

    /// Asks the agent and waits for its answer until the deadline. Whoever stops waiting has the agent told.
    pub(crate) async fn ask(
        &self,
        mut request: Request,
        deadline: Instant,
    ) -> Result<Box<RawValue>, AskError> {
        let patience = deadline.saturating_duration_since(Instant::now());
        request.deadline_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        if request.deadline_ms == 0 {
            return Err(AskError::Timeout);
        }
        let request_id = request.request_id;
        let frame = serde_json::to_string(&ServerFrame::Request(request)).ok();
        let frame = frame.filter(|frame| frame.len() <= MAX_FRAME_BYTES).ok_or(AskError::TooLarge)?;
        let (reply, answer) = oneshot::channel();
        self.commands.try_send(Command::Ask { request_id, frame, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => AskError::Busy,
            mpsc::error::TrySendError::Closed(_) => AskError::Gone,
        })?;
        let mut cancel = CancelOnDrop { session: self, request_id: Some(request_id) };
        let answer = timeout_at(deadline, answer).await.map_err(|_| AskError::Timeout)?;
        cancel.request_id = None;
        answer.map_err(|_| AskError::Gone)?.map_err(AskError::Agent)
    }

    /// Ends the session, telling the agent why.
    pub(crate) fn close(&self, code: RefusalCode, detail: &str, retry: bool) {
        // It may have ended, or been told to end for another reason.
        let _ = self.closing.try_send(Refused { code, detail: detail.to_owned(), retry });
    }
}

/// Tells the agent that nobody waits for the answer any more.
struct CancelOnDrop<'a> {
    session: &'a SessionHandle,
    request_id: Option<Uuid>,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(request_id) = self.request_id {
            // With a full queue the agent finds out by its deadline.
            let _ = self.session.commands.try_send(Command::Cancel(request_id));
        }
    }
}

fn improper(detail: impl Into<String>) -> ResponseError {
    ResponseError { code: ErrorCode::AgentError, detail: detail.into() }
}
