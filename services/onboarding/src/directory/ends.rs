//! The ends of sessions, written together: thousands may end in one moment.

use tokio::sync::mpsc;

use crate::store::{AT_ONCE, Database};

/// An agent, and the epoch of its session that has ended.
pub(super) type Ended = (String, i64);

/// Writes which sessions have ended.
pub(crate) struct Ends {
    database: Database,
    ended: mpsc::UnboundedReceiver<Ended>,
}

impl Ends {
    /// Without a bound: no more sessions end than there were.
    pub(super) fn channel(database: Database) -> (mpsc::UnboundedSender<Ended>, Self) {
        let (sender, ended) = mpsc::unbounded_channel();
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
