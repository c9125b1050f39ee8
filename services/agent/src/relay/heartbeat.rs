//! "The agent lives": a heartbeat with the size of the cluster, again and again.

use std::{sync::Arc, time::Duration};

use contracts::{Timestamp, agent::Heartbeat};
use tokio::{
    sync::watch,
    time::{Interval, MissedTickBehavior, interval},
};

use super::socket::{self, Outbox};
use crate::cluster::{Census, Cluster};

/// Within these bounds a server may choose how often.
const SHORTEST_SECONDS: u32 = 1;
const LONGEST_SECONDS: u32 = 300;

/// How often a heartbeat is sent to a server that asks for one so often.
pub(super) fn period(asked_seconds: u32) -> Duration {
    Duration::from_secs(asked_seconds.clamp(SHORTEST_SECONDS, LONGEST_SECONDS).into())
}

/// Sends heartbeats, the first at once; ends only by being dropped.
///
/// The cluster is counted beside them: a heartbeat that waited for a slow API server would cost the session.
pub(super) async fn beat(cluster: Arc<Cluster>, outbox: Outbox, period: Duration) {
    let (counted, census) = watch::channel(Census::default());
    tokio::join!(count(&cluster, &counted, period), send(&outbox, census, period));
}

async fn count(cluster: &Cluster, counted: &watch::Sender<Census>, period: Duration) {
    let mut ticks = ticks(period);
    loop {
        ticks.tick().await;
        counted.send_replace(cluster.census().await);
    }
}

async fn send(outbox: &Outbox, mut census: watch::Receiver<Census>, period: Duration) {
    let mut ticks = ticks(period);
    let mut is_counted = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            // The first census is told at once: the next heartbeat may be minutes away.
            Ok(()) = census.changed(), if !is_counted => is_counted = true,
        }
        let Census { nodes, pods, location, capacity } = census.borrow().clone();
        let provider = location.provider.map(str::to_owned);
        let heartbeat = Heartbeat {
            nodes,
            pods,
            provider,
            region: location.region,
            cpu_millis: capacity.map(|capacity| capacity.cpu_millis),
            memory_bytes: capacity.map(|capacity| capacity.memory_bytes),
            at: Timestamp::now(),
        };
        match socket::text(&heartbeat) {
            Ok(message) => outbox.send(message).await,
            Err(error) => tracing::error!(%error, "a heartbeat could not be serialised"),
        }
    }
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
