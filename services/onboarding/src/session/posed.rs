//! A question to an agent, and its answer while it comes.
//!
//! Several askers may read one answer. The agent sends as fast as the fastest of them takes it; what a slower one has not
//! taken yet is kept for it, within the process's bound of bytes, so that no reader waits for another.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

use bus::{Encoding, Part};
use bytes::Bytes;
use contracts::{
    ErrorCode,
    agent::{MAX_RESULT_BYTES, ResponseError},
};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, timeout_at},
};
use uuid::Uuid;
use web::metrics::{Held, refused};

use super::{
    AskError,
    budget::{Budget, Share},
    improper,
    mailbox::{Mailbox, Note},
};

/// Questions that agents are working on for this process.
const IN_FLIGHT: &str = "agent_questions_in_flight";

/// So many parts may be on their way before an asker has taken the first.
pub(super) const WINDOW: usize = 4;

/// A question that the agent was asked; dropped by its last reader, it is cancelled.
pub(super) struct Posed {
    id: Uuid,
    /// When the agent gives up.
    deadline: Instant,
    answer: watch::Sender<Answer>,
    mailbox: Arc<Mailbox>,
    budget: Arc<Budget>,
    _place: OwnedSemaphorePermit,
    _counted: Held,
}

/// As much of the answer as has come and is not taken by all yet.
#[derive(Default)]
struct Answer {
    /// Known with the first part.
    encoding: Option<Encoding>,
    parts: VecDeque<(Bytes, Share)>,
    /// So many parts have been taken by every reader, and are gone.
    gone: usize,
    /// The bytes of all parts that have come.
    bytes: usize,
    end: Option<End>,
    /// How many parts each reader has taken.
    readers: Vec<(u64, usize)>,
    /// The most parts that any reader has taken, also one that has gone: so many further ones the agent was told to send.
    furthest: usize,
    next_reader: u64,
}

#[derive(Clone)]
enum End {
    Complete,
    /// The session ended.
    Lost,
    Failed(ResponseError),
}

/// What became of a part.
pub(super) enum Pushed {
    /// More are to come.
    Going,
    /// The question has its answer, or has failed.
    Settled,
    /// The agent sends more than it was told to.
    Overrun,
}

impl Answer {
    fn arrived(&self) -> usize {
        self.gone + self.parts.len()
    }

    /// Lets go of what every reader has taken.
    fn release(&mut self) {
        let nearest = self.readers.iter().map(|(_, taken)| *taken).min().unwrap_or(usize::MAX);
        while self.gone < nearest && self.parts.pop_front().is_some() {
            self.gone += 1;
        }
    }

    fn failure(&self) -> Option<AskError> {
        match self.end.clone()? {
            End::Complete => None,
            End::Lost => Some(AskError::Gone),
            End::Failed(error) => Some(AskError::Agent(error)),
        }
    }
}

impl Posed {
    pub(super) fn new(
        id: Uuid,
        deadline: Instant,
        mailbox: Arc<Mailbox>,
        budget: Arc<Budget>,
        place: OwnedSemaphorePermit,
    ) -> Arc<Self> {
        let (answer, counted) = (watch::Sender::default(), Held::new(IN_FLIGHT, 1.0));
        Arc::new(Self { id, deadline, answer, mailbox, budget, _place: place, _counted: counted })
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Reads the answer from its beginning; `None` when some of it is gone.
    pub(super) fn join(self: &Arc<Self>) -> Option<Reader> {
        let mut number = None;
        self.answer.send_if_modified(|answer| {
            if answer.gone == 0 && answer.failure().is_none() {
                number = Some(answer.next_reader);
                answer.readers.push((answer.next_reader, 0));
                answer.next_reader += 1;
            }
            false
        });
        Some(Reader { number: number?, seen: self.answer.subscribe(), question: Arc::clone(self) })
    }

    /// The whole answer, in one piece.
    fn complete(&self, result: Bytes) {
        self.settle(|question, answer| {
            question.push_to(answer, Encoding::Identity, result)?;
            answer.end = Some(End::Complete);
            Ok(())
        });
    }

    /// A part of a large answer.
    fn push(&self, data: Bytes, last: bool) -> Pushed {
        let mut pushed = Pushed::Settled;
        self.settle(|question, answer| {
            if answer.arrived() >= answer.furthest + WINDOW {
                pushed = Pushed::Overrun;
                return Err(improper("the agent sends more than it was told to"));
            }
            question.push_to(answer, Encoding::Gzip, data)?;
            if last {
                answer.end = Some(End::Complete);
            } else {
                pushed = Pushed::Going;
            }
            Ok(())
        });
        pushed
    }

    fn fail(&self, error: ResponseError) {
        self.settle(|_, _| Err(error));
    }

    fn lose(&self) {
        self.settle(|_, answer| {
            answer.end = Some(End::Lost);
            Ok(())
        });
    }

    /// Changes the answer, unless it has ended.
    fn settle(&self, change: impl FnOnce(&Self, &mut Answer) -> Result<(), ResponseError>) {
        self.answer.send_if_modified(|answer| {
            if answer.end.is_some() {
                return false;
            }
            if let Err(error) = change(self, answer) {
                answer.end = Some(End::Failed(error));
            }
            true
        });
    }

    fn push_to(&self, answer: &mut Answer, encoding: Encoding, data: Bytes) -> Result<(), ResponseError> {
        answer.bytes += data.len();
        if answer.bytes > MAX_RESULT_BYTES {
            return Err(too_large());
        }
        let share = self.budget.take(data.len()).ok_or_else(|| {
            refused("max_queued_mib");
            let detail = "too many large answers are on their way; try again".to_owned();
            ResponseError { code: ErrorCode::Unavailable, detail }
        })?;
        answer.encoding = Some(encoding);
        answer.parts.push_back((data, share));
        Ok(())
    }
}

impl Drop for Posed {
    fn drop(&mut self) {
        if self.answer.borrow().end.is_none() {
            self.mailbox.note(Note::Cancel(self.id));
        }
    }
}

/// The session's hold on a question. Dropped before the answer has come, it tells the askers that none will come.
pub(super) struct Asked(Weak<Posed>);

impl Asked {
    pub(super) fn new(question: &Arc<Posed>) -> Self {
        Self(Arc::downgrade(question))
    }

