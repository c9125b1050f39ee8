//! The messages that this service answers.

use bus::{Bus, ServeOptions};
use contracts::queues;
use tokio_util::sync::CancellationToken;

use crate::relay::Relay;

/// Queries wait for agents, not for us, so many may be under way: as many as four cluster processes let in by default, and
/// of one user much less.
const CONCURRENT_QUERIES: u16 = 16_384;

/// Answers queries for agents until `shutdown`, and those that are sent to this replica alone until it has left the directory.
pub(crate) async fn queries(bus: Bus, relay: Relay, shutdown: CancellationToken) {
    let options = ServeOptions { concurrency: CONCURRENT_QUERIES, ..ServeOptions::default() };
    let presence = relay.directory.presence().clone();
    let handler = move |query, context| {
        let relay = relay.clone();
        async move { relay.query(query, context).await }
    };
    bus.serve_present(queues::QUERIES, options, presence, shutdown, handler).await;
}

/// Answers which agents are connected until `shutdown`.
pub(crate) async fn connected_agents(bus: Bus, relay: Relay, shutdown: CancellationToken) {
    let handler = move |request, _| {
        let relay = relay.clone();
        async move { relay.connected(request).await }
    };
    bus.serve(queues::CONNECTED_AGENTS, ServeOptions::default(), shutdown, handler).await;
}
