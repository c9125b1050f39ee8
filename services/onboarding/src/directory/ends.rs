//! The ends of sessions, written together: thousands may end in one moment.

use tokio::sync::mpsc;

use crate::store::{AT_ONCE, Database};

/// So many may wait to be written; of further ones it is found out later.
const MOST: usize = 65_536;

/// An agent, and the epoch of its session that has ended.
pub(super) type Ended = (String, i64);

/// Writes which sessions have ended.
pub(crate) struct Ends {
    database: Database,
    ended: mpsc::Receiver<Ended>,
}

impl Ends {
    pub(super) fn channel(database: Database) -> (mpsc::Sender<Ended>, Self) {
        let (sender, ended) = mpsc::channel(MOST);
        (sender, Self { database, ended })
    }

    /// Writes those that have ended since it wrote last, again and again. What cannot be written is found when the sessions are
    /// looked through.
    pub(crate) async fn write(mut self) {
        let mut some = Vec::new();
        while self.ended.recv_many(&mut some, AT_ONCE).await > 0 {
            if let Err(error) = self.database.release_sessions(&some).await {
                tracing::debug!(%error, sessions = some.len(), "the ends of sessions are not written yet");
            }
            some.clear();
        }
    }
}
