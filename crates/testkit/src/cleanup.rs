//! Tests leave nothing behind on the broker.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    thread,
};

use anyhow::Result;
use contracts::queues::{
    AUDIT_LOG, CLUSTER_EVENTS, CONNECTED_AGENTS, CONTROL_EXCHANGE, DEAD_LETTERS, EVENTS_EXCHANGE, QUERIES,
    Route, Service,
};
use lapin::{
    Connection, ConnectionProperties,
    options::{ExchangeDeleteOptions, QueueDeleteOptions},
};

use crate::amqp_url;

/// Deletes the durable queues and the exchanges of one prefix when it is dropped.
pub struct Cleanup {
    prefix: String,
    queues: Mutex<BTreeSet<&'static str>>,
}

impl Cleanup {
    /// For everything that the services declare under this prefix.
    pub(crate) fn new(prefix: &str) -> Self {
        let routes = Service::ALL.map(Service::auth_route).into_iter().chain([QUERIES, CONNECTED_AGENTS]);
        let kept = [DEAD_LETTERS, AUDIT_LOG.queue, CLUSTER_EVENTS.queue];
        let queues = routes.flat_map(|route| [route.requests, route.results]).chain(kept).collect();
        Self { prefix: prefix.to_owned(), queues: Mutex::new(queues) }
    }

    /// Also for a test's own route.
    pub(crate) fn route(&self, route: Route) {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).extend([route.requests, route.results]);
    }

    fn run(&self) -> Result<()> {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let connection = Connection::connect(&amqp_url(), ConnectionProperties::default()).await?;
            let channel = connection.create_channel().await?;
            for queue in queues {
                let queue = format!("{}{queue}", self.prefix);
                // One that was never declared is no error.
                channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await?;
            }
            for exchange in [EVENTS_EXCHANGE, CONTROL_EXCHANGE] {
                let exchange = format!("{}{exchange}", self.prefix);
                channel.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default()).await?;
            }
            connection.close(200, "bye".into()).await?;
            Ok(())
        })
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        // On a thread of its own, because the test's runtime cannot wait for another.
        let cleaned = thread::scope(|scope| scope.spawn(|| self.run()).join());
        let clean = matches!(cleaned, Ok(Ok(())));
        assert!(clean || thread::panicking(), "the queues of {} could not be deleted", self.prefix);
    }
}
