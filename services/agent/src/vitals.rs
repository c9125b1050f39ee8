//! Whether the agent can do its job now.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use web::Readiness;

use crate::cluster::Cluster;

/// How the relay is doing. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Vitals {
    relay: Arc<Mutex<RelayState>>,
}

#[derive(Clone)]
enum RelayState {
    /// There is an open session, in which it was last heard of then.
    Heard(Instant),
    /// There is no session, and why.
    Away(String),
}

impl Default for Vitals {
    fn default() -> Self {
        Self { relay: Arc::new(Mutex::new(RelayState::Away("no session with the relay".to_owned()))) }
    }
}

impl Vitals {
    /// Something came through the open session.
    pub(crate) fn heard(&self) {
        self.set(RelayState::Heard(Instant::now()));
    }

    /// No session is open.
    pub(crate) fn disconnected(&self, why: &str) {
        self.set(RelayState::Away(format!("no session with the relay: {why}")));
    }

    fn set(&self, state: RelayState) {
        *self.relay.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    fn relay(&self) -> RelayState {
        self.relay.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ready when the relay has answered in an open session and the API server has answered, both within `window`.
    pub(crate) fn readiness(&self, cluster: &Arc<Cluster>, window: Duration) -> Readiness {
        let (vitals, cluster) = (self.clone(), Arc::clone(cluster));
        Readiness::new()
            .check("relay", move || {
                let relay = vitals.relay();
                async move {
                    match relay {
                        RelayState::Heard(last) => recent(last, window),
                        RelayState::Away(why) => Err(why),
                    }
                }
            })
            .check("cluster", move || {
                let last = cluster.server().answered();
                async move { recent(last.ok_or("the API server has not answered yet")?, window) }
            })
    }
}

fn recent(last: Instant, window: Duration) -> Result<(), String> {
    let silence = last.elapsed();
    if silence <= window { Ok(()) } else { Err(format!("nothing heard for {} s", silence.as_secs())) }
}
