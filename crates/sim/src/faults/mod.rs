//! Faults on command, and the count of what the server was asked.

mod plan;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::plan::MAX_LATENCY;
pub use self::plan::{Fault, FaultError, FaultPlan};
use crate::journal::Journal;
use crate::status::ApiError;

/// What lasts of a plan, in a journal.
pub(crate) const FAULTS: &str = "faults";

/// What was asked, for the count.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct RequestLine {
    /// The API's verb: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`.
    pub verb: String,
    /// Plural name with its subresource (`pods`, `pods/log`); `other` for what is no resource that is served.
    pub resource: String,
}

/// Shared by every request and by the kubelets.
#[derive(Debug)]
pub(crate) struct Faults {
    plan: watch::Sender<FaultPlan>,
    /// Cancelled to cut the watches that are open now.
    watches: Mutex<CancellationToken>,
    requests: Mutex<BTreeMap<RequestLine, u64>>,
    shutdown: CancellationToken,
    journal: Option<Arc<Journal>>,
}

impl Faults {
    /// Begins with the faults that an earlier process has left.
    pub(crate) fn new(plan: FaultPlan, shutdown: CancellationToken, journal: Option<Arc<Journal>>) -> Faults {
        Faults {
            plan: watch::Sender::new(plan),
            watches: Mutex::new(shutdown.child_token()),
            requests: Mutex::default(),
            shutdown,
            journal,
        }
    }

    /// The plan as far as it has not struck yet.
    pub(crate) fn plan(&self) -> FaultPlan {
        self.plan.borrow().clone()
    }

    /// Changes the plan; one that cannot be is refused and changes nothing.
    pub(crate) fn change(&self, change: impl FnOnce(&mut FaultPlan)) -> Result<(), FaultError> {
        let mut refused = Ok(());
        self.plan.send_if_modified(|plan| {
            let mut changed = plan.clone();
            change(&mut changed);
            refused = changed.check();
            let modified = refused.is_ok() && changed != *plan;
            if modified {
                *plan = changed;
                if let Some(journal) = &self.journal {
                    journal.keep(FAULTS, &plan.lasting());
                }
            }
            modified
        });
        refused
    }

    pub(crate) fn set_latency(&self, latency: Duration) {
        let millis = u64::try_from(latency.min(MAX_LATENCY).as_millis()).unwrap_or(u64::MAX);
        self.plan.send_modify(|plan| plan.latency_millis = millis);
    }

    /// Tells whoever waits on it of every change of the plan.
    pub(crate) fn changes(&self) -> watch::Receiver<FaultPlan> {
        self.plan.subscribe()
    }

    /// Whether the kubelet of a node does nothing any more: no heartbeats, no pods started or ended.
    pub(crate) fn is_dead(&self, node: &str) -> bool {
        self.plan.borrow().dead_nodes.contains(node)
    }

    /// Whether a pod never ends once it is deleted.
    pub(crate) fn is_stuck(&self, namespace: &str, pod: &str) -> bool {
        let stuck = &self.plan.borrow().stuck_pods;
        !stuck.is_empty() && stuck.contains(&format!("{namespace}/{pod}"))
    }

    pub(crate) fn drop_watches(&self) {
        let fresh = self.shutdown.child_token();
        std::mem::replace(&mut *lock(&self.watches), fresh).cancel();
    }

    /// Cancelled when the watch that asks for it shall be cut.
    pub(crate) fn watch_cut(&self) -> CancellationToken {
        lock(&self.watches).clone()
    }

    /// Cancelled when the simulator stops.
    pub(crate) fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    pub(crate) fn count(&self, request: RequestLine) {
        *lock(&self.requests).entry(request).or_default() += 1;
    }

    pub(crate) fn requests(&self) -> BTreeMap<RequestLine, u64> {
        lock(&self.requests).clone()
    }

    /// Waits as long as the answer to this request shall take, then fails if it shall fail.
    pub(crate) async fn strike(&self, request: &RequestLine) -> Result<(), ApiError> {
        let (latency, may_strike) = {
            let plan = self.plan.borrow();
            (plan.latency_millis, !plan.requests.is_empty())
        };
        let mut fault = Fault::default();
        // Most requests meet no fault: those take no turn at changing the plan.
        if may_strike {
            self.plan.send_if_modified(|plan| {
                fault = plan.next_for(request).unwrap_or_default();
                false
            });
        }
        let latency = Duration::from_millis(latency.saturating_add(fault.latency_millis));
        if !latency.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(latency) => {}
                () = self.shutdown.cancelled() => {}
            }
        }
        let retry_after = fault.retry_after_seconds;
        fault.status.map_or(Ok(()), |status| Err(ApiError::injected(status, retry_after)))
    }
}

/// No code panics while it holds a lock, so a poisoned one is still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
