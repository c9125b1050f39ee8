//! The session that follows one whose server goes away: it is opened first, so that the agent is never away itself.

use std::{pin::Pin, sync::Arc, time::Duration};

use backon::BackoffBuilder;
use tokio::time::sleep;

use super::{
    Relay,
    connect::{self, Opened},
    spread,
};

/// A session that is being opened.
pub(super) struct Successor(Pin<Box<dyn Future<Output = Box<Opened>> + Send>>);

impl Successor {
    /// Opens a session after this time, and tries again until it succeeds.
    pub(super) fn after(relay: &Arc<Relay>, pause: Duration) -> Self {
        Self(Box::pin(open(Arc::clone(relay), pause)))
    }

    /// Waits for it; safe to be dropped.
    pub(super) async fn opened(&mut self) -> Box<Opened> {
        self.0.as_mut().await
    }
}

async fn open(relay: Arc<Relay>, pause: Duration) -> Box<Opened> {
    let timing = &relay.config.timing;
    let mut backoff = timing.reconnect.build();
    let mut pause = spread(pause, 1.0, 1.2);
    loop {
        sleep(pause).await;
        let end = match connect::open(&relay, true).await {
            Ok(opened) => return Box::new(opened),
            Err(end) => end,
        };
        let short = || backoff.next().unwrap_or(timing.rejected);
        pause = end.long_pause(timing).unwrap_or_else(short);
        super::report(&end, pause);
    }
}
