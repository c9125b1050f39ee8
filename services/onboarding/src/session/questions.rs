//! The questions of one session: how many there may be, and who shares an answer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use contracts::query::{Command, Params};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Duration, Instant},
};
use web::metrics::refused;

use super::{
    AskError,
    posed::{Posed, Reader},
};

/// What is asked, and for whom. Answers are shared by those who ask the same for the same user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    /// Absent for clients of the earlier system, which say no user.
    pub(crate) user_id: Option<String>,
    pub(crate) command: Command,
    pub(crate) params: Params,
}

pub(super) struct Questions {
    /// Those whose answers can be shared.
    shared: Mutex<HashMap<Question, Weak<Posed>>>,
    places: Arc<Semaphore>,
    is_sharing: bool,
}

impl Questions {
    pub(super) fn new(max: usize, is_sharing: bool) -> Self {
        Self { shared: Mutex::default(), places: Arc::new(Semaphore::new(max)), is_sharing }
    }

    /// A place for one more question; held as long as the question is.
    pub(super) fn place(&self) -> Result<OwnedSemaphorePermit, AskError> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| busy())
    }

    /// A place in the answer to this question: of one that was posed already and is still being answered, or of a new one.
    pub(super) fn join_or(
        &self,
        question: &Question,
        deadline: Instant,
        pose: impl FnOnce() -> Result<Arc<Posed>, AskError>,
    ) -> Result<Reader, AskError> {
        let gone = || AskError::Gone;
        // Who wants it fresh wants nothing that was begun before, and of whom it is not said who they are may be two.
        if !self.is_sharing || question.params.fresh || question.user_id.is_none() {
            count(false);
            return pose()?.join().ok_or_else(gone);
        }
        let mut shared = self.lock();
        let posed = shared.get(question).and_then(Weak::upgrade);
        let joined = posed.filter(|posed| posed.serves(deadline)).and_then(|posed| posed.join());
        count(joined.is_some());
        if let Some(reader) = joined {
            return Ok(reader);
        }
        let posed = pose()?;
        shared.retain(|_, posed| posed.strong_count() > 0);
        shared.insert(question.clone(), Arc::downgrade(&posed));
        posed.join().ok_or_else(gone)
    }

    /// No code panics while it holds the lock, so a poisoned one is still good.
    fn lock(&self) -> MutexGuard<'_, HashMap<Question, Weak<Posed>>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Too many questions wait for this agent.
pub(super) fn busy() -> AskError {
    refused("max_requests_per_session");
    AskError::Busy
}

fn count(is_shared: bool) {
    let shared = if is_shared { "true" } else { "false" };
    metrics::counter!("agent_questions_total", "shared" => shared).increment(1);
}

/// An answer is shared with an asker that would wait at most so much longer than the one who asked first.
const SLACK: Duration = Duration::from_secs(1);

impl Posed {
    /// Whether the agent works on it about as long as somebody with this deadline would have it do.
    fn serves(&self, deadline: Instant) -> bool {
        self.deadline() + SLACK >= deadline
    }
}
