//! What all services tell of, kept for their users to read.

use std::{convert::Infallible, time::Duration};

use bus::Bus;
use contracts::queues::{AUDIT_LOG, CLUSTER_EVENTS};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::store::Database;

/// How often what is too old is looked for.
const TIDY: Duration = Duration::from_secs(600);
/// So many cluster events are kept for programs of others while none of them takes any.
const MAX_CLUSTER_EVENTS: u32 = 100_000;

/// Keeps the events that happen, until `shutdown`.
pub(crate) async fn keep(bus: Bus, database: Database, shutdown: CancellationToken) {
    bus.consume_events(AUDIT_LOG, shutdown, |events| {
        let database = database.clone();
        async move { database.keep(&events).await }
    })
    .await;
}

/// Forgets what is older than `retention`, and what waits for programs that never come.
pub(crate) async fn tidy(bus: Bus, database: Database, retention: Duration) -> Infallible {
    let mut ticks = interval(TIDY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let oldest = database.now().minus(retention);
        loop {
            match database.forget_before(oldest).await {
                Ok(0) => break,
                Ok(forgotten) => tracing::info!(forgotten, "entries of the audit log are past their time"),
                Err(error) => {
                    tracing::warn!(%error, "the audit log cannot be tidied");
                    break;
                }
            }
        }
        match bus.forget_events(CLUSTER_EVENTS, MAX_CLUSTER_EVENTS).await {
            Ok(0) => {}
            Ok(dropped) => {
                tracing::warn!(queue = CLUSTER_EVENTS.queue, dropped, "nobody takes these events");
            }
            Err(error) => tracing::debug!(%error, "the queue of cluster events cannot be looked at"),
        }
    }
}
