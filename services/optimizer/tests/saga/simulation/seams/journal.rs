//! The journal as a process sees it.

use std::time::Duration;

use async_trait::async_trait;
use contracts::Timestamp;
use optimizer::{
    phases::Subject,
    saga::{Claimed, Entry, Lease, Log, LogError, NewSaga, Owner, RunMode},
};
use store::StoreError;
use tokio::time::sleep;

use crate::simulation::{case::Cancel, lies::Lie, process::Process};

/// The journal as one process sees it.
pub(in crate::simulation) struct Journal(pub(in crate::simulation) Process);

fn away() -> LogError {
    LogError::Store(StoreError::Unavailable(sqlx::Error::PoolTimedOut))
}

impl Journal {
    async fn write<T>(
        &self,
        what: &str,
        write: impl Future<Output = Result<T, LogError>>,
    ) -> Result<T, LogError> {
        let chaos = &self.0.world.chaos;
        self.0.can_die(&format!("before it writes {what}")).await;
        let fails = chaos.fails();
        if fails && chaos.chance(50) {
            self.0.tell(format!("writes {what}: in vain"));
            return Err(away());
        }
        let written = write.await;
        self.0.can_die(&format!("after it has written {what}")).await;
        if fails && chaos.chance(20) {
            self.0.tell(format!("writes {what}: the answer takes its time"));
            sleep(chaos.millis(0, 60_000)).await;
        }
        if fails { Err(away()) } else { written }
    }
}

#[async_trait]
impl Log for Journal {
    fn now(&self) -> Timestamp {
        self.0.log.now()
    }

    async fn begin(&self, saga: &NewSaga, subjects: &[Subject]) -> Result<(), LogError> {
        self.write("a saga", self.0.log.begin(saga, subjects)).await
    }

    async fn claim(&self, owner: &Owner, lease: Duration) -> Result<Option<Claimed>, LogError> {
        if !self.0.log.has_free() {
            // There is nothing to die of.
            return Ok(None);
        }
        let mut claimed = self.write("that it takes a saga on", self.0.log.claim(owner, lease)).await?;
        if let Some(claimed) = &mut claimed
            && self.0.world.case.lie == Some(Lie::ShadowIsLive)
        {
            claimed.saga.mode = RunMode::Live;
        }
        Ok(claimed)
    }

    async fn renew(&self, lease: Lease, duration: Duration) -> Result<bool, LogError> {
        if self.0.world.case.lie == Some(Lie::LeaseIsKept) {
            return Ok(false);
        }
        if self.0.world.case.lie == Some(Lie::IsCancelled) {
            return Ok(true);
        }
        let renewed = self.write("a lease", self.0.log.renew(lease, duration)).await;
        if self.0.world.case.lie == Some(Lie::CancelIsUnheard) { renewed.map(|_| false) } else { renewed }
    }

    async fn append(&self, lease: Lease, entry: &Entry) -> Result<(), LogError> {
        let text = serde_json::to_value(&entry.event).unwrap();
        let what =
            format!("{} {}", text["what"].as_str().unwrap(), text["phase"].as_str().unwrap_or_default());
        let append = async {
            let (log, world) = (&self.0.log, &self.0.world);
            let is_new = log.entries(lease.saga) == entry.seq as usize;
            log.append(lease, entry).await?;
            if is_new {
                let whose = if Some(lease.saga) == log.first() { "" } else { " (the other)" };
                world.story.tell(format!("   {}{whose} {text}", self.0.name));
                world.changed.notify_one();
                if world.case.cancel == Cancel::AtEntry(entry.seq as usize) && Some(lease.saga) == log.first()
                {
                    world.story.tell("the user cancels");
                    log.cancel(lease.saga);
                }
            }
            Ok(())
        };
        self.write(what.trim(), append).await
    }

    async fn release(&self, lease: Lease) -> Result<(), LogError> {
        self.write("that it lets a saga go", self.0.log.release(lease)).await
    }
}
