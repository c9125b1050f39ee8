//! The database's clock, read without asking the database each time.

use std::{
    convert::Infallible,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use contracts::Timestamp;
use tokio::time::{Instant, sleep};

use crate::{Store, StoreError};

/// How often it is compared with the database's. Between two comparisons it goes as the machine's monotonic clock does, which
/// nobody sets.
const COMPARE: Duration = Duration::from_secs(30);
/// A reading that took longer says too little.
const WORTH_READING: Duration = Duration::from_millis(500);

/// The clock that all replicas of a service agree on, whatever the clocks of their machines say. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Arc<RwLock<Reading>>);

#[derive(Clone, Copy)]
struct Reading {
    at: Instant,
    time: Timestamp,
}

impl Clock {
    /// As the machine's clock says, until the database's has been read.
    pub(crate) fn new() -> Self {
        Self(Arc::new(RwLock::new(Reading { at: Instant::now(), time: Timestamp::now() })))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        let Reading { at, time } = *self.0.read().unwrap_or_else(PoisonError::into_inner);
        time.plus(at.elapsed())
    }

    fn set(&self, reading: Reading) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = reading;
    }
}

impl Store {
    /// The database's clock, as it was read last; [`migrate`](Self::migrate) reads it first.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Reads it again and again, for ever.
    pub async fn keep_time(&self) -> Infallible {
        loop {
            sleep(COMPARE).await;
            if let Err(error) = self.bounded(self.read_clock(WORTH_READING)).await {
                tracing::debug!(%error, "the database's clock cannot be read");
            }
        }
    }

    /// Reads it, unless that takes longer than this.
    pub(crate) async fn read_clock(&self, within: Duration) -> Result<(), StoreError> {
        let asked = Instant::now();
        let time = self.now().await?;
        let took = asked.elapsed();
        if let Some(time) = Timestamp::from_millis(time).filter(|_| took < within) {
            self.clock.set(Reading { at: asked + took / 2, time });
        }
        Ok(())
    }
}
