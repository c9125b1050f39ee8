//! What an engine is given. That a saga in shadow mode keeps only what reads, though each is given everything here, is a law of the simulation.

use std::{sync::Arc, time::Duration};

use optimizer::{
    reach::Changes,
    saga::{Engine, Log, NotLive, Owner, Reach, RunMode, Timing},
};
use tokio::time::Instant;

use super::{begin, case::Case, chaos::Chaos, process::Process, seams::Seam, story::Story};
use crate::memory::MemoryLog;

/// Whether there is an engine for a saga of this mode, given what reads and given everything.
async fn engines(mode: RunMode) -> [Result<(), NotLive>; 2] {
    let (began, timing) = (Instant::now(), Timing::default());
    let case = Arc::new(Case { mode, ..Case::of(0) });
    let chaos = Arc::new(Chaos::new(&case, timing.call));
    let world = begin::world(&case, chaos, Story::new(began), began);
    let log = Arc::new(MemoryLog::new());
    log.begin(&begin::sagas(&case, &world)[0], &[]).await.unwrap();
    let claimed = log.claim(&Owner("it".to_owned()), Duration::from_mins(1)).await.unwrap().unwrap();
    let process = Process::new("it", world, log.clone());
    let seam = Arc::new(Seam { process, lease: claimed.lease });
    let changes = Changes { cloud: seam.clone(), cluster: seam };
    [Reach::Shadow(changes.reads()), Reach::Live(changes)]
        .map(|reach| Engine::new(log.clone(), timing, reach, &claimed).map(drop))
}

#[tokio::test]
async fn a_live_saga_needs_more_than_what_reads() {
    assert_eq!(engines(RunMode::Live).await, [Err(NotLive), Ok(())]);
    assert_eq!(engines(RunMode::Shadow).await, [Ok(()), Ok(())]);
}
