//! Forgets operations that were over long ago, and orphans that were ended.
//!
//! What an operation has bought and is in use stays so: of an instance whose operation is not known any more the reaper says nothing,
//! and leaves it alone.

use std::{convert::Infallible, time::Duration};

use store::StoreError;
use tokio::time::{MissedTickBehavior, interval};

use crate::store::Database;

/// How often what is too old is looked for.
const TIDY: Duration = Duration::from_mins(10);

/// Forgets what is older than `retention`, for ever.
pub(crate) async fn tidy(database: Database, retention: Duration) -> Infallible {
    let mut ticks = interval(TIDY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match forget(&database, retention).await {
            Ok(0) => {}
            Ok(forgotten) => tracing::info!(forgotten, "operations are past their time"),
            Err(error) => tracing::warn!(%error, "operations that are past their time cannot be forgotten"),
        }
    }
}

/// How many operations were forgotten.
async fn forget(database: &Database, retention: Duration) -> Result<usize, StoreError> {
    let oldest = database.now().minus(retention);
    while database.forget_orphans(oldest).await? > 0 {}
    let mut all = 0;
    loop {
        match database.forget_operations(oldest).await? {
            0 => return Ok(all),
            some => all += some,
        }
    }
}
