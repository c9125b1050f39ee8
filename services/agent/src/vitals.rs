//! Whether the agent can do its job now.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use web::Readiness;

use crate::cluster::Cluster;

/// When the relay was last heard of in an open session. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Vitals {
    heard: Arc<Mutex<Option<Instant>>>,
}

impl Vitals {
    /// Something came through the open session.
    pub(crate) fn heard(&self) {
        self.set(Some(Instant::now()));
    }

    /// No session is open.
    pub(crate) fn disconnected(&self) {
        self.set(None);
    }

    fn set(&self, heard: Option<Instant>) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = heard;
    }

    fn last_heard(&self) -> Option<Instant> {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready when the relay has answered in an open session and the API server has answered, both within `window`.
    pub(crate) fn readiness(&self, cluster: &Arc<Cluster>, window: Duration) -> Readiness {
        let (vitals, cluster) = (self.clone(), Arc::clone(cluster));
        Readiness::new()
            .check("relay", move || {
                let last = vitals.last_heard();
                async move { recent(last, window, "no session with the relay") }
            })
            .check("cluster", move || {
                let last = cluster.server().answered();
                async move { recent(last, window, "the API server has not answered yet") }
            })
    }
}

fn recent(last: Option<Instant>, window: Duration, never: &str) -> Result<(), String> {
    let silence = last.ok_or(never)?.elapsed();
    if silence <= window { Ok(()) } else { Err(format!("nothing heard for {} s", silence.as_secs())) }
}
