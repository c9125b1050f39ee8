//! What the rest of the service has to say to a session's task.
//!
//! A channel would hold room for 32 messages for every idle session. Here an idle session costs nothing, and the task takes
//! all that waits at once, so that it is written to the agent at once.

use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use contracts::agent::Refused;
use tokio::sync::Notify;
use uuid::Uuid;

use super::{AskError, posed::Asked, questions::busy};

/// So many questions wait to be written to the agent before more are refused: also those whose askers have gone meanwhile.
const MAX_ASKS: usize = 256;

#[derive(Default)]
pub(super) struct Mailbox {
    mail: Mutex<Mail>,
    arrived: Notify,
}

/// All that waits for the session's task.
#[derive(Default)]
pub(super) struct Mail {
    pub(super) asks: Vec<Ask>,
    /// As many as there are questions and parts of answers, which are bounded.
    pub(super) notes: Vec<Note>,
    /// The session is to end, for this reason.
    pub(super) closing: Option<Refused>,
    /// The agent has a newer session, and this one is to end in peace.
    pub(super) gives_way: bool,
    /// The agent is to open another session after this time.
    pub(super) away: Option<Duration>,
    /// Nobody reads any more.
    is_closed: bool,
}

/// A question to be passed on.
pub(super) struct Ask {
    pub(super) asked: Asked,
    pub(super) request_id: Uuid,
    /// The request as text.
    pub(super) frame: String,
}

/// What the agent is to be told of a question that was passed on.
pub(super) enum Note {
    /// One more part is wanted.
    More(Uuid),
    /// Nobody waits any more.
    Cancel(Uuid),
}

impl Mailbox {
    /// Passes a question on.
    pub(super) fn ask(&self, ask: Ask) -> Result<(), AskError> {
        let mut mail = self.lock();
        if mail.is_closed {
            return Err(AskError::Gone);
        }
        if mail.asks.len() >= MAX_ASKS {
            return Err(busy());
        }
        mail.asks.push(ask);
        drop(mail);
        self.arrived.notify_one();
        Ok(())
    }

    /// Passes a note on; after the end of the session it means nothing.
    pub(super) fn note(&self, note: Note) {
        let mut mail = self.lock();
        if !mail.is_closed {
            mail.notes.push(note);
            drop(mail);
            self.arrived.notify_one();
        }
    }

    /// Has the session end; the first reason counts.
    pub(super) fn end(&self, refused: Refused) {
        self.lock().closing.get_or_insert(refused);
        self.arrived.notify_one();
    }

    /// Has the session end in peace.
    pub(super) fn give_way(&self) {
        self.lock().gives_way = true;
        self.arrived.notify_one();
    }

    /// Has the agent asked to open another session.
    pub(super) fn send_away(&self, after: Duration) {
        self.lock().away = Some(after);
        self.arrived.notify_one();
    }

    /// Waits for mail and takes all of it. Safe to be dropped while it waits.
    pub(super) async fn next(&self) -> Mail {
        loop {
            let mail = mem::take(&mut *self.lock());
            let is_empty = mail.asks.is_empty() && mail.notes.is_empty() && mail.away.is_none();
            if mail.closing.is_some() || mail.gives_way || !is_empty {
                return mail;
            }
            self.arrived.notified().await;
        }
    }

    /// Takes no more. Those whose questions still wait here are told that there will be no answer.
    pub(super) fn close(&self) {
        let unread = mem::replace(&mut *self.lock(), Mail { is_closed: true, ..Mail::default() });
        // Not under the lock: whoever is told may have a note.
        drop(unread);
    }

    /// No code panics while it holds the lock, so a poisoned one is still good.
    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
