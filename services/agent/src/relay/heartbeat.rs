//! "The agent lives": a heartbeat with the size of the cluster, again and again.

use std::{sync::Arc, time::Duration};

use contracts::{Timestamp, agent::Heartbeat};
use tokio::time::{MissedTickBehavior, interval};

use super::socket::{self, Outbox};
use crate::cluster::Cluster;

/// Within these bounds a server may choose how often.
const SHORTEST_SECONDS: u32 = 1;
const LONGEST_SECONDS: u32 = 300;

/// Sends heartbeats, the first at once; ends only by being dropped.
pub(super) async fn beat(cluster: Arc<Cluster>, outbox: Outbox, every_seconds: u32) {
    let seconds = every_seconds.clamp(SHORTEST_SECONDS, LONGEST_SECONDS);
    let mut ticks = interval(Duration::from_secs(seconds.into()));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let census = cluster.census().await;
        let heartbeat = Heartbeat { nodes: census.nodes, pods: census.pods, at: Timestamp::now() };
        match socket::text(&heartbeat) {
            Ok(message) => outbox.send(message).await,
            Err(error) => tracing::error!(%error, "a heartbeat could not be serialised"),
        }
    }
}