    /// Whether somebody still waits.
    pub(super) fn is_wanted(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// The answer, in one piece or an error.
    pub(super) fn answer(self, result: Result<Bytes, ResponseError>) {
        if let Some(question) = self.0.upgrade() {
            match result {
                Ok(result) => question.complete(result),
                Err(error) => question.fail(error),
            }
        }
    }

    /// A part of the answer.
    pub(super) fn push(&self, data: Bytes, last: bool) -> Pushed {
        self.0.upgrade().map_or(Pushed::Settled, |question| question.push(data, last))
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(question) = self.0.upgrade() {
            question.lose();
        }
    }
}

/// One asker's place in an answer.
pub(crate) struct Reader {
    number: u64,
    seen: watch::Receiver<Answer>,
    question: Arc<Posed>,
}

impl Reader {
    /// Waits until the answer begins; how it is to be read.
    pub(super) async fn begun(&mut self, deadline: Instant) -> Result<Encoding, AskError> {
        let begun = self.seen.wait_for(|answer| answer.encoding.is_some() || answer.end.is_some());
        let answer = timeout_at(deadline, begun).await.map_err(|_| AskError::Timeout)?;
        // The question, and so the sender, lives as long as this reader.
        let answer = answer.map_err(|_| AskError::Gone)?;
        match (answer.failure(), answer.encoding) {
            (Some(failure), _) => Err(failure),
            (None, Some(encoding)) => Ok(encoding),
            (None, None) => Err(AskError::Gone),
        }
    }

    /// The answer, if it has come whole and in one piece.
    pub(crate) fn whole(&self) -> Option<Bytes> {
        let answer = self.seen.borrow();
        let complete = matches!(answer.end, Some(End::Complete)) && answer.gone == 0;
        match &answer.parts {
            parts if complete && parts.len() == 1 => parts.front().map(|(data, _)| data.clone()),
            _ => None,
        }
    }

    /// Takes the next part.
    pub(crate) async fn next(&mut self) -> Result<Part, AskError> {
        let number = self.number;
        let taken = |answer: &Answer| {
            answer.readers.iter().find(|(reader, _)| *reader == number).map_or(0, |(_, taken)| *taken)
        };
        let ready = self.seen.wait_for(|answer| answer.arrived() > taken(answer) || answer.end.is_some());
        if let Some(failure) = ready.await.map_err(|_| AskError::Gone)?.failure() {
            return Err(failure);
        }
        let (mut part, mut further) = (None, false);
        self.question.answer.send_if_modified(|answer| {
            let place = taken(answer);
            let data = answer.parts.get(place - answer.gone).map(|(data, _)| data.clone());
            let last = matches!(answer.end, Some(End::Complete)) && place + 1 == answer.arrived();
            part = data.map(|data| Part { data, last });
            for (reader, taken) in &mut answer.readers {
                if *reader == number {
                    *taken = place + 1;
                }
            }
            further = place + 1 > answer.furthest && answer.end.is_none();
            answer.furthest = answer.furthest.max(place + 1);
            answer.release();
            false
        });
        if further {
            self.question.mailbox.note(Note::More(self.question.id));
        }
        // Past the last part there is none.
        part.ok_or(AskError::Gone)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.question.answer.send_if_modified(|answer| {
            answer.readers.retain(|(reader, _)| *reader != self.number);
            if !answer.readers.is_empty() {
                answer.release();
            }
            false
        });
    }
}

pub(super) fn too_large() -> ResponseError {
    let detail = format!("the answer is larger than {} MiB; ask with a limit", MAX_RESULT_BYTES >> 20);
    ResponseError { code: ErrorCode::TooLarge, detail }
}
