//! Faults that tests cut into the server, and the count of what it was asked.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::status::ApiError;

/// What was asked, for the count.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestLine {
    /// The API's verb: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`.
    pub verb: String,
    /// Plural name with its subresource (`pods`, `pods/log`); `other` for what is no resource that is served.
    pub resource: String,
}

/// Shared by every request.
#[derive(Debug)]
pub(crate) struct Faults {
    knobs: Mutex<Knobs>,
    shutdown: CancellationToken,
}

#[derive(Debug)]
struct Knobs {
    latency: Duration,
    fail: Option<(usize, u16)>,
    /// Cancelled to cut the watches that are open now.
    watches: CancellationToken,
    requests: BTreeMap<RequestLine, u64>,
}

impl Faults {
    pub(crate) fn new(shutdown: CancellationToken) -> Faults {
        let knobs = Knobs {
            latency: Duration::ZERO,
            fail: None,
            watches: shutdown.child_token(),
            requests: BTreeMap::new(),
        };
        Faults { knobs: Mutex::new(knobs), shutdown }
    }

    pub(crate) fn set_latency(&self, latency: Duration) {
        self.lock().latency = latency;
    }

    pub(crate) fn fail_next(&self, requests: usize, status: u16) {
        self.lock().fail = (requests > 0).then_some((requests, status));
    }

    pub(crate) fn drop_watches(&self) {
        let fresh = self.shutdown.child_token();
        std::mem::replace(&mut self.lock().watches, fresh).cancel();
    }

    /// Cancelled when the watch that asks for it shall be cut.
    pub(crate) fn watch_cut(&self) -> CancellationToken {
        self.lock().watches.clone()
    }

    pub(crate) fn count(&self, request: RequestLine) {
        *self.lock().requests.entry(request).or_default() += 1;
    }

    pub(crate) fn requests(&self) -> BTreeMap<RequestLine, u64> {
        self.lock().requests.clone()
    }

    /// Waits as long as answers shall take, then fails if this answer shall fail.
    pub(crate) async fn strike(&self) -> Result<(), ApiError> {
        let latency = self.lock().latency;
        if !latency.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(latency) => {}
                () = self.shutdown.cancelled() => {}
            }
        }
        let mut knobs = self.lock();
        let Some((remaining, status)) = knobs.fail else {
            return Ok(());
        };
        knobs.fail = (remaining > 1).then_some((remaining - 1, status));
        Err(ApiError::injected(status))
    }

    fn lock(&self) -> MutexGuard<'_, Knobs> {
        self.knobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
