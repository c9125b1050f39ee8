//! Carries on the sagas that nobody else does.

use std::{fmt::Display, sync::Arc, time::Duration};

use ::store::StoreError;
use thiserror::Error;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;
use web::metrics::Held;

use crate::{
    clouds::Clouds,
    counted,
    saga::{Claimed, Engine, Log, LogError, Owner, Timing, cannot_carry_on},
    store::Database,
};

/// How often it is looked without being poked: for what another replica has begun, or left when it died.
const POLL: Duration = Duration::from_secs(1);

/// Carries sagas on, so many at a time.
pub(crate) struct Worker {
    pub(crate) database: Database,
    pub(crate) clouds: Clouds,
    pub(crate) timing: Timing,
    pub(crate) at_once: usize,
    /// Poked when a saga was begun here.
    pub(crate) begun: Arc<Notify>,
}

impl Worker {
    /// Works until it is stopped; what is under way then is let go, for another process to carry on.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let owner = Owner(Uuid::new_v4().to_string());
        let (tasks, places) = (TaskTracker::new(), Arc::new(Semaphore::new(self.at_once)));
        let this = Arc::new(self);
        while let Some(place) = stop.run_until_cancelled(Arc::clone(&places).acquire_owned()).await {
            // The semaphore is never closed.
            let Ok(place) = place else { break };
            match this.database.claim(&owner, this.timing.lease).await {
                Ok(Some(claimed)) => {
                    tasks.spawn(Arc::clone(&this).carry_on(claimed, place, stop.clone()));
                }
                Ok(None) => {
                    drop(place);
                    let poked = timeout(POLL, this.begun.notified());
                    let _ = stop.run_until_cancelled(poked).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "no operation can be taken on right now");
                    stop.run_until_cancelled(sleep(POLL)).await;
                }
            }
        }
        tasks.close();
        tasks.wait().await;
    }

    async fn carry_on(
        self: Arc<Self>,
        claimed: Claimed,
        place: OwnedSemaphorePermit,
        stop: CancellationToken,
    ) {
        let saga = claimed.saga.id;
        let running = Held::new(counted::RUNNING, 1.0);
        tracing::info!(%saga, epoch = claimed.lease.epoch, "carrying an operation on");
        match self.engine(&claimed).await {
            Ok(engine) => match engine.run(&stop).await {
                Ok(()) => {}
                Err(LogError::Fenced) => tracing::info!(%saga, "another process carries the operation on"),
                Err(error) => tracing::warn!(%saga, %error, "the operation is not carried on here"),
            },
            // The lease ends by itself, and then somebody tries again.
            Err(NoEngine::Store(error)) => {
                tracing::warn!(%saga, %error, "the operation cannot be carried on right now");
            }
            Err(NoEngine::Stuck(why)) => {
                tracing::error!(%saga, why, "the operation cannot be carried on");
                if let Err(error) = cannot_carry_on(&self.database, self.timing, &claimed, &why).await {
                    tracing::warn!(%saga, %error, "that cannot be told in its journal");
                }
            }
        }
        drop((place, running));
    }

    async fn engine(&self, claimed: &Claimed) -> Result<Engine, NoEngine> {
        let stuck = |why: &dyn Display| NoEngine::Stuck(why.to_string());
        let account = self.database.account(&claimed.saga.target.account_id).await?;
        let account = account.ok_or_else(|| stuck(&"its account is not known"))?;
        let reach = self.clouds.reach(&account, &claimed.saga).map_err(|error| stuck(&error))?;
        Engine::new(Arc::new(self.database.clone()), self.timing, reach, claimed)
            .map_err(|error| stuck(&error))
    }
}

/// Why an operation cannot be carried on.
#[derive(Debug, Error)]
enum NoEngine {
    /// Nobody can do anything just now.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What its user is told.
    #[error("{0}")]
    Stuck(String),
}

#[cfg(test)]
mod tests;
