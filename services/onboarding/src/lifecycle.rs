//! `connected → stale → disconnected`: what was heard of agents is written, and then who was silent for too long is noted.

use std::time::Duration;

use store::StoreError;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    directory::Directory,
    store::{Change, Database, State},
    vitals::VitalsRecorder,
};

/// How often it is written and looked.
const EVERY: Duration = Duration::from_secs(1);

/// How long an agent may be silent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// After so long its cluster is stale.
    pub(crate) stale_after: Duration,
    /// After so long, from the same beginning, it is disconnected.
    pub(crate) disconnected_after: Duration,
}

/// Writes and looks until `shutdown`, and then writes what is left.
pub(crate) async fn run(
    recorder: VitalsRecorder,
    database: Database,
    directory: Directory,
    patience: Patience,
    shutdown: CancellationToken,
) {
    // Since when all that was heard is written, by this replica; the others may be a little later, but not by so much.
    let mut written_since = Instant::now();
    loop {
        let stops = shutdown.run_until_cancelled(sleep(EVERY)).await.is_none();
        let is_written = recorder.write(&database).await;
        if stops {
            return;
        }
        if !is_written {
            written_since = Instant::now();
        }
        // Who could not be heard because nobody listened, or whose heartbeat waits to be written, was not silent.
        if written_since.elapsed() >= patience.stale_after
            && let Err(error) = look(&database, &directory.others(), patience).await
        {
            tracing::warn!(%error, "silent agents not noted; trying again");
        }
    }
}

async fn look(database: &Database, others: &[String], patience: Patience) -> Result<(), StoreError> {
    let Patience { stale_after, disconnected_after } = patience;
    let now = database.now();
    let silent_for = |time: Duration, from, to| Change { from, to, silent_since: Some(now.minus(time)) };
    let fall_silent = silent_for(stale_after, State::Connected, State::Stale);
    let stale = database.note_silence(fall_silent, others, now).await?;
    let go = silent_for(disconnected_after, State::Stale, State::Disconnected);
    let gone = database.note_silence(go, others, now).await?;
    if stale > 0 || gone > 0 {
        tracing::warn!(stale, disconnected = gone, "agents were silent for too long");
    }
    Ok(())
}
