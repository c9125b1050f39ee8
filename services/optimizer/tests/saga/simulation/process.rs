//! A process that carries sagas on, dies, is stopped, and is started again.

use std::{future::pending, sync::Arc, time::Duration};

use optimizer::{
    reach::Changes,
    saga::{Engine, Log, Owner, Reach, Timing},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    seams::{Journal, Seam},
    world::World,
};
use crate::memory::MemoryLog;

/// A process, as far as it can die.
#[derive(Clone)]
pub(super) struct Process {
    pub(super) name: &'static str,
    pub(super) world: World,
    pub(super) log: Arc<MemoryLog>,
    dies: Arc<Notify>,
}

impl Process {
    pub(super) fn new(name: &'static str, world: World, log: Arc<MemoryLog>) -> Self {
        Self { name, world, log, dies: Arc::default() }
    }

    pub(super) fn tell(&self, what: impl AsRef<str>) {
        self.world.story.tell(format!("{} {}", self.name, what.as_ref()));
    }

    /// A place at which the process can die. Then it does nothing more, and is taken away.
    pub(super) async fn can_die(&self, place: &str) {
        if self.world.chaos.dies(place) {
            self.tell(format!("dies {place}"));
            self.dies.notify_one();
            pending::<()>().await;
        }
    }

    /// A call is on its way.
    pub(super) async fn travels(&self) {
        sleep(self.world.chaos.delay()).await;
    }

    /// Lives for ever.
    pub(super) async fn live(self, timing: Timing) {
        loop {
            let stop = CancellationToken::new();
            let is_stopped = self.world.chaos.restarts_after();
            let stopping = async {
                match is_stopped {
                    Some(after) => sleep(after).await,
                    None => pending().await,
                }
                self.tell("is stopped");
                stop.cancel();
                pending::<()>().await;
            };
            tokio::select! {
                biased;
                () = self.dies.notified() => sleep(self.world.chaos.millis(0, 60_000)).await,
                until = self.goes_away() => sleep_until(until).await,
                () = self.works(timing, &stop) => sleep(self.world.chaos.millis(0, 5000)).await,
                () = stopping => {}
            }
        }
    }

    /// Goes away for very long, when the case says so; until when.
    async fn goes_away(&self) -> Instant {
        match self.world.is_away() {
            Some((from, until)) if Instant::now() < until => {
                sleep_until(from).await;
                self.tell("goes away for long");
                until
            }
            _ => pending().await,
        }
    }

    async fn works(&self, timing: Timing, stop: &CancellationToken) {
        let journal = Arc::new(Journal(self.clone()));
        while !stop.is_cancelled() {
            let owner = Owner(self.name.to_owned());
            let Ok(Some(claimed)) = journal.claim(&owner, timing.lease).await else {
                sleep(Duration::from_secs(2)).await;
                continue;
            };
            self.tell(format!("carries on, epoch {}", claimed.lease.epoch));
            let seam = Arc::new(Seam { process: self.clone(), lease: claimed.lease });
            // In shadow mode it is the engine that sees to it that nothing is changed.
            let reach = Reach::Live(Changes { cloud: seam.clone(), cluster: seam });
            let engine = Engine::new(journal.clone(), timing, reach, &claimed).unwrap();
            if let Err(error) = engine.run(stop).await {
                self.tell(format!("stops: {error}"));
            }
        }
    }
}
